"""What a caller hands over as texts or labels: strings, or one line that names what is none and its place.

Lists, arrays and pandas' columns are checked whole before anything is computed; an iterator, which may be
endless, is checked as it is read. pandas and numpy are known by their manner and not imported.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from custom_bert.errors import shown

MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")
"""Classes whose one value stands for a missing one; of pandas and numpy the last three."""

TO_LIST = ("tolist", "to_list", "to_pylist")
"""Methods of columns and arrays in numpy and pandas, in polars, and in pyarrow."""


def strings(items: Iterable[str], what: str = "text") -> list[str] | Iterator[str]:
    """The items, each of them a string without half of a surrogate pair.

    Args:
        items: a list, a tuple, an array or a table's column, which give a list; or anything that is iterated
            over once.
        what: a text or a label, for messages.

    Raises:
        TypeError: if it is no collection of strings, or an item is no string; for an iterator, when that is
            reached.
    """
    _check_container(items, what)
    to_list: Any = next((found for name in TO_LIST if (found := getattr(items, name, None))), None)
    listed: Iterable[Any] = to_list() if callable(to_list) else items
    checked = _checked(listed, what)
    return list(checked) if isinstance(listed, list | tuple) else checked


def _checked(items: Iterable[Any], what: str) -> Iterator[str]:
    for i, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(f"{what} {i}: expected a string, got {shown(item)}; {_way_out(item, what)}")
        yield item if item.isascii() else joined(item)


def joined(text: str) -> str:
    """`text` with each surrogate pair joined to its character, and U+FFFD for half of one.

    A Python string may hold them, as json.loads gives of `"\\ud83c"`; UTF-8 may not, and so no tokenizer.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _check_container(items: object, what: str) -> None:
    """Raises TypeError for what is no collection, or would be iterated over something else than its items."""
    found = ""
    if isinstance(items, str):
        found = f"a single string; write [{what}]"
        found += ", or the lines of that file" if os.path.isfile(items) else ""
    elif isinstance(items, bytes | bytearray | memoryview):
        found = f"bytes; write [{what}.decode('utf-8')]"
    elif isinstance(items, os.PathLike):
        found = f"the path {shown(os.fspath(items))}; read the lines of that file"
    elif isinstance(items, set | frozenset):
        found = f"a set, which has no order; write a list of {what}s"
    elif isinstance(items, Mapping):
        found = "a mapping, which iterates over its keys; write list(mapping.values())"
    elif hasattr(items, "columns"):
        names = ", ".join(shown(name) for name in list(items.columns)[:3])
        found = f"a table, which iterates over its columns' names ({names}); write one column, table[name]"
    elif getattr(items, "ndim", 1) != 1:
        shape = tuple(getattr(items, "shape", ()))
        found = f"an array of shape {shape}; write its one column or row of {what}s"
    elif not isinstance(items, Iterable):
        found = shown(items)
    if found:
        raise TypeError(f"expected a list of {what}s, got {found}")


def _way_out(item: object, what: str) -> str:
    """What to do about an item that is no string."""
    if type(item).__name__ in MISSING or (isinstance(item, numbers.Real) and item != item):
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
