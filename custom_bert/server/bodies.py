"""Reads the bodies of requests: JSON of a closed form, every fault of which is one line.

A lone surrogate, which JSON can express and UTF-8 cannot, is read as `Classifier.predict` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from custom_bert.errors import did_you_mean, shown
from custom_bert.server.limits import EXPLAINED_CHARACTERS, OVERHEAD, Limits, RefusalError

SEVERAL_TEXTS, ONE_TEXT, ALL = "texts", "text", "probabilities"
"""Keys of a body for predictions and vectors."""

MOST_EXPLAINED = 256
"""The largest number of words that a request for an explanation may ask for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The texts of a request.

    Attributes:
        items: texts, or pairs of texts.
        sizes: the characters that each counts.
        every: whether the probabilities of all labels are asked for.
    """

    items: Sequence[Any]
    sizes: Sequence[int]
    every: bool = False


@dataclass(frozen=True, slots=True)
class AskedWords:
    """A text or a pair to explain, the label to explain, and the largest number of words for a label."""

    text: Any
    label: str | None
    most: int


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse_constant).decode


def parsed(body: bytes, known: frozenset[str]) -> Mapping[str, Any]:
    """Returns the object that a body holds.

    Args:
        body: the body.
        known: the keys that it may have.

    Raises:
        RefusalError: if it is not UTF-8, not JSON, not an object, or has another key.
    """
    try:
        value = _decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RefusalError(400, f"the body is not UTF-8, from byte {error.start} on") from None
    except RecursionError:
        raise RefusalError(400, "the body is not JSON that is read here: it is nested too deeply") from None
    except ValueError as error:
        raise RefusalError(400, f"the body is not JSON: {_reason(error)}") from None
    if type(value) is not dict:
        raise RefusalError(422, 'the body has to be an object, such as {"texts": ["a text", "another"]}')
    if not known.issuperset(value):
        key = next(key for key in value if key not in known)
        raise RefusalError(422, f"unknown key {shown(key)}{did_you_mean(key[:80], sorted(known))}")
    return value


def _reason(error: ValueError) -> str:
    """Returns why the body is not JSON, without a copy of any of it."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}" if error.doc else "it is empty"
    return str(error).partition(":")[0]


PREDICTION_KEYS = frozenset({SEVERAL_TEXTS, ONE_TEXT, ALL})
VECTOR_KEYS = frozenset({SEVERAL_TEXTS, ONE_TEXT})
EXPLANATION_KEYS = frozenset({ONE_TEXT, "label", "most"})


def read_texts(body: bytes, limits: Limits, *, pairs: bool, keys: frozenset[str]) -> Asked:
    """Reads a request for predictions or vectors.

    Args:
        body: the body.
        limits: the most that a request may ask for.
        pairs: whether the model reads pairs of texts.
        keys: the keys that the body may have.

    Raises:
        RefusalError: if it is not as expected, or too large.
    """
    value = parsed(body, keys)
    every = value.get(ALL, False)
    if type(every) is not bool:
        raise RefusalError(422, f"{ALL}: expected true or false")
    if (SEVERAL_TEXTS in value) == (ONE_TEXT in value):
        raise RefusalError(422, f"give either {SEVERAL_TEXTS!r}, a list, or {ONE_TEXT!r}")
    if ONE_TEXT in value:
        items, name = [value[ONE_TEXT]], ONE_TEXT
    else:
        items, name = value[SEVERAL_TEXTS], SEVERAL_TEXTS
        if type(items) is not list:
            raise RefusalError(422, f"{SEVERAL_TEXTS}: expected a list of {'pairs' if pairs else 'texts'}")
    if len(items) * (2 if pairs else 1) > limits.texts:
        raise RefusalError(413, f"{SEVERAL_TEXTS}: at most {limits.texts:,} texts are read at a time")
    sizes = (_pair_sizes if pairs else _text_sizes)(items, name)
    if sum(sizes) - OVERHEAD * len(sizes) > limits.characters:
        raise RefusalError(413, f"{name}: at most {limits.characters:,} characters are read at a time")
    return Asked(items, sizes, every)


def _text_sizes(items: list[Any], name: str) -> list[int]:
    """Returns the size of each text."""
    for index, item in enumerate(items):
        if type(item) is not str:
            raise RefusalError(422, f"{_at(name, index)}: expected a text, got {_kind(item)}")
    return [len(item) + OVERHEAD for item in items]


def _pair_sizes(items: list[Any], name: str) -> list[int]:
    """Returns the size of each pair."""
    for index, item in enumerate(items):
        if type(item) is not list or len(item) != 2 or type(item[0]) is not str or type(item[1]) is not str:
            raise RefusalError(
                422, f'{_at(name, index)}: expected two texts, such as ["a", "b"]; this model reads pairs'
            )
    return [len(first) + len(second) + OVERHEAD for first, second in items]


def read_words(body: bytes, *, pairs: bool) -> AskedWords:
    """Reads a request for an explanation of a text or, where the model reads pairs, of a pair.

    Raises:
        RefusalError: if it is not as expected, or the text is too long.
    """
    value = parsed(body, EXPLANATION_KEYS)
    text, label, most = value.get(ONE_TEXT), value.get("label"), value.get("most", 10)
    (size,) = (_pair_sizes if pairs else _text_sizes)([text], ONE_TEXT)
    if size - OVERHEAD > EXPLAINED_CHARACTERS:
        raise RefusalError(
            413, f"{ONE_TEXT}: at most {EXPLAINED_CHARACTERS:,} characters of a text are explained"
        )
    if label is not None and type(label) is not str:
        raise RefusalError(422, f"label: expected a label, got {_kind(label)}")
    if type(most) is not int or not 0 <= most <= MOST_EXPLAINED:
        raise RefusalError(422, f"most: expected a whole number from 0 to {MOST_EXPLAINED}")
    return AskedWords(text, label, most)


def _at(name: str, index: int) -> str:
    return name if name == ONE_TEXT else f"{name}[{index}]"


def _kind(value: Any) -> str:
    """Returns what JSON calls a value."""
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return "nothing" if value is None else names.get(type(value), "an object")
