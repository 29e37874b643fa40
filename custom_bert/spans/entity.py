"""A span: a place in a text, and the type of the entity that stands there.

Places count characters of the text as the user wrote it, as Python counts them (code points).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A part of a text and its type: `text[start:end]` is the entity. Spans sort by their place.

    Attributes:
        start: the index of the first character.
        end: the index after the last character.
        label: the type, such as PER.
    """

    start: int
    end: int
    label: str


def types_of(spans: Iterable[Iterable[Span]]) -> tuple[str, ...]:
    """Returns the different types in some texts' spans, sorted."""
    return tuple(sorted({span.label for of_text in spans for span in of_text}))


OUTSIDE = "O"
"""The tag of what is outside of every span."""


def tag_names(types: Sequence[str]) -> tuple[str, ...]:
    """Returns the K = 1 + 2 x types tags of a model's outputs: `O`, then `B-X` and `I-X` of each type X.

    The tag at 1 + 2 t begins a span of type t, and the tag at 2 + 2 t goes on with one.
    """
    return (OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI"))
