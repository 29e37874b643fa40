"""Targets of single tokens of texts, where other tasks have one target for a whole text.

A target has a place: the position of its token in its text. When a batch is built, places become rows of the
batch. Of a text that is read in windows, each target is put into the one window that decides its token
(`Cut.decided_W`), so that it is learned and measured once.

Shapes: N texts, M targets of all texts of a batch, W windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.data.windows import Cut
from custom_bert.ranges import joined_ranges


@dataclass(frozen=True)
class RowTargets:
    """The targets of the tokens of N texts.

    Attributes:
        starts_N: (N + 1,) int64 where the targets of each text begin in `places`, and where those of the last
            one end.
        places: int64 the position of each target's token in its text, special tokens counted; ascending
            within a text, and never that of a special token.
        values: int64 the target of each of these tokens.
        about: for each text what a scorer needs to know of it (`batch.Targets.about`).
    """

    starts_N: np.ndarray
    places: np.ndarray
    values: np.ndarray
    about: Sequence[Any]

    @staticmethod
    def of(places: Sequence[np.ndarray], values: Sequence[np.ndarray], about: Sequence[Any]) -> RowTargets:
        """Makes targets of at least one text, from places, values and what there is to know of each."""
        counts_N = np.fromiter(map(len, places), dtype=np.int64, count=len(places))
        starts_N = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts_N)])
        joined, of_each = (np.concatenate(part).astype(np.int64) for part in (places, values))
        return RowTargets(starts_N, joined, of_each, about)

    @staticmethod
    def of_units(units: Sequence[np.ndarray]) -> RowTargets:
        """Makes targets of at least one text whose units are predicted: the first token of each, with the
        value 0. What there is to know of a text is the number of its units.

        Args:
            units: for each text its (U, 3) units, as `EncodedTexts.units` has them.
        """
        counts = [len(of_text) for of_text in units]
        places = [of_text[:, 0] for of_text in units]
        return RowTargets.of(places, [np.zeros(count) for count in counts], counts)

    @property
    def counts_N(self) -> np.ndarray:
        """(N,) int64 the number of targets of each text."""
        return np.diff(self.starts_N)

    def take(self, rows_N: np.ndarray) -> RowTargets:
        """Returns the targets of some texts, by their indices from 0."""
        chosen = self._chosen(rows_N)
        starts_N = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts_N[rows_N])])
        about = [self.about[row] for row in rows_N.tolist()]
        return RowTargets(starts_N, self.places[chosen], self.values[chosen], about)

    def _chosen(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns the indices in `places` of the targets of some texts, one text after the other."""
        return joined_ranges(self.counts_N[rows_N], self.starts_N[:-1][rows_N])

    def laid_out(
        self, indices: np.ndarray, cut: Cut, slots_W: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...]]:
        """Returns where the targets of some texts are in a batch.

        Args:
            indices: (n,) the indices of the texts, in the batch's order.
            cut: how they are cut into windows.
            slots_W: (W,) the number of rows of each window's slot.

        Returns:
            (M,) the values and (M,) the rows, text by text and in the order of the tokens, and what there is
            to know of each text.
        """
        counts_n, chosen = self.counts_N[indices], self._chosen(indices)
        places_M, text_M = self.places[chosen], np.repeat(np.arange(len(indices)), counts_n)
        before_M = (cut.special_NS[text_M] < places_M[:, None]).sum(1)  # special tokens are in every window
        ordinary_M = places_M - before_M
        # windows in the order of text and first token, as one rising number each
        stride = int(max(ordinary_M.max(initial=0), cut.decided_W.max(initial=0))) + 1
        keys_W = cut.text_W * stride + cut.decided_W
        window_M = np.searchsorted(keys_W, text_M * stride + ordinary_M, side="right") - 1
        first_W = np.cumsum(slots_W) - slots_W
        rows_M = first_W[window_M] + ordinary_M - cut.start_W[window_M] + before_M
        return self.values[chosen], rows_M, tuple(self.about[row] for row in indices.tolist())
