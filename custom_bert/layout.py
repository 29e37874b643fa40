"""Layout: where the sequences of a batch lie among its rows.

Each sequence owns a *slot* of consecutive rows: its tokens, then padding up to the slot's end. Consecutive
slots of one length form a *block*, which attention takes as a rectangle without moving anything. After the
last slot there may be filler rows. They keep the number of rows the same from batch to batch, and with it
every shape outside of attention.

Shapes: T rows (tokens, padding, filler), N sequences, S slot length of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class Block:
    """Consecutive slots of one length.

    Attributes:
        first: the index of its first sequence.
        row: its first row.
        count: the number of sequences.
        length: S, the number of rows of each slot.
        padded: whether any slot holds padding.
    """

    first: int
    row: int
    count: int
    length: int
    padded: bool


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a batch lie among its rows.

    Attributes:
        cu_seqlens: (N + 1,) int32, the rows at which slots start, and the end of the last;
            flash-attention's term.
        lengths_N: (N,) int64, the number of tokens of each sequence, at most the rows of its slot.
        blocks: the blocks of all slots, in order.
        num_rows: T, including filler.
    """

    cu_seqlens: Tensor
    lengths_N: Tensor
    blocks: tuple[Block, ...]
    num_rows: int
    _plans: dict[Callable[[Layout], Any], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(self, plan: Callable[[Layout], Plan]) -> Plan:
        """Returns `plan(self)`, and computes it only the first time.

        A kernel plans how it takes this layout. It is the same in all layers and in their backward passes.

        Args:
            plan: a module's function without state. It is the key by which the result is kept.
        """
        if plan not in self._plans:
            self._plans[plan] = plan(self)
        made: Plan = self._plans[plan]
        return made

    @property
    def first_N(self) -> Tensor:
        """(N,) int64, the row of each sequence's first token."""
        return self.cu_seqlens[:-1].long()

    @property
    def max_seqlen(self) -> int:
        """The number of rows of the longest slot."""
        return max(block.length for block in self.blocks)

    @property
    def padded(self) -> bool:
        """Whether any slot holds padding."""
        return any(block.padded for block in self.blocks)

    @property
    def num_filler_rows(self) -> int:
        """The number of rows after the last slot."""
        return self.num_rows - sum(block.count * block.length for block in self.blocks)

    def split(self, x_T: Tensor) -> list[Tensor]:
        """Returns a view (count, S, ...) of (T, ...) for each block. Filler is left out."""
        sizes = [block.count * block.length for block in self.blocks]
        whole = sizes == [self.num_rows]
        parts = (x_T,) if whole else torch.split(x_T, [*sizes, self.num_filler_rows])[: len(sizes)]
        return [
            part.view(block.count, block.length, *part.shape[1:])
            for block, part in zip(self.blocks, parts, strict=True)
        ]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Joins what `split` returned, or tensors of these shapes, to (T, ...). Filler rows are zeros."""
        flat = [part.flatten(0, 1) for part in parts]
        if self.num_filler_rows:
            flat.append(flat[0].new_zeros(self.num_filler_rows, *flat[0].shape[1:]))
        return flat[0] if len(flat) == 1 else torch.cat(flat)

    @cached_property
    def key_masks(self) -> tuple[Tensor | None, ...]:
        """For each block (count, 1, 1, S), True where a key is a token; None if no slot holds padding."""
        masks: list[Tensor | None] = []
        for block in self.blocks:
            if not block.padded:
                masks.append(None)
                continue
            rows = torch.arange(block.length, device=self.lengths_N.device)
            lengths = self.lengths_N[block.first : block.first + block.count]
            masks.append((rows < lengths[:, None])[:, None, None, :])
        return tuple(masks)

    @cached_property
    def sequence_T(self) -> Tensor:
        """(T,) int64, the sequence that each row belongs to; N for padding and filler."""
        device = self.lengths_N.device
        rows, count = torch.arange(self.num_rows, device=device), len(self.lengths_N)
        owner = torch.bucketize(rows, self.cu_seqlens[1:].long(), right=True).clamp(max=count - 1)
        inside = rows - self.cu_seqlens.long()[owner] < self.lengths_N[owner]
        return torch.where(inside, owner, count)

    def to(self, device: torch.device) -> Layout:
        """Returns the same layout with its tensors on `device`. Plans are made there anew."""
        return Layout(
            self.cu_seqlens.to(device, non_blocking=True),
            self.lengths_N.to(device, non_blocking=True),
            self.blocks,
            self.num_rows,
        )


def blocks_of(lengths_N: np.ndarray, cu_seqlens: np.ndarray) -> tuple[Block, ...]:
    """Returns the blocks: runs of slots of equal length, in order.

    Args:
        lengths_N: (N,) tokens of each sequence.
        cu_seqlens: (N + 1,) rows at which slots start, and the end of the last.
    """
    slots_N = np.diff(cu_seqlens)
    first_B = np.flatnonzero(np.diff(slots_N, prepend=-1))
    counts_B = np.diff(first_B, append=len(slots_N))
    padded_B = np.logical_or.reduceat(lengths_N < slots_N, first_B)
    # lists, since reading single elements of arrays takes most of the time where blocks are many
    columns = (first_B, cu_seqlens[first_B], counts_B, slots_N[first_B], padded_B)
    return tuple(map(Block, *(column.tolist() for column in columns)))
