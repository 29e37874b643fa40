"""Batch: packed tokens and where their sequences lie; the only type that crosses from data to models.

The rows of a batch are one long list of tokens. Each sequence owns a *slot* of consecutive rows: its
tokens, then padding up to the slot's end. Consecutive slots of one length form a *block*, which attention
takes as a rectangle without moving anything. After the last slot there may be filler rows, which keep the
number of rows, and with it every shape outside attention, the same from batch to batch. Three ways of
batching come out of one description:

- padded, the legacy way: one block, every slot max_length long;
- near-equal lengths: a few blocks, next to no padding;
- packed: sequences in any order, mostly a block each, no padding.

Shapes: T rows (tokens, padding, filler), N sequences, S slot length of a block.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

GROUP = 12
"""Sequences that the grouped kernel attends together; 8 to 16 measured alike on a CPU."""

LENGTHS = 16
"""Rectangles of the matmul kernel are multiples of so many tokens long."""

SIMILAR = 1.5
"""Blocks share a rectangle while the longest is at most so many times the shortest."""


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
class Block:
    """Consecutive slots of one length.

    Attributes:
        first: index of its first sequence.
        row: its first row.
        count: sequences.
        length: rows of each slot.
        padded: whether any slot holds padding.
    """

    first: int
    row: int
    count: int
    length: int
    padded: bool


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


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a batch lie among its rows.

    Attributes:
        cu_seqlens: (N + 1,) int32, the rows at which slots start, and the end of the last;
            flash-attention's term.
        lengths_N: (N,) int64, tokens of each sequence, at most its slot.
        blocks: of all slots, in order.
        num_rows: T, filler included.
    """

    cu_seqlens: Tensor
    lengths_N: Tensor
    blocks: tuple[Block, ...]
    num_rows: int

    @property
    def first_N(self) -> Tensor:
        """(N,) row of each sequence's first token."""
        return self.cu_seqlens[:-1].long()

    @property
    def max_seqlen(self) -> int:
        """Rows of the longest slot."""
        return max(block.length for block in self.blocks)

    @property
    def padded(self) -> bool:
        """Whether any slot holds padding."""
        return any(block.padded for block in self.blocks)

    @property
    def num_filler_rows(self) -> int:
        """Rows after the last slot."""
        return self.num_rows - sum(block.count * block.length for block in self.blocks)

    def split(self, x_T: Tensor) -> list[Tensor]:
        """(T, ...) -> (count, S, ...) for each block, views; filler is left out."""
        sizes = [block.count * block.length for block in self.blocks]
        whole = sizes == [self.num_rows]
        parts = (x_T,) if whole else torch.split(x_T, [*sizes, self.num_filler_rows])[: len(sizes)]
        return [
            part.view(block.count, block.length, *part.shape[1:])
            for block, part in zip(self.blocks, parts, strict=True)
        ]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The way back from `split`; filler rows are zeros."""
        flat = [part.flatten(0, 1) for part in parts]
        if self.num_filler_rows:
            flat.append(flat[0].new_zeros(self.num_filler_rows, *flat[0].shape[1:]))
        return flat[0] if len(flat) == 1 else torch.cat(flat)

    @cached_property
    def key_masks(self) -> tuple[Tensor | None, ...]:
        """For each block (count, 1, 1, S), True where a key is a token; None where no slot holds padding."""
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
        """(T,) the sequence that each row belongs to, N for padding and filler."""
        device = self.lengths_N.device
        rows, count = torch.arange(self.num_rows, device=device), len(self.lengths_N)
        owner = torch.bucketize(rows, self.cu_seqlens[1:].long(), right=True).clamp(max=count - 1)
        inside = rows - self.cu_seqlens.long()[owner] < self.lengths_N[owner]
        return torch.where(inside, owner, count)

    @cached_property
    def grouping(self) -> Grouping:
        """Sequences sorted by length, in groups of `GROUP`, padded inside a group only."""
        device = self.lengths_N.device
        starts, lengths = self.cu_seqlens.cpu().numpy(), self.lengths_N.cpu().numpy()
        total = self.num_rows
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

    @cached_property
    def rectangles(self) -> tuple[Rectangle, ...]:
        """The blocks in rectangles of few different shapes: round lengths, round numbers of sequences."""
        groups: list[list[int]] = []
        shortest = longest = 0
        for i, block in enumerate(self.blocks):
            shortest, longest = min(shortest, block.length), max(longest, block.length)
            if not groups or longest > max(SIMILAR * shortest, LENGTHS):
                groups.append([])
                shortest = longest = block.length
            groups[-1].append(i)
        return tuple(self._rectangle(slice(group[0], group[-1] + 1)) for group in groups)

    def _rectangle(self, which: slice) -> Rectangle:
        blocks = self.blocks[which]
        real = sum(block.count for block in blocks)
        # steps of an eighth to a quarter: 1 to 8, 10, 12, 14, 16, 20, ...
        count = round_up(real, 1 << max(0, real.bit_length() - 3))
        length = round_up(max(block.length for block in blocks), LENGTHS)
        return Rectangle(blocks, self.key_masks[which], count, length)

    def to(self, device: torch.device) -> Layout:
        """The same layout with its tensors on `device`."""
        return Layout(
            self.cu_seqlens.to(device, non_blocking=True),
            self.lengths_N.to(device, non_blocking=True),
            self.blocks,
            self.num_rows,
        )


def like(array: np.ndarray, tensor: Tensor) -> Tensor:
    """An array as a tensor, in page-locked memory if another tensor is."""
    found = torch.from_numpy(array)
    return found.pin_memory() if tensor.is_pinned() else found


@dataclass(frozen=True)
class Windows:
    """What sequences are that are windows of longer texts.

    Attributes:
        text_N: (N,) int64 the text of each sequence, ascending.
        start_N: (N,) int64 array, the token of the text at which it starts.
        num_texts: N or fewer.
    """

    text_N: Tensor
    start_N: np.ndarray
    num_texts: int

    def mean(self, x_NC: Tensor) -> Tensor:
        """(N, C) of sequences -> (texts, C), the mean of each text's windows, in fp32 at least."""
        x_NC = x_NC.to(torch.promote_types(x_NC.dtype, torch.float32))
        sums = x_NC.new_zeros(self.num_texts, x_NC.shape[1]).index_add(0, self.text_N, x_NC)
        ones_N1 = x_NC.new_ones(len(x_NC), 1)  # bincount would have a GPU waited for
        return sums / ones_N1.new_zeros(self.num_texts, 1).index_add(0, self.text_N, ones_N1)


@dataclass(frozen=True)
class Targets:
    """What a model is to predict of a batch. What the values mean, the task knows (`custom_bert.tasks`).

    Attributes:
        values: (N, ...) for the texts, say the index of each text's class; or (M, ...) for single rows.
        rows_M: (M,) int64 the rows that the values belong to; None where they belong to the texts.
    """

    values: Tensor
    rows_M: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def to(self, device: torch.device) -> Targets:
        """The same targets on `device`."""
        rows_M = None if self.rows_M is None else self.rows_M.to(device, non_blocking=True)
        return Targets(self.values.to(device, non_blocking=True), rows_M)


@dataclass(frozen=True)
class Batch:
    """Token rows, their positions and their layout, with targets if there are any.

    Attributes:
        input_ids_T: (T,) int64.
        positions_T: (T,) int64, rising within each sequence, from 0 at its first token.
        layout: where sequences lie.
        targets: what is to be predicted, or None; where sequences are windows, of each text.
        num_tokens: real tokens, without padding.
        indices: of the examples, in the batch's order; empty where nobody needs them.
        windows: of which texts the sequences are windows; None where each is a text.
        stands_in: whether it counts for nothing, and is there for a process that has nothing else to do.
    """

    input_ids_T: Tensor
    positions_T: Tensor
    layout: Layout
    targets: Targets | None
    num_tokens: int
    indices: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    windows: Windows | None = None
    stands_in: bool = False

    @property
    def num_rows(self) -> int:
        """T: rows that go through the layers, padding included."""
        return len(self.input_ids_T)

    @property
    def num_sequences(self) -> int:
        """N, the number of sequences."""
        return len(self.layout.lengths_N)

    @property
    def num_texts(self) -> int:
        """Sequences, or the texts that they are windows of."""
        return self.num_sequences if self.windows is None else self.windows.num_texts

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`, copied asynchronously from pinned memory."""
        if device.type == "cpu":
            return self

        windows = self.windows
        if windows is not None:
            windows = replace(windows, text_N=windows.text_N.to(device, non_blocking=True))
        return Batch(
            self.input_ids_T.to(device, non_blocking=True),
            self.positions_T.to(device, non_blocking=True),
            self.layout.to(device),
            None if self.targets is None else self.targets.to(device),
            self.num_tokens,
            self.indices,
            windows,
            self.stands_in,
        )

    @staticmethod
    def build(
        sequences: Sequence[np.ndarray],
        *,
        positions: Sequence[np.ndarray] | None = None,
        slots: int | np.ndarray | None = None,
        rows: int | None = None,
        pad_token_id: int = 0,
        targets: np.ndarray | None = None,
        indices: np.ndarray | None = None,
        texts: tuple[np.ndarray, np.ndarray] | None = None,
        pin_memory: bool = False,
    ) -> Batch:
        """Lays sequences of token ids out as a batch.

        Args:
            sequences: one integer array each, none empty.
            positions: of each sequence's tokens, where they do not count up from 0.
            slots: rows of each sequence's slot, at least its length: one number for all, or (N,); None
                packs without padding.
            rows: T; filler follows the last slot. None ends with the last slot.
            pad_token_id: fills padding and filler rows.
            targets: (N, ...) values of the texts' targets.
            indices: of the examples, kept as they are; of texts, where sequences are windows.
            texts: of which text each sequence is a window, and from which token on; None where each is one.
            pin_memory: allocate page-locked memory, for asynchronous copies to a GPU.
        """
        lengths = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        assert len(lengths) and lengths.min() > 0, "a batch needs sequences, none of them empty"
        slots_N = np.broadcast_to(lengths if slots is None else np.asarray(slots), lengths.shape)
        assert (slots_N >= lengths).all(), "a slot is shorter than its sequence"
        cu_seqlens = np.zeros(len(lengths) + 1, dtype=np.int32)
        np.cumsum(slots_N, out=cu_seqlens[1:])
        used = int(cu_seqlens[-1])
        rows = used if rows is None else rows
        assert rows >= used, f"{used} rows of slots do not fit into {rows}"
        steps_T = np.zeros(rows, dtype=np.int64)
        steps_T[:used] = np.arange(used) - np.repeat(cu_seqlens[:-1], slots_N)
        token_T = np.zeros(rows, dtype=bool)
        token_T[:used] = steps_T[:used] < np.repeat(lengths, slots_N)
        ids_T = np.full(rows, pad_token_id, dtype=np.int64)
        ids_T[token_T] = np.concatenate(sequences)
        if positions is not None:
            steps_T[token_T] = np.concatenate(positions)

        def tensor(array: np.ndarray) -> Tensor:
            made = torch.from_numpy(array)
            return made.pin_memory() if pin_memory else made

        return Batch(
            input_ids_T=tensor(ids_T),
            positions_T=tensor(steps_T),
            layout=Layout(tensor(cu_seqlens), tensor(lengths), _blocks(lengths, cu_seqlens), rows),
            targets=None if targets is None else Targets(tensor(targets)),
            num_tokens=int(lengths.sum()),
            indices=np.empty(0, dtype=np.int64) if indices is None else indices,
            windows=None if texts is None else Windows(tensor(texts[0]), texts[1], int(texts[0].max()) + 1),
        )


def round_up(value: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-value // step) * step


def _blocks(lengths_N: np.ndarray, cu_seqlens: np.ndarray) -> tuple[Block, ...]:
    """Runs of equal slots."""
    slots_N = np.diff(cu_seqlens)
    starts = np.flatnonzero(np.diff(slots_N, prepend=-1)).tolist()
    return tuple(
        Block(
            first,
            int(cu_seqlens[first]),
            end - first,
            int(slots_N[first]),
            padded=bool((lengths_N[first:end] < slots_N[first]).any()),
        )
        for first, end in itertools.pairwise([*starts, len(slots_N)])
    )
