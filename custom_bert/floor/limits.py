"""How much text the floor learns from, so that its time and its memory are bounded however large the data is.

Counting n-grams of words and characters takes about two seconds for a million characters on one core, and
about 60 bytes of memory for each. The linear model is fitted once for each class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHARACTERS = 10_000_000
"""The most characters of training texts that are counted. Of more text, lines are drawn at random."""

LONG_TEXT = 1_000
"""From this mean length on, only n-grams of words are counted: those of characters would take most of the
time and bring nothing (docs/log/0023)."""

CHARACTERS_OF_LONG_TEXTS = 20_000_000
"""`CHARACTERS` where only words are counted, which takes less than half the time."""

TEXT = 4_000
"""The number of characters that are read of each text."""

WORK = 1_500_000_000
"""The most characters times classes, which bounds the time of fitting. Many classes read fewer texts."""

MEASURED = 5_000_000
"""The most characters of validation texts that are measured. Of more text, lines are drawn at random."""

TEXTS_PER_CLASS = 2
"""The fewest texts for each class, on average. With so many classes that `WORK` allows fewer, there is no
floor."""


@dataclass(frozen=True)
class Portion:
    """The lines that the floor reads.

    Attributes:
        rows_N: (N,) int64 the indices of the lines within their split, from 0, ascending.
        total: the number of lines of the split.
    """

    rows_N: np.ndarray
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether it has every line."""
        return len(self.rows_N) == self.total


def training_portion(
    total: int, mean_characters: float, firsts: np.ndarray, num_classes: int, seed: int
) -> Portion | None:
    """Returns the training lines that the floor learns from; None if it cannot learn so many classes.

    Args:
        total: the number of training lines.
        mean_characters: the mean length of a line.
        firsts: the index of the first line of each class, which is always read.
        num_classes: the number of classes.
        seed: decides which lines are drawn.
    """
    most = CHARACTERS if mean_characters < LONG_TEXT else CHARACTERS_OF_LONG_TEXTS
    budget = min(most, WORK / num_classes)
    portion = _portion(total, mean_characters, budget, seed)
    if len(portion.rows_N) < min(total, TEXTS_PER_CLASS * num_classes):
        return None
    return Portion(np.union1d(portion.rows_N, firsts), total)


def measured_portion(total: int, mean_characters: float, seed: int) -> Portion:
    """Returns the validation lines that the floor is measured on."""
    return _portion(total, mean_characters, MEASURED, seed)


def _portion(total: int, mean_characters: float, budget: float, seed: int) -> Portion:
    count = min(total, int(budget / max(1.0, min(mean_characters, TEXT))))
    if count == total:
        return Portion(np.arange(total), total)
    drawn = np.random.Generator(np.random.PCG64(seed)).choice(total, count, replace=False)
    return Portion(np.sort(drawn), total)
