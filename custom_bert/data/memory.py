"""Labelled texts in memory, in the place of the four files: for notebooks, folds and searches."""

from __future__ import annotations

from collections.abc import Iterable

from custom_bert.data.given import strings
from custom_bert.data.lines import ListedLines
from custom_bert.data.reading import LabelledLines


def in_memory(
    texts: Iterable[str],
    labels: Iterable[str],
    *,
    val_texts: Iterable[str] | None = None,
    val_labels: Iterable[str] | None = None,
) -> LabelledLines:
    """Texts and labels for `train_model(config, source=...)`.

    Args:
        texts: that train: a list, an array, or the column of a table.
        labels: one for each text, as it would be written into a label file: several labels of a text are one
            string with the separator between them.
        val_texts, val_labels: that measure. Without them a share of the training texts is set aside.

    Raises:
        TypeError: if something is no string; names the first.
        ValueError: if there are validation texts without labels, or the other way round.
    """
    if (val_texts is None) != (val_labels is None):
        raise ValueError("val_texts and val_labels belong together: give both, or neither")
    val = None
    if val_texts is not None and val_labels is not None:
        val = _listed("val_texts", val_texts, "text"), _listed("val_labels", val_labels, "label")
    train = _listed("texts", texts, "text"), _listed("labels", labels, "label")
    return LabelledLines(train, val, "val_texts and val_labels")


def _listed(name: str, items: Iterable[str], what: str) -> ListedLines:
    return ListedLines(name, list(strings(items, what)))
