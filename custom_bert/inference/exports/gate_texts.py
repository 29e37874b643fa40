"""The texts on which a run and its export are compared: the run's validation rows, or rows that are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import DataConfig, TrainConfig
from custom_bert.config_sources import from_mapping
from custom_bert.data.corpus import read_corpus
from custom_bert.data.lines import taken
from custom_bert.data.reading import data_settings
from custom_bert.data.tables.formats import is_table
from custom_bert.data.text import is_blank, status_of
from custom_bert.data.text_pairs import paired
from custom_bert.data.text_sample import spread
from custom_bert.decoding.spans import SpanDecoder
from custom_bert.errors import DataError, RunError, UserError
from custom_bert.inference.classifier import Classifier
from custom_bert.inference.evaluate_run import known_labels, rows_of
from custom_bert.inference.evaluate_spans import chosen_texts, measured_spans
from custom_bert.inference.exports.compared import Texts
from custom_bert.inference.exports.verify import random_texts
from custom_bert.inference.measuring import measured
from custom_bert.inference.scores import WHOLE
from custom_bert.model_files.native import TrainedModel
from custom_bert.spans.spanned import KnownTypes
from custom_bert.tasks.parts import Measured

MOST = 10_000
"""The most rows that are compared. Of more, some are taken, spread evenly over all of them."""


def labelled_texts(
    run: Path,
    trained: TrainedModel,
    classifier: Classifier,
    data: str | Path | None,
    columns: Mapping[str, Any],
) -> Texts:
    """Returns labelled rows for a classifier.

    Args:
        run: the run directory.
        trained: its model.
        classifier: its classifier.
        data: a folder with data files, or a table; None for the data of the run.
        columns: the settings of the columns and the encoding of a table, by dotted name.

    Raises:
        UserError: if `data` is given and cannot be used. What is wrong with the run's own data is said in
            `Texts.why_none`.
    """
    random, pairs = random_texts(trained), classifier.pairs
    if pairs:
        random = [paired(*both) for both in zip(random, reversed(random), strict=True)]
    try:
        where = _own_data(run) if data is None else _given(data, columns)
        chosen = rows_of(run, where, "val", pairs=pairs)
        rows = list(taken(chosen.texts.blocks(), chosen.rows))
        labels = list(known_labels(chosen.labels, classifier, chosen.rows, []))
    except UserError as error:
        if data is not None:
            raise
        return Texts((), None, random, f"{error}; --data names rows to compare on")
    places = spread_over(len(rows))
    rows, labels = ([column[i] for i in places] for column in (rows, labels))

    def measure(side: Classifier, outputs_NK: np.ndarray) -> Measured:
        thresholds = side.scores.thresholds
        return measured(side.task, thresholds, rows, labels, lambda _: iter([{WHOLE: outputs_NK}]))[WHOLE]

    return Texts(rows, measure, random, "", chosen.notes)


def texts_with_spans(
    run: Path,
    trained: TrainedModel,
    classifier: Classifier,
    data: str | Path | None,
    columns: Mapping[str, Any],
) -> Texts:
    """Returns texts with spans for a model that finds spans; see `labelled_texts`."""
    random, decoder = random_texts(trained), classifier.decoder
    assert isinstance(decoder, SpanDecoder)
    known = KnownTypes(decoder.types, f"the texts that {run} was trained on")
    try:
        where = _own_data(run) if data is None else _given(data, columns)
        chosen = chosen_texts(run, where, "val", known)
    except UserError as error:
        if data is not None:
            raise
        return Texts((), None, random, f"{error}; --data names texts to compare on")
    rows = chosen.rows_N[spread_over(len(chosen))].tolist()

    def measure(side: Classifier, outputs: np.ndarray) -> Measured:
        return measured_spans(side, decoder, chosen.file, rows, outputs.tolist())

    return Texts([chosen.file.texts[row] for row in rows], measure, random, "", tuple(chosen.file.notes))


def spread_over(count: int) -> list[int]:
    """Returns the indices of some rows, at most `MOST`, spread evenly over all of them."""
    return [int(place) for place in np.linspace(0, count - 1, min(MOST, count))]


def unlabelled_texts(run: Path, trained: TrainedModel, data: str | Path | None) -> Texts:
    """Returns texts for an encoder: lines that are not blank, of its own corpus or of other files.

    Args:
        run: the run directory.
        trained: its model.
        data: a file with running text, or a folder of such files; None for the run's own corpus.

    Raises:
        DataError: if `data` is given and cannot be used.
    """
    random = random_texts(trained)
    try:
        paths = _own_data(run).corpus if data is None else (str(data),)
        blocks = ([line for line in block if not is_blank(line)] for block in read_corpus(paths).blocks())
        return Texts(spread(blocks, MOST), None, random)
    except UserError as error:
        if data is not None:
            raise
        return Texts((), None, random, f"{error}; --data names texts to compare on")


def _own_data(run: Path) -> DataConfig:
    """Returns which data a run was trained on.

    Raises:
        RunError: if its record does not say so.
    """
    record = files.read_run_json(run, "run.json")
    names = {f"data.{field.name}" for field in fields(DataConfig)}
    try:
        settings = {name: value for name, value in record["config"].items() if name in names}
    except (KeyError, TypeError, AttributeError):
        raise RunError(f"{run / 'run.json'}: does not say which data the run was trained on") from None
    return from_mapping(settings).data


def _given(data: str | Path, columns: Mapping[str, Any]) -> DataConfig:
    if status_of(Path(data)) is None and not is_table(data):
        raise DataError(str(data), "no such folder; expected one with the data files")
    return configuration.replace(TrainConfig(), {**data_settings(data), **columns}).data
