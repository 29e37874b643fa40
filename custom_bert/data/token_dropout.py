"""Token dropout: in each epoch a text is read without some of its tokens, other ones each time.

It keeps a classifier from leaning on single words (Iyyer et al. 2015, "Deep Unordered Composition Rivals
Syntactic Methods"). The tokens are left out, not replaced, and the others keep their positions, so that what
is not learned from costs nothing either (for images: Liu et al. 2023, "PatchDropout", arXiv 2208.07220). A
pure function of (seed, epoch, example, position), like masking.

Shapes: W texts, or windows of texts, L tokens of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from custom_bert.data.draws import uniform
from custom_bert.data.windows import Cut

TOKENS, ROUNDING = 3, 2
"""Streams of `uniform`."""


@dataclass(frozen=True)
class TokenDropout:
    """Leaves out `rate` of a text's tokens, but none of the special ones, which frame the text.

    Attributes:
        rate: share, 0 or more, below 1; one token of the text is kept whatever it is.
        seed: of the run.
    """

    rate: float
    seed: int

    def lengths(self, cut: Cut, examples_W: np.ndarray, epoch: int) -> np.ndarray:
        """(W,) tokens that are left of texts, or of windows: known before any is read, for planning batches.

        The share is the same for all texts up to rounding, which is random: on average it is `rate` for short
        texts too. Windows of a text are texts here, told apart by the token that each starts at.

        Args:
            cut: the texts, whole or in windows.
            examples_W: (W,) the example that each window is of.
            epoch: from 0.
        """
        inner_W = np.maximum(cut.length_W - cut.num_special, 0)
        chance_W = uniform(self.seed, epoch, examples_W, cut.start_W, stream=ROUNDING)
        left_out_W = (self.rate * inner_W + chance_W).astype(np.int64)
        return np.asarray(cut.length_W - np.minimum(left_out_W, np.maximum(inner_W - 1, 0)))

    def positions(self, cut: Cut, examples_W: np.ndarray, epoch: int) -> list[np.ndarray]:
        """The positions that are kept of each window, ascending; `lengths` says how many."""
        lengths_W, kept_W = cut.length_W, self.lengths(cut, examples_W, epoch)
        first_W = np.cumsum(lengths_W) - lengths_W
        window_L = np.repeat(np.arange(len(lengths_W)), lengths_W)
        row_L = np.arange(len(window_L))
        place_L = row_L - (first_W - cut.start_W)[window_L]  # in the text: its windows draw apart
        draw_L = uniform(self.seed, epoch, examples_W[window_L], place_L, stream=TOKENS)
        draw_L[first_W[:, None] + cut.special_WS] = -1.0
        order_L = np.lexsort((draw_L, window_L))  # within each window, the smallest draws first
        stays_L = np.empty(len(window_L), dtype=bool)
        stays_L[order_L] = row_L < (first_W + kept_W)[window_L]
        kept_K = np.flatnonzero(stays_L) - np.repeat(first_W, kept_W)
        stops = np.cumsum(kept_W).tolist()
        return [kept_K[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
