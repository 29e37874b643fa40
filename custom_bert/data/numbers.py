"""Numbers as targets: how they are written, and the numbers of a file's lines.

Shapes: N lines, K numbers in a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from custom_bert.data.labels import THOUSANDS, short_label
from custom_bert.data.targets import WeightedTargets
from custom_bert.data.text import is_blank

LARGEST = 1e30
"""The largest number that is read. Squares and single precision still hold what is computed from it."""

MOST_NUMBERS = 1_000
"""The largest number of numbers in a line."""

BINS = 10
"""The numbers of a file are divided into so many strata, from the lowest to the highest."""

STRATUM = 20
"""The fewest lines of a stratum; a small file has fewer strata."""

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
WITH_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
WITH_UNIT = re.compile(r"(\D{0,3})[+-]?[0-9][0-9.,]*\s*(\D{0,12})")
OTHER_MINUS = "\u2212\u2012\u2013\u2014\ufe63\uff0d"
"""Signs that look like the minus of a keyboard, as word processors write them."""

NO_NUMBER = ("nan", "inf", "infinity", "null", "none", "na", "n/a")


def parsed_number(cell: str) -> float:
    """Returns the number that a string is, without white space around it.

    Raises:
        ValueError: if it is no finite decimal number; says why and what to write.
    """
    cell = cell.strip()
    shown = short_label(cell)
    if NUMBER.fullmatch(cell):
        value = float(cell)
        if abs(value) > LARGEST:
            raise ValueError(f"{shown} is larger than {LARGEST:g}; write the numbers in another unit")
        return value
    if is_blank(cell):
        raise ValueError("an empty number")
    if cell.lstrip("+-").casefold() in NO_NUMBER:
        raise ValueError(f"{shown} is no finite number")
    if cell[0] in OTHER_MINUS and NUMBER.fullmatch(cell[1:]):
        raise ValueError(f"{shown} has another sign in the place of the minus; write -{cell[1:]}")
    if WITH_COMMA.fullmatch(cell) or THOUSANDS.fullmatch(cell):
        raise ValueError(f"{shown} has a comma; write decimals with a point and nothing between thousands")
    if WITH_UNIT.fullmatch(cell):
        raise ValueError(f"{shown} is more than a number; write the number alone, without a unit")
    raise ValueError(f"{shown} is no decimal number such as 3.5")


@dataclass(frozen=True, eq=False)
class Numbers(WeightedTargets):
    """Targets with one or several numbers for each line.

    Attributes:
        values_NK: (N, K) float64 the numbers, in the user's unit.
    """

    strata: ClassVar[str] = "size"
    values_NK: np.ndarray

    def __len__(self) -> int:
        return len(self.values_NK)

    @cached_property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) int64 the number of each line's numbers, in the order of their size."""
        return np.asarray(np.unique(self.values_NK, axis=0, return_inverse=True)[1]).ravel()

    @cached_property
    def strata_N(self) -> np.ndarray:
        """(N,) int64 the stratum of each line: with one number, its tenth of the file by size; with several,
        that of the sum of its numbers, each on the scale of its standard deviation."""
        bins = max(1, min(BINS, len(self) // STRATUM))
        _, std_K = self.scale()
        size_N = (self.values_NK / np.where(std_K > 0, std_K, 1.0)).sum(1)
        edges = np.quantile(size_N, np.arange(1, bins) / bins) if bins > 1 else np.empty(0)
        # equal numbers are in one stratum, and no stratum is empty
        return np.unique(np.searchsorted(edges, size_N, side="right"), return_inverse=True)[1]

    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (K,) the mean and (K,) the standard deviation of the numbers, each line counted by its
        weight."""
        mean_K = np.average(self.values_NK, axis=0, weights=self.weights_N)
        variance_K = np.average((self.values_NK - mean_K) ** 2, axis=0, weights=self.weights_N)
        return np.asarray(mean_K), np.sqrt(variance_K)

    def take(self, rows_N: np.ndarray) -> Numbers:
        """Returns the targets of some lines, by their indices from 0."""
        return Numbers(self.values_NK[rows_N], weights_N=self.weights(rows_N))

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (n, K) float64 the numbers of n lines."""
        return np.asarray(self.values_NK[rows_N])

    def counts(self, num_classes: int) -> np.ndarray:
        """Returns zeros: numbers are no classes."""
        return np.zeros(num_classes, dtype=np.int64)

    def masses(self, num_classes: int) -> np.ndarray:
        """Returns zeros: numbers are no classes."""
        return np.zeros(num_classes)

    def first_line(self, index: int) -> int:
        """Is not asked for: numbers are no classes."""
        raise AssertionError("numbers are no classes")

    def classes_of(self, row: int) -> list[int]:
        """Returns nothing: numbers are no classes."""
        return []

    def renumbered(self, new_ids_C: np.ndarray) -> Numbers:
        """Returns the same targets: they hold no indices of classes."""
        return self

    def amount(self, labels: Sequence[str]) -> str:
        """Returns how many numbers a line has."""
        return (
            "a number each" if self.values_NK.shape[1] == 1 else f"{self.values_NK.shape[1]:,} numbers each"
        )

    def said(self, labels: Sequence[str]) -> str:
        """Returns the range, the mean and the standard deviation of the first numbers of the lines."""
        several = self.values_NK.shape[1]
        first = self.summary()["numbers"][0]
        words = "from {min:.6g} to {max:.6g}, mean {mean:.6g}, standard deviation {std:.6g}".format(**first)
        return f"numbers {words}" if several == 1 else f"{several:,} numbers a text; the first {words}"

    def summary(self) -> dict[str, Any]:
        """Returns under `numbers` the range, the mean and the standard deviation of each of the K numbers."""
        lines = (*self.scale(), self.values_NK.min(0), self.values_NK.max(0))
        names = ("mean", "std", "min", "max")
        columns = zip(*(line.tolist() for line in lines), strict=True)
        return {"numbers": [dict(zip(names, column, strict=True)) for column in columns]}
