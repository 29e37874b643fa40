"""The types of the values of settings: what is read as which type, from JSON, Python and the command line.

Only the standard library is imported, as in `config`.
"""

from __future__ import annotations

import json
import math
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from custom_bert.errors import did_you_mean, shown


def coerce(value: Any, annotation: Any) -> Any:
    """Returns `value` as the type `annotation` if nothing is lost by that.

    3.0 becomes 3, and a Path its text. Scalars of numpy and torch become Python's own numbers and strings,
    which can be written as JSON.

    Raises:
        ValueError: if the value is of another type; it says what is expected.
    """
    value = plain(value)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        if value is None and len(options) < len(get_args(annotation)):
            return None
        if is_table(options[-1]):
            return _table(value) if isinstance(value, Mapping) else _word_or_table(value, options[0])
        return coerce(value, options[0])
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        if not isinstance(value, str) or value not in choices:
            nearest = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise ValueError(f"expected one of {', '.join(choices)}{nearest}")
        return str.__str__(value)  # a subclass of str, such as numpy's, becomes a plain string
    if annotation is bool:
        if not isinstance(value, bool):
            raise ValueError("expected True or False")
        return value
    if get_origin(annotation) is tuple:
        values = (value,) if isinstance(value, (str, os.PathLike)) else value
        if not isinstance(values, (list, tuple)):
            raise ValueError("expected a list of texts")
        return tuple(coerce(one, str) for one in values)
    if isinstance(value, bool):  # in Python a bool is an int too
        raise ValueError(f"expected {'a number' if annotation in (int, float) else 'text'}")
    if annotation is int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int):
            raise ValueError("expected a whole number")
        return int(value)
    if annotation is float:
        try:
            number = float(value) if isinstance(value, (int, float)) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError("expected a finite number")
        return number
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def is_table(annotation: Any) -> bool:
    """Returns whether a type is that of labels with numbers."""
    return get_origin(annotation) is dict


def _word_or_table(value: Any, words: Any) -> Any:
    """Returns one of some words, or the table that a text means, which is JSON on the command line."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return _table(json.loads(value, object_pairs_hook=_without_repetition))
        except json.JSONDecodeError as error:
            raise ValueError(f"expected a table in JSON, such as {EXAMPLE}, but {error}") from None
    try:
        return coerce(value, words)
    except ValueError as error:
        raise ValueError(f"{error}, or a table such as {EXAMPLE}") from None


EXAMPLE = '{"spam": 5}'
"""A table of labels and numbers, for messages."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"{shown(twice)} occurs twice in the table")
    return table


def _table(value: Mapping[Any, Any]) -> dict[str, float]:
    """Returns a mapping of labels to weights above 0 with Python's own strings and numbers."""
    if not value:
        raise ValueError(f"expected a table with a label, such as {EXAMPLE}")
    table = {}
    for label, weight in value.items():
        try:
            table[coerce(label, str)] = coerce(weight, float)
        except ValueError as error:
            raise ValueError(f"{shown(label)}: {error}") from None
        if table[label] <= 0:
            raise ValueError(f"{shown(label)}: expected a number above 0")
    return table


def plain(value: Any) -> Any:
    """Returns the number or string in a scalar of numpy or torch, and any other value as it is.

    Scalars are recognised by `ndim` and `item`, since this module imports neither library.
    """
    if getattr(value, "ndim", None) != 0 or not callable(getattr(value, "item", None)):
        return value
    try:
        return value.item()
    except (RuntimeError, TypeError, ValueError):  # a tensor without values, on torch's meta device
        return value


def _text(value: Any) -> str:
    """Returns a string that can be the name of a file.

    A file's name may hold bytes that are not UTF-8. Python writes these as halves of surrogate pairs (PEP
    383), which are accepted. No other halves are.

    Raises:
        ValueError: if the value is not such a string.
    """
    if isinstance(value, bytes):
        raise ValueError("expected text (decode bytes first)")
    if not isinstance(value, str):
        raise ValueError("expected text")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("expected text without half of a surrogate pair") from None
    if "\0" in value:
        raise ValueError("expected text without a NUL character")
    return str.__str__(value)


def from_text(text: str, annotation: Any) -> Any:
    """Returns a word of the command line as a number or truth value where `annotation` asks for one.

    A word that cannot be read as one is returned as it is, so that `coerce` refuses it.
    """
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(option for option in get_args(annotation) if option is not type(None))
    if annotation is bool:
        return {"True": True, "False": False}.get(text, text)
    for kind in (int, float):
        if annotation in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text
