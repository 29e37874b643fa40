"""Long texts in windows: each is classified by itself, and their logits are averaged.

A window has its own first and last token, as if it were a text. Windows of a text are equally long and as far
apart as the text goes, so that every token is read and next to none twice.

Shapes: N texts, W windows of all of them.
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
        start_W: (W,) int64 the first of its tokens, counted after the text's first token.
        length_W: (W,) int64 its tokens, first and last token included.
    """

    text_W: np.ndarray
    start_W: np.ndarray
    length_W: np.ndarray

    def sums(self, values_W: np.ndarray, texts: int) -> np.ndarray:
        """(N,) int64 sums over each text's windows."""
        return np.bincount(self.text_W, weights=values_W, minlength=texts).astype(np.int64)

    def window(self, index: int, ids: np.ndarray) -> np.ndarray:
        """(length,) ids of a window of the text with these ids."""
        start, length = int(self.start_W[index]), int(self.length_W[index])
        if length == len(ids):
            return ids
        return np.concatenate([ids[:1], ids[1 + start : start + length - 1], ids[-1:]])


def whole(lengths_N: np.ndarray) -> Cut:
    """Texts that are not cut."""
    return Cut(np.arange(len(lengths_N)), np.zeros_like(lengths_N), lengths_N)


def cut(lengths_N: np.ndarray, max_length: int) -> Cut:
    """Texts in as few windows as it takes.

    Args:
        lengths_N: (N,) tokens of each text, first and last token included.
        max_length: tokens of a window.
    """
    inner_N, room = lengths_N - 2, max_length - 2
    count_N = np.maximum(1, -(-inner_N // room))
    size_N = -(-inner_N // count_N)
    text_W = np.repeat(np.arange(len(lengths_N)), count_N)
    index_W = np.arange(len(text_W)) - (np.cumsum(count_N) - count_N)[text_W]
    start_W = index_W * (inner_N - size_N)[text_W] // np.maximum(1, count_N - 1)[text_W]
    return Cut(text_W, start_W, (size_N + 2)[text_W])
