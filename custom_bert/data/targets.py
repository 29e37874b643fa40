"""The targets of a file's lines: the content of its label file as numbers.

There are two forms here: the index of one class for each line, and a set of classes for each line. Shares are
in `data.shares`, numbers in `data.numbers`. The code that reads and divides a data set and builds batches
uses only `LineTargets`, so another form is only an addition. In every form the lines may have weights.

Shapes: N lines, C classes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from custom_bert.data.labels import labels_by_id
from custom_bert.phrases import counted
from custom_bert.ranges import joined_ranges

STRATUM = 20
"""A set of classes with at least this many lines is a stratum of its own. A line with a rarer set belongs to
the stratum of the rarest class in its set, because the share of a rare set cannot be kept."""


class LineTargets(Protocol):
    """The targets of N lines, in any form.

    Attributes:
        strata: by what a division of the lines keeps shares, in words.
    """

    strata: ClassVar[str]

    def __len__(self) -> int: ...

    @property
    def weights_N(self) -> np.ndarray | None:
        """(N,) float32 how much each line counts, above 0; None if all count the same."""

    def weighted(self, weights_N: np.ndarray | None) -> Self:
        """Returns the same targets with weights."""

    def weights(self, rows_N: np.ndarray) -> np.ndarray | None:
        """Returns (n,) the weights of n lines, by their indices from 0; None if all count the same."""

    def masses(self, num_classes: int) -> np.ndarray:
        """Returns (C,) the sum of the weights of the lines of each class; without weights their number."""

    @property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) the id of each line's target; equal targets have equal ids."""

    @property
    def strata_N(self) -> np.ndarray:
        """(N,) the stratum of each line. A division of the lines keeps the share of each stratum."""

    def take(self, rows_N: np.ndarray) -> LineTargets:
        """Returns the targets of some lines, by their indices from 0."""

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (n, ...) the values of n lines for `batch.Targets.values`, by their indices from 0."""

    def counts(self, num_classes: int) -> np.ndarray:
        """Returns (C,) int64 the number of lines of each class."""

    def first_line(self, index: int) -> int:
        """Returns the number of the first line, from 1, of a class. The class has to occur."""

    def classes_of(self, row: int) -> list[int]:
        """Returns the classes of a line, by its index from 0."""

    def renumbered(self, new_ids_C: np.ndarray) -> LineTargets:
        """Returns the same targets with other indices of the classes.

        Args:
            new_ids_C: (C,) the new index of each class.
        """

    def amount(self, labels: Sequence[str]) -> str:
        """Returns what the targets are in a few words, such as `3 labels`, for the names of the classes."""

    def said(self, labels: Sequence[str]) -> str:
        """Returns what a user should know of what the targets mean, in a line."""

    def summary(self) -> dict[str, Any]:
        """Returns what records hold of the targets beside the number of lines of each class."""


@dataclass(frozen=True)
class WeightedTargets:
    """The part that all forms share.

    Attributes:
        strata: by what a division of the lines keeps shares, in words.
        weights_N: (N,) float32 how much each line counts; None if all count the same.
    """

    strata: ClassVar[str] = "label"
    weights_N: np.ndarray | None = dataclasses.field(default=None, kw_only=True)

    def weighted(self, weights_N: np.ndarray | None) -> Self:
        """Returns the same targets with weights."""
        return dataclasses.replace(self, weights_N=weights_N)

    def weights(self, rows_N: np.ndarray) -> np.ndarray | None:
        """Returns (n,) the weights of n lines, by their indices from 0; None if all count the same."""
        return None if self.weights_N is None else np.asarray(self.weights_N[rows_N])

    def amount(self, labels: Sequence[str]) -> str:
        """Returns how many labels there are."""
        return counted(len(labels), "label")

    def said(self, labels: Sequence[str]) -> str:
        """Returns the labels in the order of their ids."""
        return labels_by_id(labels)

    def summary(self) -> dict[str, Any]:
        """Returns nothing: the classes and their numbers of lines say everything."""
        return {}


@dataclass(frozen=True)
class ClassIds(WeightedTargets):
    """Targets with one class for each line.

    Attributes:
        ids_N: (N,) the index of each line's class.
    """

    ids_N: np.ndarray

    def __len__(self) -> int:
        return len(self.ids_N)

    @property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) the index of each line's class, since lines of one class have equal targets."""
        return self.ids_N

    @property
    def strata_N(self) -> np.ndarray:
        """(N,) the index of each line's class: a division keeps the share of each class."""
        return self.ids_N

    def take(self, rows_N: np.ndarray) -> ClassIds:
        """Returns the targets of some lines, by their indices from 0."""
        return ClassIds(np.asarray(self.ids_N[rows_N]), weights_N=self.weights(rows_N))

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (n,) int64 the indices of the classes of n lines."""
        return np.asarray(self.ids_N[rows_N], dtype=np.int64)

    def counts(self, num_classes: int) -> np.ndarray:
        """Returns (C,) int64 the number of lines of each class."""
        return np.bincount(self.ids_N, minlength=num_classes)

    def masses(self, num_classes: int) -> np.ndarray:
        """Returns (C,) the sum of the weights of the lines of each class; without weights their number."""
        return np.bincount(self.ids_N, weights=self.weights_N, minlength=num_classes)

    def first_line(self, index: int) -> int:
        """Returns the number of the first line, from 1, of a class. The class has to occur."""
        return int(np.argmax(self.ids_N == index)) + 1

    def classes_of(self, row: int) -> list[int]:
        """Returns a list with the class of a line, by the line's index from 0."""
        return [int(self.ids_N[row])]

    def renumbered(self, new_ids_C: np.ndarray) -> ClassIds:
        """Returns the same targets with the new indices `new_ids_C` of the classes."""
        return ClassIds(new_ids_C[self.ids_N], weights_N=self.weights_N)


@dataclass(frozen=True)
class ClassSets(WeightedTargets):
    """Targets with any number of different classes for each line, as a sparse matrix in CSR form.

    Attributes:
        starts_N: (N + 1,) int64 where the classes of each line begin in `ids`, and where those of the last
            end.
        ids: int32 the classes of all lines one after the other, ascending within a line.
        num_classes: C, the number of classes.
    """

    starts_N: np.ndarray
    ids: np.ndarray
    num_classes: int

    @staticmethod
    def of(sets: list[list[int]], num_classes: int) -> ClassSets:
        """Makes targets from a list of classes for each line."""
        sizes = np.fromiter(map(len, sets), dtype=np.int64, count=len(sets))
        ids = np.fromiter((index for one in sets for index in sorted(one)), dtype=np.int32, count=sizes.sum())
        return ClassSets(np.concatenate([[0], np.cumsum(sizes)]), ids, num_classes)

    def __len__(self) -> int:
        return len(self.starts_N) - 1

    @cached_property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) int64 the number of each line's set, in the order in which the sets first occur."""
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
        """(N,) int64 the stratum of each line: its set if at least `STRATUM` lines have it, otherwise the
        rarest class of its set."""
        sets_N, sizes_N = self.distinct_ids_N, np.diff(self.starts_N)
        often_N = np.bincount(sets_N, minlength=1)[sets_N] >= STRATUM
        counts_C = self.counts(self.num_classes)
        rarest_N = np.full(len(self), -1, dtype=np.int64)  # a line without classes keeps -1
        # sorted by line, then by how often a class occurs, so that the rarest is the first of each line
        order = np.lexsort((self.ids, counts_C[self.ids], np.repeat(np.arange(len(self)), sizes_N)))
        filled = sizes_N > 0
        rarest_N[filled] = self.ids[order][self.starts_N[:-1][filled]]
        # classes are numbered after the sets, where -1 too is larger than every number of a set
        keys_N = np.where(often_N, sets_N, sets_N.max(initial=0) + 2 + rarest_N)
        return np.unique(keys_N, return_inverse=True)[1]

    def take(self, rows_N: np.ndarray) -> ClassSets:
        """Returns the targets of some lines, by their indices from 0."""
        starts_N = np.concatenate([[0], np.cumsum(np.diff(self.starts_N)[rows_N])])
        ids = self.ids[self._places(rows_N)]
        return ClassSets(starts_N, ids, self.num_classes, weights_N=self.weights(rows_N))

    def _places(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns the places in `ids` of the classes of some lines, one line after the other."""
        return joined_ranges(np.diff(self.starts_N)[rows_N], self.starts_N[:-1][rows_N])

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (n, C) float32: 1 for each class of a line, and 0 for the others."""
        taken = self.take(rows_N)
        hot_NC = np.zeros((len(taken), self.num_classes), dtype=np.float32)
        hot_NC[np.repeat(np.arange(len(taken)), np.diff(taken.starts_N)), taken.ids] = 1.0
        return hot_NC

    def counts(self, num_classes: int) -> np.ndarray:
        """Returns (C,) int64 the number of lines of each class."""
        return np.bincount(self.ids, minlength=num_classes)

    def masses(self, num_classes: int) -> np.ndarray:
        """Returns (C,) the sum of the weights of the lines of each class; without weights their number."""
        if self.weights_N is None:
            return self.counts(num_classes)
        each = np.repeat(self.weights_N, np.diff(self.starts_N))
        return np.bincount(self.ids, weights=each, minlength=num_classes)

    def first_line(self, index: int) -> int:
        """Returns the number of the first line, from 1, of a class. The class has to occur."""
        place = int(np.argmax(self.ids == index))
        return int(np.searchsorted(self.starts_N, place, side="right"))

    def classes_of(self, row: int) -> list[int]:
        """Returns the classes of a line, ascending, by the line's index from 0."""
        classes: list[int] = self.ids[self.starts_N[row] : self.starts_N[row + 1]].tolist()
        return classes

    def renumbered(self, new_ids_C: np.ndarray) -> ClassSets:
        """Returns the same targets with the new indices `new_ids_C` of the classes."""
        line_of = np.repeat(np.arange(len(self)), np.diff(self.starts_N))
        ids = new_ids_C[self.ids].astype(np.int32)
        order = np.lexsort((ids, line_of))
        return ClassSets(self.starts_N, ids[order], len(new_ids_C), weights_N=self.weights_N)
