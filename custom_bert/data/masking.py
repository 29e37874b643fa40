"""Masking for language modelling: a pure function of (seed, epoch, example, position of the token or word).

It does not depend on the other examples of the batch, on the number of threads, or on where a run was
continued.

Shapes: T rows, M masked rows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from custom_bert.batch import Batch, Targets
from custom_bert.data.draws import as_uniform, random_bits, uniform
from custom_bert.layout import like
from custom_bert.ranges import joined_ranges

REPLACED, RANDOM = 0.8, 0.1
"""Shares of the chosen tokens: 80 % become [MASK], 10 % a random token, 10 % stay (Devlin et al. 2018)."""


@dataclass(frozen=True)
class Masker:
    """Hides tokens of batches, and makes them the targets.

    Attributes:
        mask_id: the id of the mask token.
        special_ids: ids that are never chosen, and never drawn as a random replacement: those of special
            tokens, and those that belong to no token.
        vocab_size: V, the size of the vocabulary.
        rate: the share of ordinary tokens that is chosen.
        seed: the seed of the run.
        continues_V: (V,) bool, whether a token continues a word, to choose whole words; None to choose each
            token by itself.
    """

    mask_id: int
    special_ids: tuple[int, ...]
    vocab_size: int
    rate: float
    seed: int
    continues_V: np.ndarray | None = None

    @cached_property
    def _special_V(self) -> np.ndarray:
        """(V,) whether a token is never chosen."""
        special_V = np.zeros(self.vocab_size, dtype=bool)
        special_V[[i for i in self.special_ids if 0 <= i < self.vocab_size]] = True
        return special_V

    @cached_property
    def _ordinary_ids(self) -> np.ndarray:
        """The ids that may be drawn as a random replacement, ascending."""
        return np.flatnonzero(~self._special_V)

    def mask(self, batch: Batch, epoch: int) -> Batch:
        """Returns the batch with the chosen tokens hidden.

        Args:
            batch: a batch on the CPU, with `indices`.
            epoch: the number of the epoch, from 0.

        Returns:
            A batch whose targets are the ids of the chosen tokens, at their rows. If no token was drawn, the
            first ordinary token is chosen, so that the loss is defined.
        """
        used = batch.num_rows - batch.layout.num_filler_rows
        ids_T, positions_T = batch.input_ids_T.numpy()[:used], batch.positions_T.numpy()[:used]
        slots_N = np.diff(batch.layout.cu_seqlens.numpy())
        examples_N = batch.indices
        if batch.windows is not None:  # draws are made by the place in the text, not in the window
            examples_N = examples_N[batch.windows.text_N.numpy()]
            positions_T = positions_T + np.repeat(batch.windows.start_N, slots_N)
        ordinary_T = ~self._special_V[ids_T]
        if batch.layout.padded:
            ordinary_T &= joined_ranges(slots_N) < np.repeat(batch.layout.lengths_N.numpy(), slots_N)

        words_T = self._words(ids_T, positions_T)
        bits_T = random_bits(self.seed, epoch, examples_N, words_T, stream=0, counts=slots_N)
        rows_M = np.flatnonzero(ordinary_T & (as_uniform(bits_T) < self.rate))
        if not len(rows_M):
            rows_M = np.flatnonzero(ordinary_T)[:1]
        targets_M, places_M = ids_T[rows_M], positions_T[rows_M]
        examples_M = examples_N[np.searchsorted(np.cumsum(slots_N), rows_M, side="right")]
        fate_M = uniform(self.seed, epoch, examples_M, places_M, stream=1)
        drawn_M = uniform(self.seed, epoch, examples_M, places_M, stream=2) * len(self._ordinary_ids)
        masked_T = batch.input_ids_T.numpy().copy()
        masked_T[rows_M] = np.where(
            fate_M < REPLACED,
            self.mask_id,
            np.where(fate_M < REPLACED + RANDOM, self._ordinary_ids[drawn_M.astype(np.int64)], targets_M),
        )
        return dataclasses.replace(
            batch,
            input_ids_T=like(masked_T, batch.input_ids_T),
            targets=Targets(like(targets_M, batch.input_ids_T), like(rows_M, batch.input_ids_T)),
        )

    def _words(self, ids_T: np.ndarray, positions_T: np.ndarray) -> np.ndarray:
        """Returns (T,) the position by which each row is drawn: its own, or that of its word's first token.

        So all tokens of a word get the same draw, and are chosen together.
        """
        if self.continues_V is None:
            return positions_T
        rows_T = np.arange(len(ids_T))
        begins_T = ~self.continues_V[ids_T] | (positions_T == 0)
        return np.asarray(positions_T[np.maximum.accumulate(np.where(begins_T, rows_T, 0))])
