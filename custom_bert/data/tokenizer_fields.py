"""Values of a tokenizer.json: what each may be, and what is said of one that is not.

A check takes a value and where it stands, and raises. Checks of single values are put together to checks of
lists, of objects with a closed set of keys, and of parts, which say themselves of which type they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from custom_bert.data.split_pattern import is_split_pattern
from custom_bert.errors import shown

LARGEST_ID = 1 << 22

LONGEST = 1 << 16
"""Characters of a string that a tokenizer would hold."""

DEEPEST = 3
"""Sequences inside each other."""

OPTIONAL = frozenset(
    {
        *("use_regex", "split", "prepend_scheme", "add_prefix_space", "cleanup", "trim_offsets"),
        *("ignore_merges", "byte_fallback", "dropout", "fuse_unk", "max_input_chars_per_word"),
    }
)
"""Keys that older files do not have, of parts and of models."""

Check = Callable[[Any, str], None]

Fields = Mapping[str, Check]
"""The keys of an object, and the check of each value."""


class NotSupportedError(ValueError):
    """A tokenizer that may be whole, of a kind that is not supported; the message names the kind."""


def text(value: Any, where: str) -> None:
    """A string that the library can take."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{where}: expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{where}: half a character") from None


def character(value: Any, where: str) -> None:
    """A string of one character."""
    text(value, where)
    if len(value) != 1:
        raise ValueError(f"{where}: expected one character")


def flag(value: Any, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false")


def never_random(value: Any, where: str) -> None:
    """Nothing, in the place of what would make encoding random."""
    if value is not None:
        raise NotSupportedError(f"a tokenizer that divides words at random ({where} is {shown(value)})")


def pattern(value: Any, where: str) -> None:
    """A literal, or the expression of our own vocabularies; any other can take for ever."""
    if isinstance(value, dict) and value.keys() == {"Regex"}:
        expression = value["Regex"]
        if isinstance(expression, str) and is_split_pattern(expression):
            return
        raise NotSupportedError(f"a tokenizer with a regular expression ({where} is {shown(expression)})")
    if not isinstance(value, dict) or value.keys() != {"String"}:
        raise ValueError(f"{where}: expected a literal text")
    text(value["String"], where)


def number(low: int, high: int) -> Check:
    """A whole number of a range."""

    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{where}: expected a whole number from {low} to {high}")

    return check


token_id = number(0, LARGEST_ID)


def one_of(*words: str) -> Check:
    """One of some words."""

    def check(value: Any, where: str) -> None:
        if value not in words:
            raise ValueError(f"{where}: expected one of {', '.join(words)}")

    return check


def or_null(inner: Check) -> Check:
    """A value, or none."""

    def check(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def list_of(inner: Check, most: int = 100) -> Check:
    """A list of values."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"{where}: expected a list of at most {most}")
        for i, one in enumerate(value):
            inner(one, f"{where}[{i}]")

    return check


def object_of(fields: Fields) -> Check:
    """An object with these keys and no others, beside its type."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected an object")
        for key in sorted(value.keys() - fields.keys() - {"type"}):
            raise NotSupportedError(f"a tokenizer whose {where} has the key {shown(key)}")
        for key in sorted(fields.keys() - value.keys() - OPTIONAL):
            raise ValueError(f"{where}: the key {key!r} is missing")
        for key, inner in fields.items():
            if key in value:
                inner(value[key], f"{where}.{key}")

    return check


def type_of(value: Any, where: str) -> str:
    """The type that a part says it is of."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"{where}: expected an object with a type")
    return kind


def part_of(kinds: Mapping[str, Fields], plural: str | None = None, depth: int = 0) -> Check:
    """A part of one of some types, or, if there is a key for it, a Sequence of such parts.

    Args:
        kinds: the fields of each type.
        plural: the key under which a Sequence has its parts.
        depth: Sequences around this one.
    """

    def check(value: Any, where: str) -> None:
        kind = type_of(value, where)
        if kind == "Sequence" and plural:
            if depth > DEEPEST:
                raise ValueError(f"{where}: too deep")
            object_of({plural: list_of(part_of(kinds, plural, depth + 1))})(value, where)
        elif kind in kinds:
            object_of(kinds[kind])(value, where)
        else:
            raise NotSupportedError(f"a tokenizer whose {where} is of the type {shown(kind)}")

    return check
