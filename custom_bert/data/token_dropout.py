"""Token dropout: in each epoch a text is read without some of its tokens, other ones in each epoch.

It keeps a classifier from relying on single words (Iyyer et al. 2015, "Deep Unordered Composition Rivals
Syntactic Methods"). The tokens are left out and not replaced, so they are not computed either (for images:
Liu et al. 2023, "PatchDropout", arXiv 2208.07220). The other tokens keep their positions. Like masking, it is
a pure function of (seed, epoch, example, position).

Shapes: W windows, which are whole texts or parts of them; L tokens of all windows; K tokens that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from custom_bert.data.draws import uniform
from custom_bert.data.windows import Cut

TOKENS, ROUNDING = 3, 2
"""The streams of `draws.uniform` for choosing tokens, and for rounding their number."""


@dataclass(frozen=True)
class TokenDropout:
    """Leaves out a share of a text's tokens, but none of the special tokens around it.

    Attributes:
        rate: the share to leave out, in [0, 1). At least one token of each text is always kept.
        seed: the seed of the run.
    """

    rate: float
    seed: int

    def lengths(self, cut: Cut, examples_W: np.ndarray, epoch: int) -> np.ndarray:
        """Returns (W,) the number of tokens that are kept of each window, special ones included.

        It needs only the lengths, so that batches can be planned before a text is read. The number is rounded
        at random, so that the share is `rate` on average for short texts too. Windows of one text draw
        independently, because each starts at another token.

        Args:
            cut: the texts, whole or in windows.
            examples_W: (W,) the example of each window.
            epoch: the number of the epoch, from 0.
        """
        inner_W = np.maximum(cut.length_W - cut.num_special, 0)
        chance_W = uniform(self.seed, epoch, examples_W, cut.start_W, stream=ROUNDING)
        left_out_W = (self.rate * inner_W + chance_W).astype(np.int64)
        return np.asarray(cut.length_W - np.minimum(left_out_W, np.maximum(inner_W - 1, 0)))

    def positions(self, cut: Cut, examples_W: np.ndarray, epoch: int) -> list[np.ndarray]:
        """Returns for each window the positions that are kept, ascending, as many as `lengths` says.

        Arguments are those of `lengths`.
        """
        lengths_W, kept_W = cut.length_W, self.lengths(cut, examples_W, epoch)
        first_W = np.cumsum(lengths_W) - lengths_W
        window_L = np.repeat(np.arange(len(lengths_W)), lengths_W)
        row_L = np.arange(len(window_L))
        place_L = row_L - (first_W - cut.start_W)[window_L]  # by the place in the text, windows differ
        draw_L = uniform(self.seed, epoch, examples_W[window_L], place_L, stream=TOKENS)
        draw_L[first_W[:, None] + cut.special_WS] = -1.0  # below every draw, so special tokens are kept
        order_L = np.lexsort((draw_L, window_L))  # within each window, the smallest draws come first
        stays_L = np.empty(len(window_L), dtype=bool)
        stays_L[order_L] = row_L < (first_W + kept_W)[window_L]
        kept_K = np.flatnonzero(stays_L) - np.repeat(first_W, kept_W)
        stops = np.cumsum(kept_W).tolist()
        return [kept_K[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
