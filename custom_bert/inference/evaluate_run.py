"""Measures a run's model on data files: on the rows that validated it, those that trained it, or a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from custom_bert import config as configuration
from custom_bert.config import Precision, TrainConfig
from custom_bert.config_sources import from_mapping
from custom_bert.data.columns import header_hint
from custom_bert.data.labels import nearest_label, short_label
from custom_bert.data.lines import taken
from custom_bert.data.reading import check_aligned, data_files, in_directory
from custom_bert.data.text import LineReader, status_of
from custom_bert.errors import ConfigError, DataError, RunError
from custom_bert.inference.classifier import Classifier
from custom_bert.inference.scores import ENCODER, FLOOR, WHOLE
from custom_bert.tasks.evaluated import Evaluated
from custom_bert.tasks.parts import UnknownLabelError
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.task import Task


def evaluate_run(
    run: str | Path,
    data: str | Path,
    *,
    split: Literal["val", "train", "test"],
    device: str | None = None,
    precision: Precision = "fp32",
    encoder_only: bool = False,
) -> Evaluated:
    """Measures a run's model on a folder of data files.

    The split "val" is the folder's validation files. If there are none, it is the rows that the run had set
    aside; these are found by dividing the training files again, which have to be the same files. The split
    "train" is the rows that trained the model, and "test" the folder's test files.

    Args:
        run: the run directory.
        data: the folder with the data files.
        split: "val", "train" or "test".
        device: see `Classifier.load`.
        precision: see `Classifier.load`.
        encoder_only: see `Classifier.load`.

    Raises:
        RunError: if the run cannot be loaded, or the rows that it had set aside cannot be found again.
        DataError: if the data cannot be used, holds a label that the model does not know, has no validation
            rows, or is not the data that the run was trained on where rows are to be found again.
    """
    classifier = Classifier.load_to_measure(
        run, device=device, precision=precision, encoder_only=encoder_only
    )
    if status_of(Path(data)) is None:
        raise DataError(str(data), "no such folder; expected one with the data files")
    paths = configuration.replace(TrainConfig(), in_directory(data)).data
    of_split = {
        "train": (paths.train_texts, paths.train_labels),
        "val": (paths.val_texts, paths.val_labels),
        "test": (paths.test_texts, paths.test_labels),
    }
    own = split == "test" or (
        split == "val" and any(status_of(Path(path)) is not None for path in of_split[split])
    )
    rows = None if own else _divided_rows(Path(run), data, split)
    texts, labels = of_split[split if own else "train"]
    if rows is None:
        check_aligned(texts, labels)
    parts = classifier.measure_parts(_chosen(texts, rows), _known(labels, classifier, rows))
    return Evaluated(parts[WHOLE], parts.get(FLOOR), parts.get(ENCODER))


DIVIDING = ("seed", "task", "data.val_fraction", "data.label_separator", "floor", "ensemble")
"""The settings by which a run divided its lines. The record of an older version may lack some of them."""


def _divided_rows(run: Path, data: str | Path, split: str) -> np.ndarray | None:
    """Returns the rows of a split, from dividing the lines again as the run did; None for all rows."""
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        divided = bool(record["data"]["val_set_aside_from_train"])
        settings = {name: record["config"][name] for name in DIVIDING if name in record["config"]}
        settings.setdefault("ensemble", False)  # runs of versions that had none set no lines aside for it
        config = from_mapping({**settings, **in_directory(data)})
        hashes = [record["identity"]["data"][name] for name in ("train_texts", "train_labels")]
        count = record["data"]["val_examples"]
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise RunError(f"{run / 'run.json'}: does not say which rows were held out") from error
    if not divided and split == "train":
        # even with validation files, lines may have been set aside to choose values on, such as thresholds
        if "choosing_examples" not in record["data"]:
            return None
    elif not divided:
        raise DataError(
            config.data.val_texts,
            f"no such file, and {run} set no rows aside, for it was validated on other files; "
            f"write {config.data.val_texts} and {config.data.val_labels}",
        )
    task, lines = TASKS[config.task], data_files(config.data, set_aside=True)
    dataset = task.read_lines(lines, _with_defaults(config, task), divide=divided).dataset
    file = dataset.train.file
    if [file.texts_sha256, file.labels_sha256] != hashes:
        raise DataError(
            file.texts_path,
            f"not the file that {run} was trained on, so the rows that it held out cannot be identified; "
            f"write val_dataset.txt and val_labels.txt to evaluate on other data",
        )
    if divided and len(dataset.val) != count:  # an older version took other texts for equal ones
        raise RunError(
            f"{run}: an older version held out {count:,} rows, this version would hold out "
            f"{len(dataset.val):,}, so they cannot be identified; write val_dataset.txt and "
            f"val_labels.txt"
        )
    return dataset.val.rows_N if split == "val" else dataset.train.rows_N


def _with_defaults(config: TrainConfig, task: type[Task]) -> TrainConfig:
    """Fills settings that the record lacks with the task's defaults."""
    flat = configuration.to_flat(config)
    missing = {name: value for name, value in task.defaults().items() if flat[name] is None}
    return configuration.replace(config, missing)


def _chosen(path: str, rows: np.ndarray | None) -> Iterator[str]:
    """Yields the lines of a file; with `rows`, rising indices from 0, only those."""
    return taken(LineReader(path).blocks(), rows)


def _known(path: str, classifier: Classifier, rows: np.ndarray | None) -> Iterator[str]:
    """Yields the lines of a label file.

    Raises:
        DataError: at the first line with a label that the model does not know; it names file and line, which
            `Classifier.measure` cannot do.
    """
    seen: set[str] = set()
    for i, line in enumerate(_chosen(path, rows)):
        if line not in seen:
            where = f"{path}:{i + 1 if rows is None else int(rows[i]) + 1}"
            _check_known(where, line, classifier)
            seen.add(line)
        yield line


def _check_known(where: str, line: str, classifier: Classifier) -> None:
    try:
        next(classifier.task.targets_of([line]))
    except UnknownLabelError as error:
        label = error.label
        hint = header_hint(where, label) or nearest_label(label, classifier.labels)
        raise DataError(where, f"label {short_label(label)} is not one of the model's{hint}") from None
