"""The matmul kernel's plan of a batch: its blocks in rectangles of few different shapes.

Each shape costs a kernel of oneDNN's (`matmul_attention.py`), so that lengths and numbers of sequences are
round and neighbouring blocks share a rectangle.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from custom_bert.batch import round_up
from custom_bert.layout import Block, Layout

LENGTHS = 16
"""Rectangles are multiples of so many tokens long."""

SIMILAR = 1.5
"""Blocks share a rectangle while the longest is at most so many times the shortest."""


@dataclass(frozen=True)
class Rectangle:
    """Consecutive blocks of similar length, as the matmul kernel copies them.

    Attributes:
        blocks: in order.
        key_masks: of each block, as in `Layout.key_masks`.
        count: sequences, with phantoms that make the number round.
        length: rows of each, a round number.
    """

    blocks: tuple[Block, ...]
    key_masks: tuple[Tensor | None, ...]
    count: int
    length: int

    @property
    def first(self) -> int:
        """Index of the first sequence."""
        return self.blocks[0].first

    @property
    def num_sequences(self) -> int:
        """Sequences without phantoms."""
        return sum(block.count for block in self.blocks)


def rectangles(layout: Layout) -> tuple[Rectangle, ...]:
    """The blocks in rectangles: round lengths, round numbers of sequences. By `layout.once`."""
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
