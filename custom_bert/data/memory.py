"""Labelled texts in memory, in the place of the data files: for notebooks, folds and searches."""

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
    test_texts: Iterable[str] | None = None,
    test_labels: Iterable[str] | None = None,
) -> LabelledLines:
    """Texts and labels for `train_model(config, source=...)`.

    Args:
        texts: that train: a list, an array, or the column of a table.
        labels: one for each text, as it would be written into a label file: several labels of a text are one
            string with the separator between them.
        val_texts, val_labels: that measure. Without them a share of the training texts is set aside.
        test_texts, test_labels: that decide nothing. The finished model is measured on them once.

    Raises:
        TypeError: if something is no string; names the first.
        ValueError: if there are validation or test texts without labels, or the other way round.
    """
    val = _optional("val", val_texts, val_labels)
    test = _optional("test", test_texts, test_labels)
    train = _listed("texts", texts, "text"), _listed("labels", labels, "label")
    return LabelledLines(train, val, "val_texts and val_labels", test)


def _optional(
    split: str, texts: Iterable[str] | None, labels: Iterable[str] | None
) -> tuple[ListedLines, ListedLines] | None:
    """Returns the texts and labels of a split that there need not be."""
    if texts is not None and labels is not None:
        return _listed(f"{split}_texts", texts, "text"), _listed(f"{split}_labels", labels, "label")
    if texts is not None or labels is not None:
        raise ValueError(f"{split}_texts and {split}_labels belong together: give both, or neither")
    return None


def _listed(name: str, items: Iterable[str], what: str) -> ListedLines:
    return ListedLines(name, list(strings(items, what)))
