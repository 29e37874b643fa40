"""Checks what a caller hands over as pairs of texts, and says in one line which item is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from custom_bert.data.given import joined, listed_or_iterated, strings
from custom_bert.data.text_pairs import paired
from custom_bert.errors import shown

TWO = 2
"""The number of texts of a pair."""


def texts_or_pairs(items: Any, *, pairs: bool) -> list[str] | Iterator[str]:
    """Returns texts as strings, or pairs as `data.text_pairs` holds them.

    Args:
        items: see `strings`, and `pair_strings`.
        pairs: whether they have to be pairs.

    Raises:
        TypeError: if `items` is not a collection of strings, or of pairs.
    """
    return pair_strings(items) if pairs else strings(items)


def are_pairs(items: Any) -> bool:
    """Returns whether a caller gives pairs: two columns, or a list whose first item is two strings."""
    if _is_two_columns(items):
        return True
    return isinstance(items, list | tuple) and bool(items) and _is_pair(items[0])


def pair_strings(items: Any) -> list[str] | Iterator[str]:
    """Returns pairs of texts as `data.text_pairs` holds them.

    Args:
        items: a list of pairs, such as `[("question", "answer")]`; an array or a table of two columns; or
            anything that can be iterated over, for which an iterator is returned.

    Raises:
        TypeError: if `items` is not a collection of pairs of strings. For an iterator it is raised when an
            item that is no pair is reached.
    """
    if isinstance(items, np.ndarray) and _is_two_columns(items):
        items = items.tolist()
    elif hasattr(items, "columns") and _is_two_columns(items):
        items = list(zip(*(list(items[name]) for name in list(items.columns)), strict=True))
    found = listed_or_iterated(items, "pair")
    checked = (checked_pair(item, f"pair {i}") for i, item in enumerate(found))
    return list(checked) if isinstance(found, list | tuple) else checked


def checked_pair(item: Any, name: str) -> str:
    """Returns a pair as `data.text_pairs` holds it.

    Args:
        item: what a caller gives.
        name: what the message calls it.

    Raises:
        TypeError: if it is not two strings.
    """
    if not _is_pair(item):
        way_out = (
            "this model reads pairs of texts" if isinstance(item, str) else "write a tuple of two strings"
        )
        raise TypeError(
            f"{name}: expected two texts, such as ('first', 'second'), got {shown(item)}; {way_out}"
        )
    first, second = map(joined, item)
    return paired(first, second)


def _is_pair(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        item = item.tolist()
    if isinstance(item, str | bytes | Mapping) or not isinstance(item, Sequence):
        return False
    return len(item) == TWO and all(isinstance(text, str) for text in item)


def _is_two_columns(items: Any) -> bool:
    """Returns whether something is a table, or an array, of two columns."""
    if hasattr(items, "columns") and not isinstance(items, type):
        return len(list(items.columns)) == TWO
    shape: Any = getattr(items, "shape", ())
    return len(shape) == TWO and shape[1] == TWO
