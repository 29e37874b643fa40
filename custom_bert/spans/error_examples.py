"""Texts whose spans were predicted wrong, a few of them, for a person to look at."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from custom_bert.spans.entity import Span

MOST = 30
"""The largest number of texts that are kept."""

AROUND = 160
"""Of a long text, this many characters before and after its first error are kept."""


class ErrorExamples:
    """Keeps some of the texts whose spans are wrong: those with the smallest hashes.

    So the choice depends neither on the order of the texts nor on how they are shared among processes, and
    the same text is seen again after another run, if it is still wrong.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[int, dict[str, Any]]] = []

    def add(self, text: str, true: Sequence[Span], predicted: Sequence[Span]) -> None:
        """Looks at a text. The spans of each side are in order, and do not overlap."""
        if list(true) == list(predicted):
            return
        key = zlib.crc32(text.encode("utf-8", "surrogatepass"))
        if len(self._kept) < MOST or key < self._kept[-1][0]:
            self.merge([(key, _example(text, true, predicted))])

    def merge(self, others: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Adds examples with their hashes, such as those that `kept` returns in another process."""
        self._kept = heapq.nsmallest(
            MOST, [*self._kept, *others], key=lambda pair: (pair[0], pair[1]["text"])
        )

    def kept(self) -> list[tuple[int, dict[str, Any]]]:
        """Returns the examples with their hashes."""
        return list(self._kept)

    def as_list(self) -> list[dict[str, Any]]:
        """Returns the examples for JSON: `text`, and the lists `true` and `predicted` of [start, end, type].

        Of a long text, `text` is the part around its first error, and places count from there.
        """
        return [example for _, example in self._kept]


def _example(text: str, true: Sequence[Span], predicted: Sequence[Span]) -> dict[str, Any]:
    """Returns a text, or the part around its first error, with the spans that are there."""
    wrong = min(set(true) ^ set(predicted))
    low, high = max(0, wrong.start - AROUND), min(len(text), wrong.end + AROUND)
    part: dict[str, Any] = {"text": text[low:high]}
    sides = {"true": true, "predicted": predicted}
    return part | {
        name: [
            [max(one.start, low) - low, min(one.end, high) - low, one.label]
            for one in spans
            if one.end > low and one.start < high
        ]
        for name, spans in sides.items()
    }
