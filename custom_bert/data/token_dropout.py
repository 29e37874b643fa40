"""Token dropout: in each epoch a text is read without some of its tokens, other ones in each epoch.

It keeps a classifier from relying on single words (Iyyer et al. 2015, "Deep Unordered Composition Rivals
Syntactic Methods"). The tokens are left out and not replaced, so they are not computed either (for images:
Liu et al. 2023, "PatchDropout", arXiv 2208.07220). The other tokens keep their positions. Like masking, it is
a pure function of (seed, epoch, example, position).

Shapes: W windows, which are whole texts or parts of them; L tokens of all windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from custom_bert.data.draws import BITS, random_bits, uniform
from custom_bert.data.windows import Cut
from custom_bert.ranges import joined_ranges

TOKENS, ROUNDING = 3, 2
"""The streams of `draws.uniform` for choosing tokens, and for rounding their number."""

RARE = 64
"""Keys of 32 bits have at least this many values for each token of a batch, or keys of 64 bits are taken."""


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

    def stays(self, cut: Cut, examples_W: np.ndarray, epoch: int) -> np.ndarray:
        """Returns (L,) whether each token of each window is kept, of each window as many as `lengths` says.

        Arguments are those of `lengths`.
        """
        lengths_W, kept_W = cut.length_W, self.lengths(cut, examples_W, epoch)
        first_W = np.cumsum(lengths_W) - lengths_W
        place_L = joined_ranges(lengths_W, cut.start_W)  # by the place in the text, so that windows differ
        bits_L = random_bits(self.seed, epoch, examples_W, place_L, stream=TOKENS, counts=lengths_W)
        return _smallest(bits_L, lengths_W, kept_W, (first_W[:, None] + cut.special_WS).ravel())


def _smallest(
    bits_L: np.ndarray, lengths_W: np.ndarray, kept_W: np.ndarray, special: np.ndarray
) -> np.ndarray:
    """Returns (L,) whether each token is among those of its window with the smallest draws.

    The number of the window and the upper bits of the draw share a key. One sort of all keys, which is much
    faster than sorting by two, shows the largest key that is kept of each window. If keys are equal there,
    the draws are sorted as they are.

    Args:
        bits_L: (L,) the draws, `draws.BITS` bits each.
        lengths_W: (W,) the number of tokens of each window.
        kept_W: (W,) the number of tokens to keep of each.
        special: the indices among L of the tokens that come first.
    """
    first_W, number = np.cumsum(lengths_W) - lengths_W, len(lengths_W).bit_length()
    # 32 bits are sorted twice as fast as 64, and suffice where equal keys stay rare
    size, type_ = (32, np.uint32) if RARE * len(bits_L) <= 1 << (32 - number) else (64, np.uint64)
    width = min(size - number, BITS)
    key_L: np.ndarray = (bits_L >> np.uint64(BITS - width)).astype(type_)
    key_L[special] = 0
    window_W = (np.arange(len(lengths_W), dtype=np.uint64) << np.uint64(width)).astype(type_)
    key_L |= np.repeat(window_W, lengths_W)
    largest_W = np.sort(key_L)[first_W + kept_W - 1]
    stays_L = key_L <= np.repeat(largest_W, lengths_W)
    if np.count_nonzero(stays_L) != kept_W.sum():
        order_L = _exact_order(bits_L, lengths_W, special)
        stays_L[order_L] = np.arange(len(bits_L)) < np.repeat(first_W + kept_W, lengths_W)
    return np.asarray(stays_L)


def _exact_order(bits_L: np.ndarray, lengths_W: np.ndarray, special: np.ndarray) -> np.ndarray:
    """Returns (L,) the tokens by window and within each by draw, special ones first, equal draws in order."""
    draws_L = bits_L.astype(np.int64)
    draws_L[special] = -1
    return np.lexsort((draws_L, np.repeat(np.arange(len(lengths_W)), lengths_W)))
