"""Builds batches by a plan, and prepares them ahead in one thread.

It is a thread and never a process. A spawned process would import the user's script again, and a script of
three lines has no `if __name__ == "__main__"`. An error in the thread is raised where the batch is asked for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np

from custom_bert.batch import Batch, Targets
from custom_bert.config import Plan
from custom_bert.data.batching import EVALUATION_PADDING, near_equal_slots, num_rows, training_slots
from custom_bert.data.masking import Masker
from custom_bert.data.row_targets import RowTargets
from custom_bert.data.targets import LineTargets
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.windows import Cut, whole
from custom_bert.data.windows import cut as cut_texts
from custom_bert.layout import Layout, like
from custom_bert.ranges import joined_ranges

Item = TypeVar("Item")

AHEAD = 4
"""The number of batches that are kept ready before they are asked for."""


class TokenisedTexts(Protocol):
    """Texts as token ids, from which batches are built: a token store, pieces, or texts in memory."""

    @property
    def lengths_N(self) -> np.ndarray:
        """(N,) the number of tokens of each text, special ones included."""

    def __getitem__(self, row: int) -> np.ndarray:
        """Returns (length,) int64 the token ids of text `row`."""

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Returns (L,) int64 the token ids of some texts, one text after the other."""

    def special(self, rows: np.ndarray) -> np.ndarray:
        """Returns (len(rows), S) int64 the positions, ascending, of the special tokens in some of the
        texts."""

    def seconds(self, rows: np.ndarray) -> np.ndarray | None:
        """Returns (len(rows),) int64 the position at which the second text of some pairs begins; None where
        texts are single."""


@dataclass(frozen=True)
class Transform:
    """The changes that are made to the examples of a training batch before the model gets them.

    Attributes:
        copies: how often a batch contains each example. The copies follow one another, and token dropout
            leaves the same tokens out of all of them.
        token_dropout: leaves out some tokens, other ones in each epoch; None to leave out nothing.
        masker: hides some tokens, which become the targets; None to hide nothing.
    """

    copies: int = 1
    token_dropout: TokenDropout | None = None
    masker: Masker | None = None


UNCHANGED = Transform()
"""The transform that takes each example once and whole."""


@dataclass(frozen=True)
class BatchBuilder:
    """Turns indices of a split's examples into a batch.

    Attributes:
        store: the tokenised lines.
        rows_N: (N,) the line index of each example of the split.
        targets: the target of each example; None where hidden tokens of the texts are predicted.
        pad_token_id: the token id that fills padding.
        pin_memory: whether batches are in page-locked memory, for asynchronous copies to a GPU.
        window: the number of tokens of the windows in which longer texts are read; None to read no text in
            windows.
        ahead: plans what the kernels of a GPU need to know of a layout, given whether the batch is computed
            in fp32; None to plan nothing.
        overlap: the smallest number of tokens that neighbouring windows of a text share.
        row_targets: the targets of single tokens of each example, in the place of `targets`; None where
            tokens have none.
    """

    store: TokenisedTexts
    rows_N: np.ndarray
    targets: LineTargets | None
    pad_token_id: int
    pin_memory: bool = False
    window: int | None = None
    ahead: Callable[[Layout, bool], None] | None = None
    overlap: int = 0
    row_targets: RowTargets | None = None

    @cached_property
    def lengths_N(self) -> np.ndarray:
        """(N,) the number of tokens of each example, summed over its windows."""
        cut = self._cut(np.arange(len(self.rows_N)))
        return cut.sums(cut.length_W, len(self.rows_N))

    def kept_lengths(self, dropout: TokenDropout | None, epoch: int) -> np.ndarray:
        """Returns (N,) the number of tokens of each example that are left after token dropout in an epoch."""
        if dropout is None:
            return self.lengths_N
        cut = self._cut(np.arange(len(self.rows_N)))
        return cut.sums(dropout.lengths(cut, cut.text_W, epoch), len(self.rows_N))

    def windows_of_texts(self) -> np.ndarray:
        """Returns (N,) the number of windows of each example."""
        cut = self._cut(np.arange(len(self.rows_N)))
        return cut.sums(np.ones_like(cut.text_W), len(self.rows_N))

    def _cut(self, indices: np.ndarray) -> Cut:
        """Returns how some examples are cut into windows; each is one window if there are no windows."""
        rows = self.rows_N[indices]
        lengths_N, special_NS = np.asarray(self.store.lengths_N[rows]), self.store.special(rows)
        if self.window is None:
            return whole(lengths_N, special_NS)
        return cut_texts(lengths_N, special_NS, self.window, self.overlap)

    def build(
        self,
        indices: np.ndarray,
        plan: Plan,
        max_length: int,
        *,
        transform: Transform = UNCHANGED,
        epoch: int = 0,
    ) -> Batch:
        """Builds a training batch with the layout of a plan.

        Args:
            indices: the indices of the examples, in the plan's order.
            plan: the plan, which decides the lengths of the slots.
            max_length: the number of rows of a slot in the padded plan.
            transform: the changes that are made to the examples.
            epoch: the number of the epoch, from 0. It decides which tokens are left out or hidden.
        """
        dropout, masker = transform.token_dropout, transform.masker
        indices = np.repeat(indices, transform.copies)
        cut = self._cut(indices)
        lengths_W, stays_L = cut.length_W, None
        if dropout is not None:
            stays_L = dropout.stays(cut, indices[cut.text_W], epoch)
            lengths_W = np.add.reduceat(stays_L, np.cumsum(lengths_W) - lengths_W, dtype=np.int64)
        slots_W = training_slots(lengths_W, plan, max_length)
        batch = self._laid_out(indices, cut, lengths_W, slots_W, num_rows(slots_W, plan), stays_L)
        if self.ahead is not None:
            self.ahead(batch.layout, False)
        return batch if masker is None else masker.mask(batch, epoch)

    def build_for_evaluation(self, indices: np.ndarray, *, padding: float = EVALUATION_PADDING) -> Batch:
        """Builds a batch for evaluation and prediction, in which no token is left out or hidden.

        Args:
            indices: the indices of the examples, longest first, as `by_length` returns them.
            padding: the largest share of padding in a block.
        """
        cut = self._cut(indices)
        slots_W = near_equal_slots(cut.length_W, padding)
        batch = self._laid_out(indices, cut, cut.length_W, slots_W, None, None)
        if self.ahead is not None:
            self.ahead(batch.layout, True)
        return batch

    def _laid_out(
        self,
        indices: np.ndarray,
        cut: Cut,
        lengths_W: np.ndarray,
        slots_W: np.ndarray,
        rows: int | None,
        stays_L: np.ndarray | None,
    ) -> Batch:
        """Builds a batch of the windows in `cut`.

        Args:
            indices: the indices of the examples.
            cut: how they are cut into windows.
            lengths_W: (W,) the number of tokens of each window that the batch has.
            slots_W: (W,) the number of rows of each window's slot.
            rows: the number of rows of the batch; None for as many as the slots have.
            stays_L: (L,) which tokens of the windows the batch has; None for all.
        """
        rows_N, windowed = self.rows_N[indices], len(cut.text_W) != len(indices)
        if windowed:
            texts = [self.store[row] for row in rows_N.tolist()]
            windows = [cut.window(i, texts[text]) for i, text in enumerate(cut.text_W.tolist())]
        ids_L = np.concatenate(windows) if windowed else self.store.tokens(rows_N)
        positions_L, types_L = None, self._types(indices, cut)
        if stays_L is not None:
            kept = np.flatnonzero(stays_L)  # taking by index costs half of what choosing by bools does
            ids_L, positions_L = ids_L[kept], joined_ranges(cut.length_W)[kept]
            types_L = None if types_L is None else types_L[kept]
        batch = Batch.lay_out(
            ids_L,
            lengths_W,
            positions_L=positions_L,
            types_L=types_L,
            slots=slots_W,
            rows=rows,
            pad_token_id=self.pad_token_id,
            targets=None if self.targets is None else self.targets.values(indices),
            weights=None if self.targets is None else self.targets.weights(indices),
            indices=indices,
            texts=(cut.text_W, cut.start_W) if windowed else None,
            pin_memory=self.pin_memory,
        )
        if self.row_targets is None:
            return batch
        assert stays_L is None, "a token that has a target is not left out"
        values_M, rows_M, about = self.row_targets.laid_out(indices, cut, slots_W)
        values, rows = (like(part, batch.input_ids_T) for part in (values_M, rows_M))
        return replace(batch, targets=Targets(values, rows, None, about))

    def _types(self, indices: np.ndarray, cut: Cut) -> np.ndarray | None:
        """Returns (L,) int64 the types of the pairs' tokens, 0 up to the separator and 1 after it; None where
        texts are single."""
        seconds_N = self.store.seconds(self.rows_N[indices])
        if seconds_N is None:
            return None
        assert self.window is None, "pairs are not read in windows"
        return np.asarray(joined_ranges(cut.length_W) >= np.repeat(seconds_N, cut.length_W), dtype=np.int64)


def prefetch(plan: Sequence[Item], build: Callable[[Item], Batch]) -> Iterator[Batch]:
    """Yields the batches of a plan in order, built by a thread that stays `AHEAD` batches ahead.

    Args:
        plan: what each batch is built from.
        build: builds one batch.

    Raises:
        BaseException: whatever `build` raised, in the place of the batch that it was building.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=AHEAD)
    stop = threading.Event()

    def put(item: Batch | BaseException) -> None:
        # a plain put would wait for ever if the consumer has stopped while the queue is full
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in plan:
                if stop.is_set():
                    return
                put(build(item))
        except BaseException as error:  # the consumer raises it; otherwise it would wait for ever
            put(error)

    thread = threading.Thread(target=work, name="custom-bert-loader", daemon=True)
    thread.start()
    try:
        for _ in plan:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
