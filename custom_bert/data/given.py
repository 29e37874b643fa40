"""Checks what a caller hands over as texts or labels, and says in one line which item is not a string.

Lists, arrays and columns of tables are checked whole before anything is computed. An iterator, which may be
endless, is checked as it is read. Types of pandas and other libraries are recognised by their methods, so
that none of these libraries is imported.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from custom_bert.errors import shown

MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")
"""The names of classes whose only value means that a value is missing; the last three are pandas' and
numpy's."""

TO_LIST = ("tolist", "to_list", "to_pylist")
"""The methods that turn a column or an array into a list: in numpy and pandas, in polars, and in pyarrow."""


def strings(items: Iterable[str], what: str = "text") -> list[str] | Iterator[str]:
    """Returns the items as strings that can be written as UTF-8 (see `joined`).

    Args:
        items: a list, a tuple, an array or a table's column, for which a list is returned; or anything that
            can be iterated over, for which an iterator is returned.
        what: the word for an item in messages: text or label.

    Raises:
        TypeError: if `items` is not a collection of strings. For an iterator it is raised when an item that
            is not a string is reached.
    """
    listed = listed_or_iterated(items, what)
    checked = _checked(listed, what)
    return list(checked) if isinstance(listed, list | tuple) else checked


def listed_or_iterated(items: Iterable[Any], what: str) -> Iterable[Any]:
    """Returns a list of the items of an array or of a table's column; anything else as it is.

    Args:
        items: the items.
        what: the word for an item in messages.

    Raises:
        TypeError: if `items` is not a collection of items.
    """
    _check_container(items, what)
    to_list: Any = next((method for name in TO_LIST if (method := getattr(items, name, None))), None)
    listed: Iterable[Any] = to_list() if callable(to_list) else items
    return listed


def _checked(items: Iterable[Any], what: str) -> Iterator[str]:
    for i, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(f"{what} {i}: expected a string, got {shown(item)}; {_way_out(item, what)}")
        yield item if item.isascii() else joined(item)


def joined(text: str) -> str:
    """Returns `text` with each surrogate pair joined to its character, and U+FFFD in place of half a pair.

    A Python string may hold surrogates: `json.loads` makes one from `"\\ud83c"`. UTF-8, which tokenizers
    read, may not.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _check_container(items: object, what: str) -> None:
    """Raises TypeError if `items` is not a collection, or if iterating over it would not yield its texts.

    A string would yield characters, for example, and a table the names of its columns.
    """
    got = ""
    if isinstance(items, str):
        got = f"a single string; write [{what}]"
        got += ", or the lines of that file" if os.path.isfile(items) else ""
    elif isinstance(items, bytes | bytearray | memoryview):
        got = f"bytes; write [{what}.decode('utf-8')]"
    elif isinstance(items, os.PathLike):
        got = f"the path {shown(os.fspath(items))}; read the lines of that file"
    elif isinstance(items, set | frozenset):
        got = f"a set, which has no order; write a list of {what}s"
    elif isinstance(items, Mapping):
        got = "a mapping, which iterates over its keys; write list(mapping.values())"
    elif hasattr(items, "columns"):
        names = ", ".join(shown(name) for name in list(items.columns)[:3])
        got = f"a table, which iterates over its columns' names ({names}); write one column, table[name]"
    elif getattr(items, "ndim", 1) != 1:
        shape = tuple(getattr(items, "shape", ()))
        got = f"an array of shape {shape}; write its one column or row of {what}s"
    elif not isinstance(items, Iterable):
        got = shown(items)
    if got:
        raise TypeError(f"expected a list of {what}s, got {got}")


def is_missing(item: object) -> bool:
    """Returns whether an item only says that a value is missing: None, not a number, and their like."""
    # not a number is the one value that differs from itself
    return type(item).__name__ in MISSING or (isinstance(item, numbers.Real) and item != item)


def _way_out(item: object, what: str) -> str:
    """Returns what the caller can do about an item that is not a string."""
    if is_missing(item):
        others = "leave it out, or write ''" if what == "text" else "leave it and its text out"
        return f"it stands for a missing value: {others}"
    if isinstance(item, bytes | bytearray):
        return f"decode it, {what}.decode('utf-8')"
    if isinstance(item, os.PathLike):
        return "read the file"
    if isinstance(item, Mapping):
        return "write the string that it holds under a key"
    if isinstance(item, Iterable):
        return f"write one string for each {what}, without lists inside the list"
    return f"write str({what}) where its digits or name are meant"
