"""Token dropout: in each epoch a text is read without some of its tokens, other ones each time.

It keeps a classifier from leaning on single words (Iyyer et al. 2015, "Deep Unordered Composition Rivals
Syntactic Methods"). The tokens are left out, not replaced, and the others keep their positions, so that what
is not learned from costs nothing either (for images: Liu et al. 2023, "PatchDropout", arXiv 2208.07220). A
pure function of (seed, epoch, example, position), like masking.

Shapes: N texts, L tokens of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from custom_bert.data.draws import uniform

TOKENS, ROUNDING = 3, 2
"""Streams of `uniform`."""


@dataclass(frozen=True)
class TokenDropout:
    """Leaves out `rate` of the tokens between a text's first and last, which always stay.

    Attributes:
        rate: share, 0 or more, below 1; one token between the two is kept whatever it is.
        seed: of the run.
    """

    rate: float
    seed: int

    def lengths(
        self, lengths_N: np.ndarray, examples_N: np.ndarray, epoch: int, starts_N: np.ndarray | None = None
    ) -> np.ndarray:
        """(N,) tokens that are left: known before a text is read, so that batches can be planned by it.

        The share is the same for all texts up to rounding, which is random: on average it is `rate` for short
        texts too. Windows of a text are texts here, told apart by `starts_N`, the token each starts at.
        """
        inner = np.maximum(lengths_N - 2, 0)
        places_N = np.zeros_like(examples_N) if starts_N is None else starts_N
        chance = uniform(self.seed, epoch, examples_N, places_N, stream=ROUNDING)
        left_out = (self.rate * inner + chance).astype(np.int64)
        return np.asarray(lengths_N - np.minimum(left_out, np.maximum(inner - 1, 0)))

    def positions(
        self, lengths_N: np.ndarray, examples_N: np.ndarray, epoch: int, starts_N: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """The positions that are kept of each text, ascending; `lengths` says how many."""
        kept_N = self.lengths(lengths_N, examples_N, epoch, starts_N)
        first_N = np.cumsum(lengths_N) - lengths_N
        text_L = np.repeat(np.arange(len(lengths_N)), lengths_N)
        position_L = np.arange(len(text_L)) - first_N[text_L]
        place_L = position_L if starts_N is None else position_L + starts_N[text_L]
        draw_L = uniform(self.seed, epoch, examples_N[text_L], place_L, stream=TOKENS)
        draw_L[first_N] = draw_L[first_N + lengths_N - 1] = -1.0
        order_L = np.lexsort((draw_L, text_L))  # within each text, the smallest draws first
        stays_L = np.empty(len(text_L), dtype=bool)
        stays_L[order_L] = position_L < kept_N[text_L]
        return np.split(position_L[stays_L], np.cumsum(kept_N)[:-1])
