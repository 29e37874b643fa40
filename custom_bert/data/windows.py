"""Long texts in windows: each is classified by itself, and their logits are averaged.

A window has the special tokens of its text, as if it were a text, and some of the others. Windows of a text
are equally long and as far apart as the text goes, so that every token is read and next to none twice.

Shapes: N texts, W windows of all of them, S special tokens of each text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 16
"""Windows of a text; what follows is cut off. A text shares a batch with itself at least, in memory too."""


@dataclass(frozen=True)
class Cut:
    """Where texts are cut.

    Attributes:
        text_W: (W,) int64 the text of each window, ascending.
        start_W: (W,) int64 the first of its tokens, counted among those of the text that are not special.
        length_W: (W,) int64 its tokens, special ones included.
        special_NS: (N, S) int64 rising positions of the special tokens in each text.
    """

    text_W: np.ndarray
    start_W: np.ndarray
    length_W: np.ndarray
    special_NS: np.ndarray

    @property
    def num_special(self) -> int:
        """S, special tokens of each text and of each window."""
        return int(self.special_NS.shape[1])

    @property
    def special_WS(self) -> np.ndarray:
        """(W, S) rising positions of the special tokens in each window."""
        order_S = np.arange(self.num_special)
        ahead_WS = self.special_NS[self.text_W] - order_S - self.start_W[:, None]  # other tokens before each
        inner_W = self.length_W - self.num_special
        return np.asarray(order_S + np.minimum(np.maximum(ahead_WS, 0), inner_W[:, None]))

    def sums(self, values_W: np.ndarray, texts: int) -> np.ndarray:
        """(N,) int64 sums over each text's windows."""
        return np.bincount(self.text_W, weights=values_W, minlength=texts).astype(np.int64)

    def window(self, index: int, ids: np.ndarray) -> np.ndarray:
        """(length,) ids of a window of the text with these ids."""
        start, length = int(self.start_W[index]), int(self.length_W[index])
        if length == len(ids):
            return ids
        special_S = self.special_NS[self.text_W[index]]
        ahead_S = special_S - np.arange(len(special_S))  # tokens of the text before each special one
        end = start + length - len(special_S)
        first = start + int((ahead_S <= start).sum())
        last = end - 1 + int((ahead_S < end).sum())
        before, after = special_S[special_S < first], special_S[special_S > last]
        return np.concatenate([ids[before], ids[first : last + 1], ids[after]])


def whole(lengths_N: np.ndarray, special_NS: np.ndarray) -> Cut:
    """Texts that are not cut."""
    return Cut(np.arange(len(lengths_N)), np.zeros_like(lengths_N), lengths_N, special_NS)


def cut(lengths_N: np.ndarray, special_NS: np.ndarray, max_length: int) -> Cut:
    """Texts in as few windows as it takes.

    Args:
        lengths_N: (N,) tokens of each text, special ones included.
        special_NS: (N, S) rising positions of these.
        max_length: tokens of a window.
    """
    special = special_NS.shape[1]
    inner_N, room = lengths_N - special, max_length - special
    count_N = np.maximum(1, -(-inner_N // room))
    size_N = -(-inner_N // count_N)
    text_W = np.repeat(np.arange(len(lengths_N)), count_N)
    index_W = np.arange(len(text_W)) - (np.cumsum(count_N) - count_N)[text_W]
    start_W = index_W * (inner_N - size_N)[text_W] // np.maximum(1, count_N - 1)[text_W]
    return Cut(text_W, start_W, (size_N + special)[text_W], special_NS)
