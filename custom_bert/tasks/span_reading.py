"""Reads the files of texts with spans that the settings name, and sets texts aside where there is no
validation file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from custom_bert.config import DataConfig, TrainConfig
from custom_bert.data.division import divide, divide_units, units
from custom_bert.data.reading import span_names
from custom_bert.data.targets import ClassSets
from custom_bert.data.text import composed, status_of
from custom_bert.errors import DataError
from custom_bert.spans.reading import read_spans
from custom_bert.spans.spanned import KnownTypes, SpannedTexts
from custom_bert.tasks.span_texts import SpanSplit, SpanTexts

FEWEST_DOCUMENTS = 10
"""From this many documents on, whole documents are set aside, since sentences of one document share names. With
fewer, a share of them would be far from the share that is asked for."""


def read_span_texts(config: TrainConfig) -> SpanTexts:
    """Reads, checks and divides the files.

    Args:
        config: the settings; `data.val_fraction` is decided.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
    """
    data, fraction = config.data, config.data.val_fraction
    assert fraction is not None
    path = Path(data.train_spans)
    if status_of(path) is None:
        raise DataError(str(path), f"no such file; write {' or '.join(span_names('train'))} into the folder")
    file = read_spans(path)
    known = KnownTypes(file.types, file.path)
    others = {name: _optional(data, name, known) for name in ("val", "test")}
    train, val = whole(file), others["val"]
    if val is None and fraction == 0:
        val = train
    elif val is None:
        train, val = divided(file, fraction, config.seed)
    return SpanTexts(train, val, others["test"], known.names, config.seed)


def whole(file: SpannedTexts) -> SpanSplit:
    """Returns all texts of a file."""
    return SpanSplit(file, np.arange(len(file), dtype=np.int64))


def divided(file: SpannedTexts, fraction: float, seed: int) -> tuple[SpanSplit, SpanSplit]:
    """Returns the texts that train and those that are set aside.

    Each type keeps its share, as far as whole documents allow that. Equal texts stay together.

    Raises:
        DataError: if no text can be set aside.
    """
    numbers = {name: i for i, name in enumerate(file.types)}
    sets = [sorted({numbers[span.label] for span in spans}) for spans in file.spans]
    strata_N = ClassSets.of(sets, max(1, len(numbers))).strata_N
    hashes_N = np.fromiter(map(hash, map(composed, file.texts)), dtype=np.int64, count=len(file))
    documents_N = np.array(file.document_of, dtype=np.int64)
    if FEWEST_DOCUMENTS <= len(np.unique(documents_N)) < len(file):
        together_N = units(hashes_N, documents_N, np.ones(len(file), dtype=bool))
        rows_N = divide_units(strata_N, together_N, fraction, seed)
    else:
        rows_N = divide(strata_N, hashes_N, fraction, seed)
    if not len(rows_N):
        names = " or ".join(span_names("val"))
        raise DataError(
            file.path,
            "no two different texts have the same types of spans, so none can be set aside for validation; "
            f"add texts, or write {names}",
        )
    others_N = np.setdiff1d(np.arange(len(file), dtype=np.int64), rows_N, assume_unique=True)
    return SpanSplit(file, others_N), SpanSplit(file, rows_N)


def _optional(data: DataConfig, split: str, known: KnownTypes) -> SpanSplit | None:
    """Reads the file of a split that need not be there; raises DataError if the user named one that is
    missing."""
    path = Path(getattr(data, f"{split}_spans"))
    if status_of(path) is not None:
        return whole(read_spans(path, known))
    beside = [Path(data.train_spans).parent / name for name in span_names(split)]
    if path not in (*beside, Path(getattr(DataConfig(), f"{split}_spans"))):
        raise DataError(str(path), f"no such file; leave data.{split}_spans out to go without it")
    return None
