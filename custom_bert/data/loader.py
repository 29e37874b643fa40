"""Plans to batches, prepared ahead by one thread.

A thread, never a process: the user's three lines have no main guard, and a spawned copy would run them
again. An error in the thread is raised where the batch is asked for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np

from custom_bert.batch import Batch
from custom_bert.config import Plan
from custom_bert.data.batching import EVALUATION_PADDING, near_equal_slots, num_rows, training_slots
from custom_bert.data.masking import Masker
from custom_bert.data.targets import LineTargets
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.windows import Cut, whole
from custom_bert.data.windows import cut as cut_texts

Item = TypeVar("Item")

AHEAD = 4
"""Batches that are ready before they are asked for."""


class TokenisedTexts(Protocol):
    """What a batch is built from: a token store, or texts in memory."""

    @property
    def lengths_N(self) -> np.ndarray:
        """(N,) tokens of each text."""

    def __getitem__(self, row: int) -> np.ndarray:
        """(length,) int64 token ids of text `row`."""

    def special(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), S) int64 rising positions of the special tokens in some of the texts."""


@dataclass(frozen=True)
class Transform:
    """What becomes of the examples of a training batch before they are learned from.

    Attributes:
        copies: how often a batch holds each example; the copies follow one another, and the same tokens of
            them are left out.
        token_dropout: leaves out some tokens, others in each epoch; None leaves out nothing.
        masker: hides some tokens, which become the targets; None hides nothing.
    """

    copies: int = 1
    token_dropout: TokenDropout | None = None
    masker: Masker | None = None


AS_THEY_ARE = Transform()
"""Examples are taken once and whole."""


@dataclass(frozen=True)
class BatchBuilder:
    """Turns indices of a split into a batch.

    Attributes:
        store: tokenised lines.
        rows_N: (N,) line index of each example of the split.
        targets: of each example; None where the texts themselves are what is to be predicted.
        pad_token_id: fills padding.
        pin_memory: for asynchronous copies to a GPU.
        window: tokens of the windows in which longer texts are read; None where there are no longer ones.
    """

    store: TokenisedTexts
    rows_N: np.ndarray
    targets: LineTargets | None
    pad_token_id: int
    pin_memory: bool = False
    window: int | None = None

    @cached_property
    def lengths_N(self) -> np.ndarray:
        """(N,) tokens of each example, of all of its windows if there are several."""
        cut = self._cut(np.arange(len(self.rows_N)))
        return cut.sums(cut.length_W, len(self.rows_N))

    def kept_lengths(self, dropout: TokenDropout | None, epoch: int) -> np.ndarray:
        """(N,) tokens of each example that an epoch trains on."""
        if dropout is None:
            return self.lengths_N
        cut = self._cut(np.arange(len(self.rows_N)))
        return cut.sums(dropout.lengths(cut, cut.text_W, epoch), len(self.rows_N))

    def windows_of_texts(self) -> np.ndarray:
        """(N,) windows of each example."""
        cut = self._cut(np.arange(len(self.rows_N)))
        return cut.sums(np.ones_like(cut.text_W), len(self.rows_N))

    def _cut(self, indices: np.ndarray) -> Cut:
        rows = self.rows_N[indices]
        lengths_N, special_NS = np.asarray(self.store.lengths_N[rows]), self.store.special(rows)
        if self.window is None:
            return whole(lengths_N, special_NS)
        return cut_texts(lengths_N, special_NS, self.window)

    def build(
        self,
        indices: np.ndarray,
        plan: Plan,
        max_length: int,
        *,
        transform: Transform = AS_THEY_ARE,
        epoch: int = 0,
    ) -> Batch:
        """A training batch, laid out as the plan asks.

        Args:
            indices: of the examples, in the plan's order.
            plan: how they lie.
            max_length: rows of a slot of the padded plan.
            transform: what becomes of the examples before.
            epoch: from 0; it decides which tokens are left out or hidden.
        """
        dropout, masker = transform.token_dropout, transform.masker
        indices = np.repeat(indices, transform.copies)
        cut = self._cut(indices)
        lengths_W, positions = cut.length_W, None
        if dropout is not None:
            positions = dropout.positions(cut, indices[cut.text_W], epoch)
            lengths_W = np.array([len(kept) for kept in positions])
        slots_W = training_slots(lengths_W, plan, max_length)
        batch = self._laid_out(indices, cut, slots_W, num_rows(slots_W, plan), positions)
        return batch if masker is None else masker.mask(batch, epoch)

    def build_for_evaluation(self, indices: np.ndarray, *, padding: float = EVALUATION_PADDING) -> Batch:
        """The batch of some examples in falling order of length, as `by_length` gives them."""
        cut = self._cut(indices)
        return self._laid_out(indices, cut, near_equal_slots(cut.length_W, padding), None, None)

    def _laid_out(
        self,
        indices: np.ndarray,
        cut: Cut,
        slots: np.ndarray,
        rows: int | None,
        positions: Sequence[np.ndarray] | None,
    ) -> Batch:
        texts = [self.store[row] for row in self.rows_N[indices].tolist()]
        sequences = [cut.window(i, texts[text]) for i, text in enumerate(cut.text_W.tolist())]
        if positions is not None:
            sequences = [ids[kept] for ids, kept in zip(sequences, positions, strict=True)]
        return Batch.build(
            sequences,
            positions=positions,
            slots=slots,
            rows=rows,
            pad_token_id=self.pad_token_id,
            targets=None if self.targets is None else self.targets.values(indices),
            indices=indices,
            texts=None if len(sequences) == len(texts) else (cut.text_W, cut.start_W),
            pin_memory=self.pin_memory,
        )


def prefetch(plan: Sequence[Item], build: Callable[[Item], Batch]) -> Iterator[Batch]:
    """The plan's batches in order, built by a thread that stays `AHEAD` of the consumer.

    Args:
        plan: what each batch is built from.
        build: builds one.

    Raises:
        Whatever `build` raised, at the batch that it concerned.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=AHEAD)
    stop = threading.Event()

    def put(item: Batch | BaseException) -> None:
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
        except BaseException as error:  # handed over to the consumer, whatever it is
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
