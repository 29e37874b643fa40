"""How labels are shown: control characters escaped, long ones cut, and of very many the most frequent."""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.terminal import ELLIPSIS


def most_frequent(counts: Sequence[int], most: int) -> list[int]:
    """Returns the indices of all counts; of more than `most`, the indices of the largest, falling."""
    if len(counts) <= most:
        return list(range(len(counts)))
    return sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:most]


def printable(label: str) -> str:
    """Returns the label with characters that do not print, such as a terminal's commands, as escapes."""
    return label if label.isprintable() else repr(label)[1:-1]


def cut(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """Returns `text`, or its beginning and an ellipsis, in at most `width` characters."""
    return text if len(text) <= width else text[: width - len(ellipsis)] + ellipsis
