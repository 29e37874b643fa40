"""Measures a run's model on data files: on the rows that validated it, or on those that trained it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import DataConfig, Precision, TrainConfig
from custom_bert.config_sources import from_mapping
from custom_bert.data.columns import header_hint
from custom_bert.data.labels import nearest_label, short_label
from custom_bert.data.lines import Lines, taken
from custom_bert.data.pair_files import has_second_file, text_lines
from custom_bert.data.reading import LabelledLines, check_aligned, data_files, data_settings
from custom_bert.data.share_files import votes_in
from custom_bert.data.tables.formats import is_table
from custom_bert.data.tables.opening import NoTrainingRowsError, remembered
from custom_bert.data.text import LineReader, status_of
from custom_bert.data.text_pairs import sides
from custom_bert.decoding.spans import SpanDecoder
from custom_bert.errors import ConfigError, DataError, RunError
from custom_bert.inference.classifier import Classifier, Text
from custom_bert.inference.evaluate_spans import evaluate_spans
from custom_bert.inference.pairs_of_run import check_as_trained, check_swapping, share_that_changes
from custom_bert.inference.scores import ENCODER, FLOOR, WHOLE
from custom_bert.tasks.evaluated import Evaluated
from custom_bert.tasks.parts import LabelLineError, UnknownLabelError
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.task import Task


def evaluate_run(
    run: str | Path,
    data: str | Path,
    *,
    split: Literal["val", "train", "test"],
    columns: Mapping[str, str] = MappingProxyType({}),
    device: str | None = None,
    precision: Precision = "fp32",
    encoder_only: bool = False,
    swap: bool = False,
) -> Evaluated:
    """Measures a run's model on a folder of data files, or on a table.

    The split "val" is the folder's validation files, or the rows of a table that its column of splits says.
    If there are none, it is the rows that the run had set aside; these are found by dividing the training
    data again, which has to be the same. Of any other table all rows are measured. The split "train" is the
    rows that trained the model, and "test" the folder's test files, or the rows of a table that its column of
    splits says.

    Args:
        run: the run directory.
        data: the folder with the data files, or a table.
        split: "val", "train" or "test".
        columns: the settings of the columns and the encoding of a table, by dotted name. Columns that are
            left out are those of the run, if the table has them.
        device: see `Classifier.load`.
        precision: see `Classifier.load`.
        encoder_only: see `Classifier.load`.
        swap: whether to predict every pair of texts in both orders, too, and to count those that get other
            labels. It takes two predictions more.

    Raises:
        ConfigError: if `swap` is asked for, and the run predicts no labels or reads no pairs.
        RunError: if the run cannot be loaded, or the rows that it had set aside cannot be found again.
        DataError: if the data cannot be used, holds a label that the model does not know, has no validation
            rows, or is not the data that the run was trained on where rows are to be found again.
    """
    classifier = Classifier.load_to_measure(
        run, device=device, precision=precision, encoder_only=encoder_only
    )
    if swap:
        check_swapping(classifier, run)
    if status_of(Path(data)) is None and not is_table(data):
        raise DataError(str(data), "no such folder; expected one with the data files")
    where = configuration.replace(TrainConfig(), {**data_settings(data), **columns}).data
    if isinstance(classifier.decoder, SpanDecoder):
        return evaluate_spans(classifier, classifier.decoder, Path(run), where, split)
    chosen = rows_of(run, where, split, pairs=classifier.pairs)
    texts, labels, rows = chosen.texts, chosen.labels, chosen.rows
    found = taken(texts.blocks(), rows)
    given: Iterator[Text] = map(sides, found) if classifier.pairs else found
    votes: list[int] = []
    parts = classifier.measure_parts(given, known_labels(labels, classifier, rows, votes))
    notes = (*chosen.notes, *(f"warning: {votes_in(labels, votes)}" for _ in votes[:1]))
    swapped = share_that_changes(classifier, map(sides, taken(texts.blocks(), rows))) if swap else None
    return Evaluated(parts[WHOLE], parts.get(FLOOR), parts.get(ENCODER), notes, swapped)


@dataclass(frozen=True)
class ChosenRows:
    """What a model is measured on.

    Attributes:
        texts, labels: the lines.
        rows: the indices of the lines to measure on, rising from 0; None for all.
        notes: what a user should know of how a table was read, one line each.
    """

    texts: Lines
    labels: Lines
    rows: np.ndarray | None
    notes: tuple[str, ...]


def rows_of(
    run: str | Path, where: DataConfig, split: Literal["val", "train", "test"], *, pairs: bool
) -> ChosenRows:
    """Returns what a run's model is measured on; see `evaluate_run`.

    Args:
        run: the run directory.
        where: the data files, or the table.
        split: "val", "train" or "test".
        pairs: whether the model reads pairs of texts.

    Raises:
        RunError, DataError: as `evaluate_run` does.
    """
    notes: list[str] = []
    if where.table is None:
        # pairs may be in another form than those that the run was trained on
        where = replace(where, pairs=pairs and not _has_second_files(where))
        (texts, labels), rows = _of_folder(Path(run), where, split)
    else:
        (texts, labels), rows = _of_table(Path(run), where, split, notes)
    check_as_trained(texts, run, pairs=pairs)
    if rows is None:
        check_aligned(texts, labels)
    return ChosenRows(texts, labels, rows, tuple(notes))


Chosen = tuple[tuple[Lines, Lines], np.ndarray | None]
"""Texts and labels, and the indices of the lines to measure on; None for all."""


def _of_folder(run: Path, data: DataConfig, split: str) -> Chosen:
    """Returns what is measured of a folder."""
    two_files = _has_second_files(data)
    for name, texts, labels in (
        ("test", data.test_texts, data.test_labels),
        ("val", data.val_texts, data.val_labels),
    ):
        if split == name and (name == "test" or any(status_of(Path(one)) for one in (texts, labels))):
            return (text_lines(texts, data, pairs=data.pairs or two_files), LineReader(labels)), None
    lines = data_files(data, set_aside=True)
    return lines.train, _divided_rows(run, lines, data, split)


def _has_second_files(data: DataConfig) -> bool:
    """Returns whether a folder has a file of second texts, for any split."""
    return any(map(has_second_file, (data.train_texts, data.val_texts, data.test_texts)))


def _of_table(run: Path, data: DataConfig, split: str, notes: list[str]) -> Chosen:
    """Returns what is measured of a table, and adds to the notes what a user should know of it."""
    record, given = _record(run), data
    data = remembered(data, record)
    try:
        lines = data_files(data)
    except NoTrainingRowsError:
        if given.split_column is not None:
            raise
        lines = data_files(replace(data, split_column=None))
        notes.append(f"{data.table}: no row is for training, so all rows are measured")
    assert lines.columns is not None
    notes += lines.columns.said()
    own = {"val": lines.val, "test": lines.test}.get(split)
    if own is not None:
        return own, None
    if split != "train" and not _is_training_data(lines, record):
        notes.append(f"{data.table}: not the table that {run} was trained on, so all rows are measured")
        return lines.train, None
    if split == "test":
        raise DataError(
            str(data.table),
            "no row of it is for testing; give --split-column, or the table with the test rows",
        )
    return lines.train, _divided_rows(run, lines, data, split)


def _record(run: Path) -> dict[str, Any]:
    """Returns the record of a run; an empty one if there is none that can be read."""
    try:
        record = files.read_run_json(run, "run.json")
    except RunError:
        return {}
    return record if isinstance(record, dict) else {}


def _is_training_data(lines: LabelledLines, record: dict[str, Any]) -> bool:
    """Returns whether a table has the texts that a run was trained on. It reads the table once."""
    texts = lines.train[0]
    for _ in texts.blocks():
        pass
    try:
        return bool(texts.sha256 == record["identity"]["data"]["train_texts"])
    except (KeyError, TypeError):
        return False


DIVIDING = (
    *("seed", "task", "floor", "ensemble"),
    *("data.val_fraction", "data.label_separator", "data.label_order"),
)
"""The settings by which a run divided its lines. The record of an older version may lack some of them."""


def _divided_rows(run: Path, lines: LabelledLines, data: DataConfig, split: str) -> np.ndarray | None:
    """Returns the rows of a split, from dividing the lines again as the run did; None for all rows."""
    ways = "write val_dataset.txt and val_labels.txt to evaluate on other data"
    if data.table is not None:
        ways = "leave out --split, to evaluate on all rows of another table"
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        divided = bool(record["data"]["val_set_aside_from_train"])
        settings = {name: record["config"][name] for name in DIVIDING if name in record["config"]}
        settings.setdefault("ensemble", False)  # runs of versions that had none set no lines aside for it
        config = from_mapping(settings)
        hashes = [record["identity"]["data"][name] for name in ("train_texts", "train_labels")]
        count, trains = record["data"]["val_examples"], bool(record["data"].get("val_trains"))
    except FileNotFoundError as error:  # it was exported, or comes from elsewhere
        raise RunError(
            f"{run}: no run.json says which rows were held out, as in every directory but a run; {ways}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise RunError(f"{run / 'run.json'}: does not say which rows were held out") from error
    if not divided and split == "train":
        # even with validation files, lines may have been set aside to choose values on, such as thresholds
        if "choosing_examples" not in record["data"]:
            return None
    elif trains and split == "val":
        raise DataError(
            data.table or data.train_texts,
            f"{run} set no rows aside, for data.val_fraction was 0; --split train measures those that it "
            f"learned from; {ways}",
        )
    elif not divided:
        where, what = (data.val_texts, "file") if data.table is None else (data.table, "rows")
        raise DataError(
            where, f"no such {what}, and {run} set no rows aside, for it was validated on other data; {ways}"
        )
    task, lines = TASKS[config.task], replace(lines, val=None, test=None)
    dataset = task.read_lines(lines, _with_defaults(config, task), divide=divided).dataset
    file = dataset.train.file
    if [file.texts_sha256, file.labels_sha256] != hashes:
        raise DataError(
            file.texts_path,
            f"not the {'file' if data.table is None else 'table'} that {run} was trained on, so the rows "
            f"that it held out cannot be identified; {ways}",
        )
    if divided and len(dataset.val) != count:  # an older version took other texts for equal ones
        raise RunError(
            f"{run}: an older version held out {count:,} rows, this version would hold out "
            f"{len(dataset.val):,}, so they cannot be identified; {ways}"
        )
    return dataset.val.rows_N if split == "val" else dataset.train.rows_N


def _with_defaults(config: TrainConfig, task: type[Task]) -> TrainConfig:
    """Fills settings that the record lacks with the task's defaults."""
    flat = configuration.to_flat(config)
    missing = {name: value for name, value in task.defaults().items() if flat[name] is None}
    return configuration.replace(config, missing)


def known_labels(
    lines: Lines, classifier: Classifier, rows: np.ndarray | None, votes: list[int]
) -> Iterator[str]:
    """Yields the labels; with `rows`, rising indices from 0, only those. Adds the indices of lines whose
    numbers are divided by their sum to `votes`.

    Raises:
        DataError: at the first line with a label that the model does not know; it names the place, which
            `Classifier.measure` cannot do.
    """
    seen: dict[str, bool] = {}
    for i, line in enumerate(taken(lines.blocks(), rows)):
        index = i if rows is None else int(rows[i])
        if line not in seen:
            _check_known(lines.where(index), line, classifier)
            seen[line] = classifier.task.holds_votes(line)
        if seen[line]:
            votes.append(index)
        yield line


def _check_known(where: str, line: str, classifier: Classifier) -> None:
    try:
        next(classifier.task.targets_of([line]))
    except LabelLineError as error:
        raise DataError(where, f"{error.fault}{header_hint(where, line)}") from None
    except UnknownLabelError as error:
        label = error.label
        hint = header_hint(where, label) or nearest_label(label, classifier.labels)
        raise DataError(where, f"label {short_label(label)} is not one of the model's{hint}") from None
