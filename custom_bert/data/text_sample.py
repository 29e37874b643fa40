"""A sample of the training texts, spread evenly over all of them, for rules that look at texts."""

from __future__ import annotations

from collections.abc import Iterable


def spread(blocks: Iterable[list[str]], most: int) -> list[str]:
    """Returns at most `most` texts, spread evenly, and at least half as many if there are so many.

    The number of all texts need not be known: the texts between two that are kept double as more come.

    Args:
        blocks: the texts, in lists.
        most: the largest number of texts; at least 2.
    """
    kept: list[str] = []
    between, row = 1, 0
    for block in blocks:
        for text in block:
            if row % between == 0:
                if len(kept) == most:
                    kept = kept[::2]
                    between *= 2
                if row % between == 0:
                    kept.append(text)
            row += 1
    return kept
