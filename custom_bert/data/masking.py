"""Masking for language modelling: a pure function of (seed, epoch, example, position of the token or word).

It does not depend on the other examples of the batch, on the number of threads, or on where a run was
continued.

Shapes: T rows, M masked rows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from custom_bert.batch import Batch, Targets, like
from custom_bert.data.draws import uniform

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

    def mask(self, batch: Batch, epoch: int) -> Batch:
        """Returns the batch with the chosen tokens hidden.

        Args:
            batch: a batch on the CPU, with `indices`.
            epoch: the number of the epoch, from 0.

        Returns:
            A batch whose targets are the ids of the chosen tokens, at their rows. If no token was drawn, the
            first ordinary token is chosen, so that the loss is defined.
        """
        ids_T, positions_T = batch.input_ids_T.numpy(), batch.positions_T.numpy()
        example_T, ordinary_T = self._ordinary(batch)
        if batch.windows is not None:  # draws are made by the place in the text, not in the window
            positions_T = positions_T + np.append(batch.windows.start_N, 0)[batch.layout.sequence_T.numpy()]
        chosen_T = self._draw(epoch, example_T, self._words(ids_T, positions_T), 0) < self.rate
        rows_M = np.flatnonzero(ordinary_T & chosen_T)
        if not len(rows_M):
            rows_M = np.flatnonzero(ordinary_T)[:1]
        targets_M = ids_T[rows_M]
        fate_M = self._draw(epoch, example_T[rows_M], positions_T[rows_M], 1)
        ordinary_ids = np.setdiff1d(np.arange(self.vocab_size), self.special_ids)
        drawn_M = self._draw(epoch, example_T[rows_M], positions_T[rows_M], 2) * len(ordinary_ids)
        masked_T = ids_T.copy()
        masked_T[rows_M] = np.where(
            fate_M < REPLACED,
            self.mask_id,
            np.where(fate_M < REPLACED + RANDOM, ordinary_ids[drawn_M.astype(np.int64)], targets_M),
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

    def _ordinary(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Returns (T,) the example of each row, and (T,) whether the row is a token that may be chosen."""
        sequence_T = batch.layout.sequence_T.numpy()  # filler has the number after the last sequence
        within_T = sequence_T < batch.num_sequences
        ordinary_T = within_T & ~np.isin(batch.input_ids_T.numpy(), self.special_ids)
        indices = batch.indices
        if batch.windows is not None:
            indices = indices[batch.windows.text_N.numpy()]
        return np.append(indices, 0)[sequence_T], ordinary_T

    def _draw(self, epoch: int, example: np.ndarray, position: np.ndarray, stream: int) -> np.ndarray:
        return uniform(self.seed, epoch, example, position, stream=stream)
