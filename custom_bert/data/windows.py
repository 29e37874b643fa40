"""Cuts long texts into windows. Each window is read by itself. Of a classifier, the logits of a text's
windows are averaged; where tokens have labels, each token is decided by one window.

A window has all special tokens of its text, as if it were a text, and some of the other tokens. The windows
of a text are equally long, and spread evenly from its first to its last token. So every token is read, and
few are read twice. With an overlap, neighbours share at least that many tokens, so that no token has to be
decided at the edge of what is read.

Shapes: N texts, W windows of all of them, S special tokens of each text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MAX_WINDOWS = 16
"""The largest number of windows of a text; what follows is cut off. All windows of a text are in one batch,
so this bounds the memory that a text takes."""


OVERLAP = 4
"""Where tokens have labels, neighbouring windows share one in this many of their tokens. So a token has at
least an eighth of a window around it."""


def overlap_of(max_length: int, special: int) -> int:
    """Returns the number of tokens that neighbouring windows of a text share at least, where tokens have
    labels.

    Args:
        max_length: the largest number of tokens of a window, special ones included.
        special: S, the number of special tokens of a window.
    """
    return (max_length - special) // OVERLAP


@dataclass(frozen=True)
class Cut:
    """How texts are cut into windows.

    Attributes:
        text_W: (W,) int64 the index of each window's text, ascending.
        start_W: (W,) int64 the first token of each window, counted among the text's tokens that are not
            special.
        length_W: (W,) int64 the number of tokens of each window, special ones included.
        special_NS: (N, S) int64 the positions, ascending, of the special tokens in each text.
    """

    text_W: np.ndarray
    start_W: np.ndarray
    length_W: np.ndarray
    special_NS: np.ndarray

    @property
    def num_special(self) -> int:
        """S, the number of special tokens of each text, and of each window."""
        return int(self.special_NS.shape[1])

    @property
    def special_WS(self) -> np.ndarray:
        """(W, S) the positions, ascending, of the special tokens in each window."""
        order_S = np.arange(self.num_special)
        ahead_WS = (
            self.special_NS[self.text_W] - order_S - self.start_W[:, None]
        )  # ordinary tokens of the window before each
        inner_W = self.length_W - self.num_special
        return np.asarray(order_S + np.minimum(np.maximum(ahead_WS, 0), inner_W[:, None]))

    @cached_property
    def decided_W(self) -> np.ndarray:
        """(W,) int64 the first token that each window decides, counted as `start_W` is.

        A window decides the tokens from there to where the next window of its text begins to decide. So each
        token is decided once. Two windows that share tokens meet in the middle of them, where both have as
        much context; of two with the same, the earlier one decides.
        """
        decided_W, ends_W = self.start_W.copy(), self.start_W + self.length_W - self.num_special
        follows = np.flatnonzero(self.text_W[1:] == self.text_W[:-1]) + 1
        decided_W[follows] = (self.start_W[follows] + ends_W[follows - 1] + 1) // 2
        assert (decided_W[follows] >= self.start_W[follows]).all(), "a token is in no window"
        return decided_W

    def sums(self, values_W: np.ndarray, texts: int) -> np.ndarray:
        """Returns (N,) int64 the sum of the values of each text's windows.

        Args:
            values_W: (W,) a whole number for each window.
            texts: N, the number of texts.
        """
        return np.bincount(self.text_W, weights=values_W, minlength=texts).astype(np.int64)

    def window(self, index: int, ids: np.ndarray) -> np.ndarray:
        """Returns (length,) the ids of a window, given the ids of its text.

        Args:
            index: the number of the window.
            ids: (length of the text,) the token ids of its text.
        """
        start, length = int(self.start_W[index]), int(self.length_W[index])
        if length == len(ids):
            return ids
        special_S = self.special_NS[self.text_W[index]]
        # of the text's tokens that are not special, how many are before each special one
        ahead_S = special_S - np.arange(len(special_S))
        # the positions in the text of the window's first and last token that are not special
        end = start + length - len(special_S)
        first = start + int((ahead_S <= start).sum())
        last = end - 1 + int((ahead_S < end).sum())
        before, after = special_S[special_S < first], special_S[special_S > last]
        return np.concatenate([ids[before], ids[first : last + 1], ids[after]])


def whole(lengths_N: np.ndarray, special_NS: np.ndarray) -> Cut:
    """Returns a cut in which each text is one window."""
    return Cut(np.arange(len(lengths_N)), np.zeros_like(lengths_N), lengths_N, special_NS)


def cut(lengths_N: np.ndarray, special_NS: np.ndarray, max_length: int, overlap: int = 0) -> Cut:
    """Cuts each text into as few windows as possible.

    Args:
        lengths_N: (N,) the number of tokens of each text, special ones included.
        special_NS: (N, S) the positions, ascending, of the special tokens.
        max_length: the largest number of tokens of a window, special ones included.
        overlap: the smallest number of tokens that two neighbouring windows share; fewer than a window has
            beside the special ones.
    """
    special = special_NS.shape[1]
    inner_N, room = lengths_N - special, max_length - special
    assert 0 <= overlap < room, "neighbouring windows would be one"
    count_N = np.maximum(1, -(-(inner_N - overlap) // (room - overlap)))
    # all windows of a text together have its tokens, and those of the overlaps once more
    size_N = -(-(inner_N + (count_N - 1) * overlap) // count_N)
    text_W = np.repeat(np.arange(len(lengths_N)), count_N)
    index_W = np.arange(len(text_W)) - (np.cumsum(count_N) - count_N)[text_W]
    start_W = index_W * (inner_N - size_N)[text_W] // np.maximum(1, count_N - 1)[text_W]
    return Cut(text_W, start_W, (size_N + special)[text_W], special_NS)
