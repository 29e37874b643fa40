"""What a tokenizer makes of texts: token ids, and which of them are special tokens that frame the text.

A special token here is one that the tokenizer adds, and its place tells it. A text may hold the same token as
a word of its own ("[SEP]"); that one is a token like any other.

Shapes: N texts, L tokens of a text, S special tokens of each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around a text: `[CLS] text [SEP]`.

    Attributes:
        before, after: their ids, in order.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def size(self) -> int:
        """S, how many there are."""
        return len(self.before) + len(self.after)

    def special(self, lengths_N: np.ndarray) -> np.ndarray:
        """(N, S) int64 rising positions of the special tokens in texts of so many tokens."""
        first, last = len(self.before), len(self.after)
        special_NS = np.empty((len(lengths_N), self.size), dtype=np.int64)
        special_NS[:, :first] = np.arange(first)
        special_NS[:, first:] = lengths_N[:, None] - np.arange(last, 0, -1)
        return special_NS

    def offsets(self, offsets_L2: np.ndarray, characters: int) -> np.ndarray:
        """(S + L, 2) places of all tokens, given those of a text's own: the others are around it."""
        before, after = np.zeros((len(self.before), 2)), np.full((len(self.after), 2), characters)
        return np.concatenate([before, offsets_L2, after]).astype(np.int64)


@dataclass(frozen=True)
class EncodedTexts:
    """Texts in memory, as token ids.

    Attributes:
        sequences: one int64 array a text.
        special_NS: (N, S) int64 rising positions of the special tokens in each text.
        lost_N: (N,) int64 tokens that each text lost. Of a text that was cut to `CHARACTERS_PER_TOKEN`
            characters a token it is at least 1, a lower bound.
        unknown_N: (N,) int64 of these, characters that the vocabulary does not know.
        characters_N: (N,) int64 characters of each text, white space aside. Of a text that lost tokens, those
            of the kept ones, about.
        offsets: one (L, 2) int64 array a text, where it was asked for: where each token begins and ends among
            the characters of the text as the user wrote it. A special token is between two characters.
    """

    sequences: Sequence[np.ndarray]
    special_NS: np.ndarray
    lost_N: np.ndarray
    unknown_N: np.ndarray
    characters_N: np.ndarray
    offsets: Sequence[np.ndarray] | None = None

    @cached_property
    def lengths_N(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.fromiter(map(len, self.sequences), dtype=np.int64, count=len(self.sequences))

    def __getitem__(self, row: int) -> np.ndarray:
        return self.sequences[row]

    def special(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), S) positions of the special tokens in some of the texts."""
        return np.asarray(self.special_NS[rows])
