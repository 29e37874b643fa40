"""The targets of a file's lines: what stands in its label file, as numbers.

Two forms: the index of one class for each line, and a set of classes for each line. What reads a data set,
divides it and builds batches asks for no more than `LineTargets`, so that another form is an addition here.

Shapes: N lines, C classes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

STRATUM = 20
"""Lines that a set of classes has to have so that a division keeps its share. Of rarer sets each line goes
with the rarest class of its set."""


class LineTargets(Protocol):
    """The targets of N lines."""

    def __len__(self) -> int: ...

    @property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) int64: equal where the targets of two lines are equal."""

    @property
    def strata_N(self) -> np.ndarray:
        """(N,) int64: a division keeps the shares of lines with equal numbers."""

    def take(self, rows_N: np.ndarray) -> LineTargets:
        """The targets of some lines, by their indices from 0."""

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """(n, ...) of some lines, as `batch.Targets.values` holds them."""

    def counts(self, num_classes: int) -> np.ndarray:
        """(C,) int64: the lines of each class."""

    def first_line(self, index: int) -> int:
        """The first line, from 1, of a class that occurs."""

    def classes_of(self, row: int) -> list[int]:
        """The classes of a line, by its index from 0."""

    def renumbered(self, new_ids_C: np.ndarray) -> LineTargets:
        """The same classes under other indices.

        Args:
            new_ids_C: (C,) the new index of each class.
        """


@dataclass(frozen=True)
class ClassIds:
    """One class a line.

    Attributes:
        ids_N: (N,) the index of each line's class.
    """

    ids_N: np.ndarray

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) the classes."""
        return self.ids_N

    @property
    def strata_N(self) -> np.ndarray:
        """(N,) the classes."""
        return self.ids_N

    def take(self, rows_N: np.ndarray) -> ClassIds:
        """The targets of some lines, by their indices from 0."""
        return ClassIds(np.asarray(self.ids_N[rows_N]))

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """(n,) int64 indices of classes."""
        return np.asarray(self.ids_N[rows_N], dtype=np.int64)

    def counts(self, num_classes: int) -> np.ndarray:
        """(C,) int64: the lines of each class."""
        return np.bincount(self.ids_N, minlength=num_classes)

    def first_line(self, index: int) -> int:
        """The first line, from 1, of a class that occurs."""
        return int(np.argmax(self.ids_N == index)) + 1

    def classes_of(self, row: int) -> list[int]:
        """The one class of a line, by its index from 0."""
        return [int(self.ids_N[row])]

    def renumbered(self, new_ids_C: np.ndarray) -> ClassIds:
        """The same classes under other indices; see `LineTargets`."""
        return ClassIds(new_ids_C[self.ids_N])


@dataclass(frozen=True)
class ClassSets:
    """Any number of different classes a line, as rows of a sparse matrix.

    Attributes:
        starts_N: (N + 1,) int64: where each line's classes begin in `ids`, and the end of the last.
        ids: the classes of all lines, rising within a line.
        num_classes: C.
    """

    starts_N: np.ndarray
    ids: np.ndarray
    num_classes: int

    @staticmethod
    def of(sets: list[list[int]], num_classes: int) -> ClassSets:
        """From a list of classes for each line."""
        sizes = np.fromiter(map(len, sets), dtype=np.int64, count=len(sets))
        ids = np.fromiter((index for one in sets for index in sorted(one)), dtype=np.int32, count=sizes.sum())
        return ClassSets(np.concatenate([[0], np.cumsum(sizes)]), ids, num_classes)

    def __len__(self) -> int:
        return len(self.starts_N) - 1

    @cached_property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) int64: the number of each line's set, by first sight."""
        numbers: dict[bytes, int] = {}
        bounds = self.starts_N.tolist()
        return np.fromiter(
            (
                numbers.setdefault(self.ids[start:end].tobytes(), len(numbers))
                for start, end in itertools.pairwise(bounds)
            ),
            dtype=np.int64,
            count=len(self),
        )

    @cached_property
    def strata_N(self) -> np.ndarray:
        """(N,) int64: the set where `STRATUM` lines have it, otherwise its rarest class."""
        distinct_ids_N, sizes_N = self.distinct_ids_N, np.diff(self.starts_N)
        often_N = np.bincount(distinct_ids_N, minlength=1)[distinct_ids_N] >= STRATUM
        counts_C = self.counts(self.num_classes)
        rarest_N = np.full(len(self), -1, dtype=np.int64)
        order = np.lexsort((self.ids, counts_C[self.ids], np.repeat(np.arange(len(self)), sizes_N)))
        filled = sizes_N > 0
        rarest_N[filled] = self.ids[order][self.starts_N[:-1][filled]]
        keys_N = np.where(often_N, distinct_ids_N, distinct_ids_N.max(initial=0) + 2 + rarest_N)
        return np.unique(keys_N, return_inverse=True)[1]

    def take(self, rows_N: np.ndarray) -> ClassSets:
        """The targets of some lines, by their indices from 0."""
        sizes_N = np.diff(self.starts_N)[rows_N]
        starts_N = np.concatenate([[0], np.cumsum(sizes_N)])
        places = np.arange(starts_N[-1]) + np.repeat(self.starts_N[:-1][rows_N] - starts_N[:-1], sizes_N)
        return ClassSets(starts_N, self.ids[places], self.num_classes)

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """(n, C) float32: 1 for each class of a line, 0 for the others."""
        taken = self.take(rows_N)
        hot_NC = np.zeros((len(taken), self.num_classes), dtype=np.float32)
        hot_NC[np.repeat(np.arange(len(taken)), np.diff(taken.starts_N)), taken.ids] = 1.0
        return hot_NC

    def counts(self, num_classes: int) -> np.ndarray:
        """(C,) int64: the lines of each class."""
        return np.bincount(self.ids, minlength=num_classes)

    def first_line(self, index: int) -> int:
        """The first line, from 1, of a class that occurs."""
        place = int(np.argmax(self.ids == index))
        return int(np.searchsorted(self.starts_N, place, side="right"))

    def classes_of(self, row: int) -> list[int]:
        """The classes of a line, by its index from 0."""
        found: list[int] = self.ids[self.starts_N[row] : self.starts_N[row + 1]].tolist()
        return found

    def renumbered(self, new_ids_C: np.ndarray) -> ClassSets:
        """The same classes under other indices; see `LineTargets`."""
        line_of = np.repeat(np.arange(len(self)), np.diff(self.starts_N))
        ids = new_ids_C[self.ids].astype(np.int32)
        order = np.lexsort((ids, line_of))
        return ClassSets(self.starts_N, ids[order], len(new_ids_C))
