"""What a tokenizer makes of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class EncodedTexts:
    """Texts in memory, as token ids.

    Attributes:
        sequences: one int64 array a text.
        lost_N: (N,) int64 tokens that each text lost. Of a text that was cut to `CHARACTERS_PER_TOKEN`
            characters a token it is at least 1, a lower bound.
        unknown_N: (N,) int64 of these, characters that the vocabulary does not know.
        characters_N: (N,) int64 characters of each text, white space aside. Of a text that lost tokens, those
            of the kept ones, about.
    """

    sequences: Sequence[np.ndarray]
    lost_N: np.ndarray
    unknown_N: np.ndarray
    characters_N: np.ndarray

    @cached_property
    def lengths_N(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.fromiter(map(len, self.sequences), dtype=np.int64, count=len(self.sequences))

    def __getitem__(self, row: int) -> np.ndarray:
        return self.sequences[row]
