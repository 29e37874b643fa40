"""Batch: packed tokens and where their sequences lie; the only type that crosses from data to models.

The rows of a batch are one long list of tokens, which its `Layout` (layout.py) divides among sequences. This
one description covers three ways of batching:

- padded, the legacy way: one block, every slot max_length long;
- near-equal lengths (`uniform_length`): a few blocks of one length each, next to no padding;
- packed: sequences in any order, mostly a block each, no padding.

Shapes: T rows (tokens, padding, filler), N sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert.layout import Layout, blocks_of, like
from custom_bert.ranges import joined_ranges


@dataclass(frozen=True)
class Windows:
    """Says for each sequence of which text it is a window.

    Attributes:
        text_N: (N,) int64, the index of each sequence's text in the batch, ascending.
        start_N: (N,) int64 array, the index of the text's token at which the window starts.
        num_texts: the number of texts, N or fewer.
    """

    text_N: Tensor
    start_N: np.ndarray
    num_texts: int

    def mean(self, x_NC: Tensor) -> Tensor:
        """Returns (texts, C), the mean over each text's windows of (N, C), in fp32 or better."""
        x_NC = x_NC.to(torch.promote_types(x_NC.dtype, torch.float32))
        sums = x_NC.new_zeros(self.num_texts, x_NC.shape[1]).index_add(0, self.text_N, x_NC)
        ones_N1 = x_NC.new_ones(len(x_NC), 1)  # bincount would make the host wait for a GPU
        return sums / ones_N1.new_zeros(self.num_texts, 1).index_add(0, self.text_N, ones_N1)


@dataclass(frozen=True)
class Targets:
    """What a model has to predict. Only the task knows what the values mean (`custom_bert.tasks`).

    Attributes:
        values: one for each text of the batch, as the index of its class; or (M, ...), one for each of M
            rows.
        rows_M: (M,) int64, the rows that the values belong to; None if they belong to the texts.
        weights_N: (N,) fp32, how much each text counts; None if all count the same.
        about: for targets of rows, what a scorer needs to know of each text beside the values, such as where
            its units are. The rows are in the order of the texts then. None if it needs nothing.
    """

    values: Tensor
    rows_M: Tensor | None = None
    weights_N: Tensor | None = None
    about: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, chosen: slice) -> Targets:
        """Returns the targets of some of the texts."""
        assert self.rows_M is None, "targets of rows are not taken apart"
        return Targets(self.values[chosen], None, None if self.weights_N is None else self.weights_N[chosen])

    @staticmethod
    def joined(parts: Sequence[Targets]) -> Targets:
        """Returns the targets of texts, one part after the other. Either all parts have weights, or none."""
        weights = [part.weights_N for part in parts if part.weights_N is not None]
        return Targets(
            torch.cat([part.values for part in parts]), None, torch.cat(weights) if weights else None
        )

    def to(self, device: torch.device) -> Targets:
        """Returns the same targets on `device`."""
        values, *others = (
            None if tensor is None else tensor.to(device, non_blocking=True)
            for tensor in (self.values, self.rows_M, self.weights_N)
        )
        assert values is not None
        return Targets(values, *others, self.about)


@dataclass(frozen=True)
class Batch:
    """Token rows with their positions and their layout, and targets if there are any.

    Attributes:
        input_ids_T: (T,) int64.
        positions_T: (T,) int64, the tokens' positions, rising from 0 within each sequence.
        layout: where the sequences lie among the rows.
        targets: what has to be predicted, or None. If sequences are windows, there is one for each text.
        num_tokens: the number of tokens, without padding and filler.
        indices: the indices of the examples in the batch's order; empty if nothing needs them.
        windows: of which texts the sequences are windows; None if each sequence is a text.
        stands_in: whether it counts for nothing, because only other ranks have examples left.
        type_ids_T: (T,) int64, 0 for tokens of the first text of a pair and 1 for those of the second; None
            where texts are single, whose tokens all have the type 0.
    """

    input_ids_T: Tensor
    positions_T: Tensor
    layout: Layout
    targets: Targets | None
    num_tokens: int
    indices: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    windows: Windows | None = None
    stands_in: bool = False
    type_ids_T: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """T, the number of rows that go through the layers, with padding and filler."""
        return len(self.input_ids_T)

    @property
    def num_sequences(self) -> int:
        """N, the number of sequences."""
        return len(self.layout.lengths_N)

    @property
    def num_texts(self) -> int:
        """The number of texts: N, or fewer if the sequences are windows of texts."""
        return self.num_sequences if self.windows is None else self.windows.num_texts

    def to(self, device: torch.device) -> Batch:
        """Returns the same batch on `device`. From page-locked memory it is copied asynchronously."""
        here = self.input_ids_T.device
        if device.type == here.type and device.index in (None, here.index):
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
            None if self.type_ids_T is None else self.type_ids_T.to(device, non_blocking=True),
        )

    def halves(self) -> tuple[Batch, Batch]:
        """Returns the first and the second half of the texts as batches without filler.

        Raises:
            ValueError: for a batch of one text.
        """
        middle = self.num_texts // 2
        if not middle:
            raise ValueError("one text has no halves")
        first = middle if self.windows is None else int((self.windows.text_N < middle).sum())
        return self._part(0, first, slice(0, middle)), self._part(
            first, self.num_sequences, slice(middle, None)
        )

    def _part(self, first: int, end: int, texts: slice) -> Batch:
        """Returns a batch of the sequences from `first` to before `end`, which are those of some texts."""
        starts = self.layout.cu_seqlens.cpu().numpy()
        begin, stop = int(starts[first]), int(starts[end])
        cu_seqlens = starts[first : end + 1] - begin
        lengths_N = self.layout.lengths_N[first:end]
        blocks = blocks_of(lengths_N.cpu().numpy(), cu_seqlens)
        targets, windows = self.targets, self.windows
        if targets is not None and targets.rows_M is not None:
            inside_M = (targets.rows_M >= begin) & (targets.rows_M < stop)
            about = None if targets.about is None else targets.about[texts]
            rows_M = targets.rows_M[inside_M] - begin
            targets = Targets(targets.values[inside_M], rows_M, None, about)
        elif targets is not None:
            targets = targets[texts]
        if windows is not None:
            text_N = windows.text_N[first:end] - texts.start
            windows = Windows(text_N, windows.start_N[first:end], len(range(windows.num_texts)[texts]))
        return Batch(
            self.input_ids_T[begin:stop],
            self.positions_T[begin:stop],
            Layout(
                like(cu_seqlens, self.layout.cu_seqlens).to(lengths_N.device), lengths_N, blocks, stop - begin
            ),
            targets,
            int(lengths_N.sum()),
            self.indices[texts] if len(self.indices) == self.num_texts else self.indices,
            windows,
            self.stands_in,
            None if self.type_ids_T is None else self.type_ids_T[begin:stop],
        )

    @staticmethod
    def build(
        sequences: Sequence[np.ndarray],
        *,
        positions: Sequence[np.ndarray] | None = None,
        types: Sequence[np.ndarray] | None = None,
        **others: Any,
    ) -> Batch:
        """Lays sequences of token ids out as a batch.

        Args:
            sequences: an integer array for each sequence, none empty.
            positions: the positions of each sequence's tokens; None if they count up from 0.
            types: the types of each sequence's tokens, for pairs of texts; None for single texts.
            others: further arguments of `lay_out`.
        """
        lengths_N = np.fromiter((len(s) for s in sequences), dtype=np.int64, count=len(sequences))
        return Batch.lay_out(
            np.concatenate(sequences) if sequences else np.empty(0, dtype=np.int64),
            lengths_N,
            positions_L=None if positions is None else np.concatenate(positions),
            types_L=None if types is None else np.concatenate(types),
            **others,
        )

    @staticmethod
    def lay_out(
        ids_L: np.ndarray,
        lengths_N: np.ndarray,
        *,
        positions_L: np.ndarray | None = None,
        types_L: np.ndarray | None = None,
        slots: int | np.ndarray | None = None,
        rows: int | None = None,
        pad_token_id: int = 0,
        targets: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        indices: np.ndarray | None = None,
        texts: tuple[np.ndarray, np.ndarray] | None = None,
        pin_memory: bool = False,
    ) -> Batch:
        """Lays tokens out as a batch.

        Args:
            ids_L: (L,) the ids of the tokens of all sequences, one sequence after the other.
            lengths_N: (N,) int64 the number of tokens of each sequence, none of them 0.
            positions_L: (L,) the positions of the tokens; None if they count up from 0 in each sequence.
            types_L: (L,) the types of the tokens, for pairs of texts; None for single texts.
            slots: the number of rows of each sequence's slot, at least its length: one number for all, or
                (N,). None packs without padding.
            rows: T; filler follows the last slot. None ends the batch with the last slot.
            pad_token_id: the id in rows of padding and filler.
            targets: (N, ...) values of the texts' targets.
            weights: (N,) how much each text counts; None if all count the same.
            indices: the indices of the examples. If sequences are windows, those of their texts.
            texts: the arrays `Windows.text_N` and `Windows.start_N`; None if each sequence is a text.
            pin_memory: whether to allocate page-locked memory, for asynchronous copies to a GPU.
        """
        lengths = lengths_N
        assert len(lengths) and lengths.min() > 0, "a batch needs sequences, none of them empty"
        slots_N = np.broadcast_to(lengths if slots is None else np.asarray(slots), lengths.shape)
        assert (slots_N >= lengths).all(), "a slot is shorter than its sequence"
        cu_seqlens = np.zeros(len(lengths) + 1, dtype=np.int32)
        np.cumsum(slots_N, out=cu_seqlens[1:])
        used = int(cu_seqlens[-1])
        rows = used if rows is None else rows
        assert rows >= used, f"{used} rows of slots do not fit into {rows}"
        steps_T = np.zeros(rows, dtype=np.int64)
        steps_T[:used] = joined_ranges(slots_N)
        token_T: slice | np.ndarray = slice(used)
        if used > len(ids_L):
            token_T = np.zeros(rows, dtype=bool)
            token_T[:used] = steps_T[:used] < np.repeat(lengths, slots_N)
        ids_T = np.full(rows, pad_token_id, dtype=np.int64)
        ids_T[token_T] = ids_L
        if positions_L is not None:
            steps_T[token_T] = positions_L
        types_T = None
        if types_L is not None:
            types_T = np.zeros(rows, dtype=np.int64)
            types_T[token_T] = types_L

        def tensor(array: np.ndarray) -> Tensor:
            made = torch.from_numpy(array)
            return made.pin_memory() if pin_memory else made

        return Batch(
            input_ids_T=tensor(ids_T),
            positions_T=tensor(steps_T),
            layout=Layout(tensor(cu_seqlens), tensor(lengths), blocks_of(lengths, cu_seqlens), rows),
            targets=None
            if targets is None
            else Targets(tensor(targets), None, None if weights is None else tensor(weights)),
            num_tokens=int(lengths.sum()),
            indices=np.empty(0, dtype=np.int64) if indices is None else indices,
            windows=None if texts is None else Windows(tensor(texts[0]), texts[1], int(texts[0].max()) + 1),
            type_ids_T=None if types_T is None else tensor(types_T),
        )
