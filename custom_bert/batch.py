"""Batch: packed tokens and where their sequences lie; the only type that crosses from data to models.

The rows of a batch are one long list of tokens. Each sequence owns a *slot* of consecutive rows: its
tokens, then padding up to the slot's end. Three layouts come out of one description:

- packed: slots as long as their sequences, no padding;
- near-equal lengths: every slot as long as the batch's longest sequence;
- padded: every slot max_length long, the legacy way.

Shapes: T rows (tokens and padding), N sequences, S slot length where all slots are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

GROUP = 12
"""Sequences that the grouped kernel attends together; 8 to 16 measured alike on a CPU."""


@dataclass(frozen=True)
class Group:
    """Some sequences of similar length, as the grouped kernel gathers them.

    Attributes:
        start: first row of the group among the gathered rows of all groups.
        count: sequences.
        length: rows of each, the group's longest sequence.
        mask_N11S: True where a row is a token; None where all are.
    """

    start: int
    count: int
    length: int
    mask_N11S: Tensor | None


@dataclass(frozen=True)
class Grouping:
    """The grouped kernel's plan: rows of all groups one after the other, and the way back.

    Attributes:
        gather_P: row of the batch for each gathered row, T (a row of zeros) for padding.
        scatter_T: gathered row for each row of the batch, P (a row of zeros) for padding.
        groups: where each group lies.
    """

    gather_P: Tensor
    scatter_T: Tensor
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a batch lie among its rows.

    Attributes:
        cu_seqlens: (N + 1,) int32, the rows at which slots start, and T; flash-attention's term.
        lengths_N: (N,) int64, tokens of each sequence, at most its slot.
        max_seqlen: rows of the longest slot.
        slot: the common length of all slots, or None if they differ.
        padded: whether any slot holds padding.
    """

    cu_seqlens: Tensor
    lengths_N: Tensor
    max_seqlen: int
    slot: int | None
    padded: bool

    @property
    def first_N(self) -> Tensor:
        """(N,) row of each sequence's first token."""
        return self.cu_seqlens[:-1].long()

    @cached_property
    def key_mask_N11S(self) -> Tensor | None:
        """True where a key is a token; None where no slot holds padding. Only for equal slots."""
        assert self.slot is not None, "key masks exist for slots of one length"
        if not self.padded:
            return None
        rows = torch.arange(self.slot, device=self.lengths_N.device)
        return (rows < self.lengths_N[:, None])[:, None, None, :]

    @cached_property
    def sequence_T(self) -> Tensor:
        """(T,) the sequence that each row belongs to, N for padding."""
        device = self.lengths_N.device
        rows = torch.arange(int(self.cu_seqlens[-1]), device=device)
        owner = torch.bucketize(rows, self.cu_seqlens[1:].long(), right=True)
        inside = rows - self.cu_seqlens.long()[owner] < self.lengths_N[owner]
        return torch.where(inside, owner, len(self.lengths_N))

    @cached_property
    def grouping(self) -> Grouping:
        """Sequences sorted by length, in groups of `GROUP`, padded inside a group only."""
        device = self.lengths_N.device
        starts, lengths = self.cu_seqlens.cpu().numpy(), self.lengths_N.cpu().numpy()
        total = int(starts[-1])
        order = np.argsort(lengths, kind="stable")
        gathered, groups, at = [], [], 0
        for begin in range(0, len(order), GROUP):
            members = order[begin : begin + GROUP]
            longest = int(lengths[members].max())
            steps = np.arange(longest)
            real = steps < lengths[members][:, None]
            gathered.append(np.where(real, starts[:-1][members][:, None] + steps, total).ravel())
            mask = None if real.all() else torch.from_numpy(real)[:, None, None, :].to(device)
            groups.append(Group(at, len(members), longest, mask))
            at += len(members) * longest
        gather = np.concatenate(gathered)
        scatter = np.full(total, at, dtype=np.int64)
        scatter[gather[gather < total]] = np.flatnonzero(gather < total)
        return Grouping(
            torch.from_numpy(gather).to(device), torch.from_numpy(scatter).to(device), tuple(groups)
        )

    def to(self, device: torch.device) -> Layout:
        """The same layout with its tensors on `device`."""
        return Layout(
            self.cu_seqlens.to(device, non_blocking=True),
            self.lengths_N.to(device, non_blocking=True),
            self.max_seqlen,
            self.slot,
            self.padded,
        )


@dataclass(frozen=True)
class Batch:
    """Token rows, their positions and their layout, with labels if there are any.

    Attributes:
        input_ids_T: (T,) int64.
        positions_T: (T,) int64, 0 at each sequence's first token.
        layout: where sequences lie.
        labels_N: (N,) int64, or None.
        num_tokens: real tokens, without padding.
        indices: of the examples, in the batch's order; empty where nobody needs them.
        masked_rows_M: (M,) int64 rows whose tokens a language model predicts, or None.
        targets_M: (M,) int64 the tokens that stood there.
    """

    input_ids_T: Tensor
    positions_T: Tensor
    layout: Layout
    labels_N: Tensor | None
    num_tokens: int
    indices: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    masked_rows_M: Tensor | None = None
    targets_M: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """T: rows that go through the layers, padding included."""
        return len(self.input_ids_T)

    @property
    def num_sequences(self) -> int:
        """N."""
        return len(self.layout.lengths_N)

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`, copied asynchronously from pinned memory."""
        if device.type == "cpu":
            return self

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return Batch(
            self.input_ids_T.to(device, non_blocking=True),
            self.positions_T.to(device, non_blocking=True),
            self.layout.to(device),
            move(self.labels_N),
            self.num_tokens,
            self.indices,
            move(self.masked_rows_M),
            move(self.targets_M),
        )

    @staticmethod
    def build(
        sequences: Sequence[np.ndarray],
        *,
        slot: int | None = None,
        pad_token_id: int = 0,
        labels: np.ndarray | None = None,
        indices: np.ndarray | None = None,
        pin_memory: bool = False,
    ) -> Batch:
        """Lays sequences of token ids out as a batch.

        Args:
            sequences: one integer array each, none empty.
            slot: rows of every sequence's slot, at least the longest sequence; None packs without
                padding.
            pad_token_id: fills padding rows.
            labels: (N,) class indices.
            indices: (N,) of the examples, kept as they are.
            pin_memory: allocate page-locked memory, for asynchronous copies to a GPU.
        """
        lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        assert len(lengths) and lengths.min() > 0, "a batch needs sequences, none of them empty"
        longest = int(lengths.max())
        assert slot is None or slot >= longest, f"slot {slot} is shorter than {longest} tokens"
        if slot is None and lengths.min() == longest:
            slot = longest
        slots = lengths if slot is None else np.full(len(lengths), slot, dtype=np.int64)
        cu_seqlens = np.zeros(len(lengths) + 1, dtype=np.int32)
        np.cumsum(slots, out=cu_seqlens[1:])
        rows = int(cu_seqlens[-1])
        positions = np.arange(rows) - np.repeat(cu_seqlens[:-1], slots)
        ids = np.full(rows, pad_token_id, dtype=np.int64)
        ids[positions < np.repeat(lengths, slots)] = np.concatenate(sequences)

        def tensor(array: np.ndarray) -> Tensor:
            made = torch.from_numpy(array)
            return made.pin_memory() if pin_memory else made

        layout = Layout(
            tensor(cu_seqlens), tensor(lengths), int(slots.max()), slot, bool(rows > lengths.sum())
        )
        return Batch(
            input_ids_T=tensor(ids),
            positions_T=tensor(positions.astype(np.int64)),
            layout=layout,
            labels_N=None if labels is None else tensor(labels.astype(np.int64)),
            num_tokens=int(lengths.sum()),
            indices=np.empty(0, dtype=np.int64) if indices is None else indices,
        )
