"""Checks of the values in a tokenizer.json.

A check takes a value and the place where it is, and raises `ValueError` or `NotSupportedError` if the value
is not allowed. Checks of single values are combined into checks of lists, of objects with a closed set of
keys, and of parts, which name their own type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from custom_bert.data.split_pattern import is_split_pattern
from custom_bert.errors import shown

LARGEST_ID = 1 << 22
"""The largest token id. A model needs memory for every id up to the highest one."""

LONGEST = 1 << 16
"""The largest number of characters of a string."""

DEEPEST = 3
"""The largest depth of Sequences inside each other."""

OPTIONAL = frozenset(
    {
        *("use_regex", "split", "prepend_scheme", "add_prefix_space", "cleanup", "trim_offsets"),
        *("ignore_merges", "byte_fallback", "dropout", "fuse_unk", "max_input_chars_per_word"),
    }
)
"""Keys of parts and of models that older files lack."""

Check = Callable[[Any, str], None]
"""Raises if a value, the first argument, is not allowed. The second one is its place, such as
"model.vocab"."""

Fields = Mapping[str, Check]
"""The keys of an object, and the check of each value."""


class NotSupportedError(ValueError):
    """A tokenizer that may be valid but is of a kind that is not supported. The message names the kind."""


def text(value: Any, where: str) -> None:
    """Checks that a value is a string that the library accepts."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{where}: expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{where}: a surrogate, which is half a character") from None


def character(value: Any, where: str) -> None:
    """Checks that a value is a string of one character."""
    text(value, where)
    if len(value) != 1:
        raise ValueError(f"{where}: expected one character")


def flag(value: Any, where: str) -> None:
    """Checks that a value is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false")


def never_random(value: Any, where: str) -> None:
    """Checks that a value is null, because any other one would make encoding random."""
    if value is not None:
        raise NotSupportedError(f"a tokenizer that divides words at random ({where} is {shown(value)})")


def pattern(value: Any, where: str) -> None:
    """Checks that a value is a literal text, or the regular expression of our own vocabularies.

    Any other expression is refused, because matching it might never end.
    """
    if isinstance(value, dict) and value.keys() == {"Regex"}:
        expression = value["Regex"]
        if isinstance(expression, str) and is_split_pattern(expression):
            return
        raise NotSupportedError(f"a tokenizer with a regular expression ({where} is {shown(expression)})")
    if not isinstance(value, dict) or value.keys() != {"String"}:
        raise ValueError(f"{where}: expected a literal text")
    text(value["String"], where)


def number(low: int, high: int) -> Check:
    """Returns a check that a value is a whole number from `low` to `high`."""

    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{where}: expected a whole number from {low} to {high}")

    return check


token_id = number(0, LARGEST_ID)


def one_of(*words: str) -> Check:
    """Returns a check that a value is one of some words."""

    def check(value: Any, where: str) -> None:
        if value not in words:
            raise ValueError(f"{where}: expected one of {', '.join(words)}")

    return check


def or_null(inner: Check) -> Check:
    """Returns a check that a value is null or passes the inner check."""

    def check(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def list_of(inner: Check, most: int = 100) -> Check:
    """Returns a check that a value is a list of at most `most` values that each pass the inner check."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"{where}: expected a list of at most {most}")
        for i, one in enumerate(value):
            inner(one, f"{where}[{i}]")

    return check


def object_of(fields: Fields) -> Check:
    """Returns a check that a value is an object with these keys and no others except "type"."""

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
    """Returns the type that a part names; raises ValueError if it names none."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"{where}: expected an object with a type")
    return kind


def part_of(kinds: Mapping[str, Fields], plural: str | None = None, depth: int = 0) -> Check:
    """Returns a check that a value is a part of one of some types, or a Sequence of such parts.

    Args:
        kinds: the fields of each type.
        plural: the key under which a Sequence has its parts; None if there are no Sequences.
        depth: the number of Sequences around this part.
    """

    def check(value: Any, where: str) -> None:
        kind = type_of(value, where)
        if kind == "Sequence" and plural:
            if depth > DEEPEST:
                raise ValueError(f"{where}: Sequences are nested too deeply")
            object_of({plural: list_of(part_of(kinds, plural, depth + 1))})(value, where)
        elif kind in kinds:
            object_of(kinds[kind])(value, where)
        else:
            raise NotSupportedError(f"a tokenizer whose {where} is of the type {shown(kind)}")

    return check
