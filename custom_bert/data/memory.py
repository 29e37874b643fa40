"""Labelled texts in memory, in the place of the data files: for notebooks, folds and searches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from custom_bert.data.given import strings
from custom_bert.data.given_pairs import are_pairs, texts_or_pairs
from custom_bert.data.lines import ListedLines
from custom_bert.data.reading import LabelledLines
from custom_bert.errors import shown


def in_memory(
    texts: Iterable[Any],
    labels: Iterable[str],
    *,
    weights: Iterable[float] | None = None,
    val_texts: Iterable[Any] | None = None,
    val_labels: Iterable[str] | None = None,
    test_texts: Iterable[Any] | None = None,
    test_labels: Iterable[str] | None = None,
) -> LabelledLines:
    """Texts and labels for `train_model(config, source=...)`.

    Args:
        texts: that train: a list, an array, or the column of a table. For pairs of texts it is a list of
            tuples of two strings, or an array or a table of two columns.
        labels: one for each text, as it would be written into a label file: several labels of a text are one
            string with the separator between them.
        weights: how much each training text counts, from 0 on, up to a common factor. A text with the weight
            2 counts as two of its kind, one with 0 is left out. None lets all count the same.
        val_texts, val_labels: that measure. Without them a share of the training texts is set aside.
        test_texts, test_labels: that decide nothing. The finished model is measured on them once.

    Raises:
        TypeError: if something is no string, or the weights are no numbers; names the first.
        ValueError: if there are validation or test texts without labels, or the other way round; if a weight
            is negative or not finite, all are 0, or there are not as many as texts.
    """
    pairs = are_pairs(texts)
    val = _optional("val", val_texts, val_labels, pairs=pairs)
    test = _optional("test", test_texts, test_labels, pairs=pairs)
    rows, kept_N = (list(texts_or_pairs(texts, pairs=pairs)), list(strings(labels, "label"))), None
    if weights is not None:
        weights_N = checked_weights(weights, len(rows[0]))
        if len(rows[1]) == len(weights_N):  # otherwise reading says which of them lacks its partner
            kept = np.flatnonzero(weights_N).tolist()
            rows, weights_N = ([rows[0][i] for i in kept], [rows[1][i] for i in kept]), weights_N[kept]
        kept_N = as_relative(weights_N)
    train = ListedLines("texts", rows[0], pairs=pairs), ListedLines("labels", rows[1])
    return LabelledLines(train, val, "val_texts and val_labels", test, kept_N)


def checked_weights(weights: Iterable[float], count: int) -> np.ndarray:
    """Returns (count,) float64 weights, the largest of which is 1.

    Raises:
        TypeError: if they are not numbers.
        ValueError: if a weight is negative or not finite, all are zero, or there are not as many as texts.
    """
    is_array = hasattr(weights, "__array__")
    if isinstance(weights, str | bytes) or not (is_array or isinstance(weights, Iterable)):
        raise TypeError(f"weights: expected a number for each text, got {shown(weights)}")
    listed = weights if is_array else list(weights)
    try:
        weights_N = np.asarray(listed, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"weights: expected a number for each text, got {shown(listed)}") from None
    if weights_N.shape != (count,):
        raise ValueError(
            f"weights: expected {count:,} numbers, one for each text, got the shape {weights_N.shape}"
        )
    wrong = np.flatnonzero(~(np.isfinite(weights_N) & (weights_N >= 0)))
    if len(wrong):
        value = weights_N[wrong[0]].item()
        raise ValueError(f"weight {wrong[0]}: expected a finite number from 0 on, got {value}")
    if not weights_N.any():
        raise ValueError("weights: all are zero, so that there is nothing to learn")
    relative_N: np.ndarray = weights_N / weights_N.max()
    relative_N[relative_N < SMALLEST] = 0.0
    return relative_N


SMALLEST = 1e-12
"""A weight that is a smaller share of the largest one counts as 0. Sums in single precision would lose it."""


def as_relative(weights_N: np.ndarray) -> np.ndarray | None:
    """Returns weights as float32 numbers with the mean 1; None if all are equal.

    So a common factor changes nothing, also where a loss is weighed against something else, as in the floor.
    """
    if not len(weights_N) or (weights_N == weights_N[0]).all():
        return None
    return np.asarray(weights_N / weights_N.mean(), dtype=np.float32)


def _optional(
    split: str, texts: Iterable[Any] | None, labels: Iterable[str] | None, *, pairs: bool
) -> tuple[ListedLines, ListedLines] | None:
    """Returns the texts and labels of a split that there need not be."""
    if texts is not None and labels is not None:
        listed = list(texts_or_pairs(texts, pairs=pairs)), list(strings(labels, "label"))
        names = f"{split}_texts", f"{split}_labels"
        return ListedLines(names[0], listed[0], pairs=pairs), ListedLines(names[1], listed[1])
    if texts is not None or labels is not None:
        raise ValueError(f"{split}_texts and {split}_labels belong together: give both, or neither")
    return None
