"""The targets of lines that divide a text among several classes, by shares that add up to 1.

Shapes: N lines, n of them, C classes, S shares above 0 of all lines together.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from custom_bert.data.targets import ClassSets


@dataclass(frozen=True)
class ClassShares(ClassSets):
    """Targets with a distribution over the classes for each line. A class that a line lacks has the share 0.

    Attributes:
        shares_S: float32 the shares, in the order of `ids`.
    """

    shares_S: np.ndarray

    @staticmethod
    def of_lines(lines: Sequence[tuple[Sequence[int], Sequence[float]]], num_classes: int) -> ClassShares:
        """Makes targets from the classes and the shares of each line. Shares of 0 are left out."""
        kept = [sorted((i, one) for i, one in zip(*line, strict=True) if one > 0) for line in lines]
        sizes = np.fromiter(map(len, kept), dtype=np.int64, count=len(kept))
        flat = list(itertools.chain.from_iterable(kept))
        return ClassShares(
            np.concatenate([[0], np.cumsum(sizes)]),
            np.array([i for i, _ in flat], dtype=np.int32),
            num_classes,
            np.array([one for _, one in flat], dtype=np.float32),
        )

    @cached_property
    def distinct_ids_N(self) -> np.ndarray:
        """(N,) int64 the number of each line's distribution, in the order in which they first occur."""
        numbers: dict[bytes, int] = {}
        pairs = (
            self.ids[start:end].tobytes() + self.shares_S[start:end].tobytes()
            for start, end in itertools.pairwise(self.starts_N.tolist())
        )
        return np.fromiter(
            (numbers.setdefault(one, len(numbers)) for one in pairs), dtype=np.int64, count=len(self)
        )

    @cached_property
    def strata_N(self) -> np.ndarray:
        """(N,) int64 the class with the largest share of each line; of equal shares the first class."""
        line_of_S = np.repeat(np.arange(len(self)), np.diff(self.starts_N))
        order = np.lexsort((self.ids, -self.shares_S, line_of_S))
        return np.asarray(self.ids[order][self.starts_N[:-1]], dtype=np.int64)

    def take(self, rows_N: np.ndarray) -> ClassShares:
        """Returns the targets of some lines, by their indices from 0."""
        taken, places = super().take(rows_N), self._places(rows_N)
        return ClassShares(
            taken.starts_N, taken.ids, self.num_classes, self.shares_S[places], weights_N=taken.weights_N
        )

    def values(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (n, C) float32, the share of each class of n lines."""
        taken = self.take(rows_N)
        shares_nC = np.zeros((len(taken), self.num_classes), dtype=np.float32)
        shares_nC[np.repeat(np.arange(len(taken)), np.diff(taken.starts_N)), taken.ids] = taken.shares_S
        return shares_nC

    def masses(self, num_classes: int) -> np.ndarray:
        """Returns (C,) float64 the sum of the shares of each class, each times the weight of its line."""
        weights_S = self.shares_S.astype(np.float64)
        if self.weights_N is not None:
            weights_S *= np.repeat(self.weights_N, np.diff(self.starts_N))
        return np.bincount(self.ids, weights=weights_S, minlength=num_classes)

    def renumbered(self, new_ids_C: np.ndarray) -> ClassShares:
        """Returns the same targets with the new indices `new_ids_C` of the classes."""
        line_of_S = np.repeat(np.arange(len(self)), np.diff(self.starts_N))
        ids_S = new_ids_C[self.ids].astype(np.int32)
        order = np.lexsort((ids_S, line_of_S))
        return dataclasses.replace(
            self, ids=ids_S[order], num_classes=len(new_ids_C), shares_S=self.shares_S[order]
        )
