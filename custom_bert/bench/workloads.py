"""The texts of speed measurements: random token ids with a stated distribution of lengths.

No data is needed: the speed of a training step depends on how long texts are, and not on what they say.

Shapes: N examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from custom_bert.data.encoded import Frame
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.targets import ClassIds
from custom_bert.ranges import joined_ranges

AG_NEWS_QUANTILES = (17, 29, 34, 37, 40, 42, 44, 46, 47, 49, 51, 52, 54, 56, 57, 60, 62, 66, 71, 86, 256)
"""The quantiles, in steps of 5 %, of the token lengths of AG News (Zhang et al. 2015), with a WordPiece
vocabulary of 16,000 entries trained on it and a limit of 256 tokens. The mean is 53."""

LABELS = 4
"""The number of classes, as AG News has."""


@dataclass(frozen=True)
class Workload:
    """Texts of stated lengths, and how many share an optimizer step.

    Attributes:
        name: its name in tables.
        max_length: the tokens of the longest text; the padded plan pads to it.
        examples: the number of texts in an optimizer step, on average.
    """

    name: str
    max_length: int
    examples: int

    @property
    def mean_tokens(self) -> float:
        """The mean number of tokens of a text."""
        return _mean_ag_news() if self.name == AG_NEWS.name else float(self.max_length)

    @property
    def tokens(self) -> int:
        """The number of real tokens, without padding, in an optimizer step, on average."""
        return round(self.examples * self.mean_tokens)

    def lengths(self, count: int) -> np.ndarray:
        """(count,) int64 token lengths, the same at every call."""
        if self.name != AG_NEWS.name:
            return np.full(count, self.max_length, dtype=np.int64)
        shares = np.random.Generator(np.random.PCG64(0)).random(count)
        grid = np.linspace(0, 1, len(AG_NEWS_QUANTILES))
        return np.interp(shares, grid, AG_NEWS_QUANTILES).astype(np.int64)


def _mean_ag_news() -> float:
    quantiles = np.array(AG_NEWS_QUANTILES, dtype=np.float64)
    return float(((quantiles[1:] + quantiles[:-1]) / 2).mean())


AG_NEWS = Workload("AG News lengths", 256, 32)
LENGTHS = tuple(Workload(f"{n:,} tokens each", n, max(1, 8192 // n)) for n in (128, 512, 2048, 8192))
WORKLOADS = {workload.name: workload for workload in (AG_NEWS, *LENGTHS)}


@dataclass(frozen=True)
class SyntheticTexts:
    """Random token ids in place of a token store: `texts[i]` has `lengths_N[i]` of them.

    Attributes:
        lengths_N: (N,) number of tokens of each text.
        vocab_size: all ids are below it. The first five ids belong to special tokens and are not drawn.
    """

    lengths_N: np.ndarray
    vocab_size: int

    def builder(self, *, pin_memory: bool = False) -> BatchBuilder:
        """Builds batches of these texts. The classes are assigned in turn."""
        rows_N = np.arange(len(self.lengths_N))
        return BatchBuilder(self, rows_N, ClassIds(rows_N % LABELS), 0, pin_memory)

    def __getitem__(self, row: int) -> np.ndarray:
        """(length,) int64 ids, the same at every call."""
        ids, ends_N = self._ids
        return ids[ends_N[row] - self.lengths_N[row] : ends_N[row]]

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Returns (L,) int64 the token ids of some texts, one text after the other."""
        ids, ends_N = self._ids
        lengths_N = self.lengths_N[rows]
        return np.asarray(ids[joined_ranges(lengths_N, ends_N[rows] - lengths_N)])

    def special(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), 2) positions of each text's first and last token, where special tokens would be."""
        return Frame((0,), (0,)).special(self.lengths_N[rows])

    def seconds(self, rows: np.ndarray) -> None:
        """Returns None, because texts are single."""

    @cached_property
    def _ids(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts, and where each ends. They are drawn once, so that drawing is not timed."""
        ends_N = np.cumsum(self.lengths_N)
        generator = np.random.Generator(np.random.PCG64(0))
        return generator.integers(5, self.vocab_size, size=int(ends_N[-1])), ends_N
