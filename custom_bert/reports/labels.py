"""How labels are shown: what a screen would obey instead of show, long ones, and very many."""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.terminal import ELLIPSIS


def most_frequent(counts: Sequence[int], most: int) -> list[int]:
    """Indices of all counts, in their order; of more than `most`, those of the largest, the largest first."""
    if len(counts) <= most:
        return list(range(len(counts)))
    return sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:most]


def printable(label: str) -> str:
    """The label, with what a terminal would obey instead of show written as escapes."""
    return label if label.isprintable() else repr(label)[1:-1]


def cut(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """`text`, or its beginning and an ellipsis, in at most `width` characters."""
    return text if len(text) <= width else text[: width - len(ellipsis)] + ellipsis
