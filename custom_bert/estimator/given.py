"""What a caller of the estimator gives: texts and labels, in the forms that scikit-learn's users have.

pandas and scipy need not be installed: tables are known by what they can do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from custom_bert.data.given import TO_LIST, is_missing, strings
from custom_bert.data.given_pairs import are_pairs, pair_strings
from custom_bert.data.text_pairs import sides
from custom_bert.errors import shown

LEAVE_OUT = "it stands for a missing value: leave it and its text out"


def texts_of(X: Any) -> list[str]:
    """Returns texts as a list of strings.

    Args:
        X: a list, a tuple, an array, the column of a table, a table of one column, or an array of shape
            (N, 1).

    Raises:
        TypeError: if it is anything else, or an item is not a string; names the first.
    """
    return list(strings(cast(Iterable[str], one_column(X)), "text"))


def texts_of_one_or_two_columns(X: Any) -> list[Any]:
    """Returns texts as a list of strings, or pairs of texts as a list of tuples.

    Args:
        X: see `texts_of`; for pairs a list of tuples of two strings, an array of shape (N, 2), or a table of
            two columns.

    Raises:
        TypeError: if it is anything else, or an item is not a string or no pair; names the first.
    """
    return [sides(pair) for pair in pair_strings(X)] if are_pairs(X) else texts_of(X)


def one_column(items: Any) -> Any:
    """Returns the only column of a table or of an array of shape (N, 1); anything else as it is.

    What only can become an array becomes one.
    """
    columns = list(getattr(items, "columns", ()))
    if len(columns) == 1:
        return items[columns[0]]
    if hasattr(items, "__array__") and not hasattr(items, "__iter__"):
        items = np.asarray(items)
    shape: Any = getattr(items, "shape", ())
    return items.ravel() if not columns and len(shape) == 2 and shape[1] == 1 else items


def listed(labels: Any) -> list[Any]:
    """Returns labels as a list of Python's own objects.

    Raises:
        TypeError: if they are not a collection of labels.
        ValueError: if a label is missing; names the first.
    """
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise TypeError(f"expected a list of labels, got {shown(labels)}")
    method = next((name for name in TO_LIST if hasattr(labels, name)), None)
    found: list[Any] = list(labels if method is None else getattr(labels, method)())
    for i, label in enumerate(found):
        if is_missing(label):
            raise ValueError(f"label {i}: expected a label, got {shown(label)}; {LEAVE_OUT}")
    return found


KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool, np.bool_),
    "int": (int, np.integer),
    "float": (float, np.floating),
}
"""The types that labels may have. A bool is an int in Python, so it is asked for first."""


def kind_of(labels: list[Any]) -> str:
    """Returns the kind that all labels share: str, bool, int or float.

    Raises:
        ValueError: if a label is of no kind, or two are of different kinds; names the first.
    """
    first = None
    for i, label in enumerate(labels):
        kind = next((name for name, types in KINDS.items() if isinstance(label, types)), None)
        if kind is None:
            raise ValueError(f"label {i}: expected a string, a number or a bool, got {shown(label)}")
        first = first or (i, kind)
        if kind != first[1]:
            raise ValueError(
                f"labels of mixed types: label {first[0]} is {shown(labels[first[0]])}, and label {i} is "
                f"{shown(label)}; write all of them as {first[1]}"
            )
    return "str" if first is None else first[1]


def counts_agree(texts: int, labels: int) -> None:
    """Raises ValueError if there are not as many labels as texts."""
    if not texts:
        raise ValueError("there is no text: 0 samples, while at least 2 are needed")
    if labels != texts:
        raise ValueError(f"there are {texts:,} texts and {labels:,} labels; each text needs one")
