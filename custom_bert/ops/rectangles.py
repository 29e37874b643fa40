"""The matmul kernel's plan of a batch: it copies the blocks into rectangles of few different shapes.

For each shape oneDNN builds a kernel (`matmul_attention.py`). So lengths and numbers of sequences are round,
and neighbouring blocks share a rectangle.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from custom_bert.layout import Block, Layout
from custom_bert.rounding import round_up

LENGTHS = 16
"""The length of a rectangle is a multiple of this."""

SIMILAR = 1.5
"""Blocks share a rectangle if the longest is at most this many times as long as the shortest."""


@dataclass(frozen=True)
class Rectangle:
    """Consecutive blocks of similar length, which the matmul kernel copies into one tensor.

    Attributes:
        blocks: the blocks in order.
        key_masks: the key mask of each block, as in `Layout.key_masks`.
        count: the number of sequences, including phantoms that make it round.
        length: the number of rows of each sequence, a round number.
    """

    blocks: tuple[Block, ...]
    key_masks: tuple[Tensor | None, ...]
    count: int
    length: int

    @property
    def first(self) -> int:
        """The index of the first sequence in the batch."""
        return self.blocks[0].first

    @property
    def num_sequences(self) -> int:
        """The number of sequences without phantoms."""
        return sum(block.count for block in self.blocks)


def rectangles(layout: Layout) -> tuple[Rectangle, ...]:
    """Joins neighbouring blocks of similar length into rectangles. Call it through `layout.once`."""
    groups: list[list[int]] = []
    shortest = longest = 0
    for i, block in enumerate(layout.blocks):
        shortest, longest = min(shortest, block.length), max(longest, block.length)
        if not groups or longest > max(SIMILAR * shortest, LENGTHS):
            groups.append([])
            shortest = longest = block.length
        groups[-1].append(i)
    return tuple(_rectangle(layout, slice(group[0], group[-1] + 1)) for group in groups)


def _rectangle(layout: Layout, which: slice) -> Rectangle:
    blocks = layout.blocks[which]
    real = sum(block.count for block in blocks)
    # steps of an eighth to a quarter: 1 to 8, 10, 12, 14, 16, 20, ...
    count = round_up(real, 1 << max(0, real.bit_length() - 3))
    length = round_up(max(block.length for block in blocks), LENGTHS)
    return Rectangle(blocks, layout.key_masks[which], count, length)
