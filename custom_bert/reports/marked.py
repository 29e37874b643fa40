"""Texts with their spans marked, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from custom_bert.reports.labels import cut, printable

LEGEND = (
    "The upper line of each text has its true spans, and the lower one those that are predicted. Filled "
    "ones are "
    "on one side only. Of a long text, the part around its first error is shown."
)

MOST_OF_TYPE = 24
"""The largest number of characters that are shown of a type."""


def marked_examples(examples: Sequence[Mapping[str, Any]]) -> str:
    """Returns the texts whose spans were predicted wrong, each twice: with true and with predicted spans.

    Args:
        examples: `text`, and `true` and `predicted` as lists of [start, end, type].
    """
    if not examples:
        return "<p>The spans of every text are right.</p>"
    shown = []
    for one in examples:
        true, predicted = ([tuple(span) for span in one[side]] for side in ("true", "predicted"))
        upper, lower = marked(one["text"], true, predicted), marked(one["text"], predicted, true)
        shown.append(f'<div class="spans"><p dir="auto">{upper}</p><p dir="auto">{lower}</p></div>')
    return f'<p class="soft">{escape(LEGEND)}</p>{"".join(shown)}'


def marked(text: str, spans: Sequence[tuple[int, int, str]], others: Sequence[tuple[int, int, str]]) -> str:
    """Returns a text with its spans between <mark> tags, each followed by its type.

    Args:
        text: the text.
        spans: start, end and type of each span, in order and without overlap.
        others: the spans of the other side. A span that is not among them is marked as wrong.
    """
    html, at, right = "", 0, set(others)
    for start, end, label in spans:
        wrong = "" if (start, end, label) in right else ' class="wrong"'
        name = escape(cut(printable(label), MOST_OF_TYPE))
        html += f"{_seen(text[at:start])}<mark{wrong}>{_seen(text[start:end])}<sub>{name}</sub></mark>"
        at = end
    return html + _seen(text[at:])


def _seen(text: str) -> str:
    """Returns a part of a text as HTML, with a space for each character that does not print."""
    return escape("".join(one if one.isprintable() or one == "\n" else " " for one in text))
