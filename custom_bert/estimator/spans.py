"""Texts and spans as an estimator's caller gives them, as the lines of a file that training reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from custom_bert.errors import shown
from custom_bert.spans.entity import Span

NAMES = ("start", "end", "label")
"""The fields of a span, in order."""


def read_spans_of(y: Any, texts: Sequence[str]) -> list[list[Span]]:
    """Returns the spans of texts, checked and in order.

    Args:
        y: for each text a list of spans: mappings with start, end and label, tuples of these three, or `Span`
            and what `predict` returns.
        texts: the texts.

    Raises:
        TypeError, ValueError: for the first span that cannot be used, in one line that says where.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None")
    if isinstance(y, str | bytes | Mapping) or not isinstance(y, Iterable):
        raise TypeError(f"spans: expected a list with a list of spans for each text, got {shown(y)}")
    given = list(y)
    if len(given) != len(texts):
        raise ValueError(f"there are {len(texts):,} texts and {len(given):,} lists of spans")
    return [_of_text(i, text, spans) for i, (text, spans) in enumerate(zip(texts, given, strict=True))]


def _of_text(index: int, text: str, spans: Any) -> list[Span]:
    if isinstance(spans, str | bytes | Mapping) or not isinstance(spans, Iterable):
        raise TypeError(f"spans of text {index}: expected a list of spans, got {shown(spans)}")
    found = sorted(_span(index, text, one) for one in spans)
    for first, second in zip(found, found[1:], strict=False):
        if second.start < first.end:
            raise ValueError(
                f"spans of text {index}: {first.start} to {first.end} and {second.start} to {second.end} "
                f"overlap; keep one of them"
            )
    return found


def _span(index: int, text: str, given: Any) -> Span:
    if isinstance(given, Mapping):
        values = [given.get(name) for name in NAMES]
    elif isinstance(given, tuple):
        values = list(given[:3])
    else:
        values = [getattr(given, name, None) for name in NAMES]
    if len(values) < 3 or any(value is None for value in values):
        raise TypeError(f"spans of text {index}: expected start, end and label, got {shown(given)}")
    start, end, label = values
    if not all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end)):
        raise TypeError(f"spans of text {index}: start and end are whole numbers, got {shown(given)}")
    if not 0 <= start < end <= len(text):
        raise ValueError(
            f"spans of text {index}: {start} to {end} is not within the text, which has {len(text):,} "
            f"characters; end is the index after the last one"
        )
    return Span(start, end, str(label))


def json_lines(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> bytes:
    """Returns the content of a file that `spans.json_spans` reads."""
    lines = [
        json.dumps(
            {"text": text, "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in of_text]},
            ensure_ascii=False,
        )
        for text, of_text in zip(texts, spans, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode()
