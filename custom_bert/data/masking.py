"""Masking, for language modelling: a pure function of (seed, epoch, example, position of the token or word).

Nothing else enters: the batch that an example shares, the number of threads, or where a run was resumed.

Shapes: T rows, M masked rows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from custom_bert.batch import Batch, Targets, like
from custom_bert.data.draws import uniform

REPLACED, RANDOM = 0.8, 0.1
"""Of the chosen tokens: 80 % become [MASK], 10 % a random token, 10 % stay (Devlin et al. 2018)."""


@dataclass(frozen=True)
class Masker:
    """Hides tokens of batches.

    Attributes:
        mask_id: of the mask token.
        special_ids: that are never chosen, and never drawn as a random replacement: of special tokens, and
            those that no token has.
        vocab_size: V.
        rate: share of ordinary tokens that is chosen.
        seed: of the run.
        continues_V: (V,) whether a token goes on with a word, where whole words are chosen; None where each
            token is chosen by itself.
    """

    mask_id: int
    special_ids: tuple[int, ...]
    vocab_size: int
    rate: float
    seed: int
    continues_V: np.ndarray | None = None

    def mask(self, batch: Batch, epoch: int) -> Batch:
        """The batch with chosen tokens hidden, as language modelling wants: their rows and ids are targets.

        Args:
            batch: on the CPU, with `indices`.
            epoch: from 0.

        Returns:
            A batch whose targets are the hidden tokens at their rows; if chance chose nothing, one token is
            hidden.
        """
        ids_T, positions_T = batch.input_ids_T.numpy(), batch.positions_T.numpy()
        example_T, ordinary_T = self._ordinary(batch)
        if batch.windows is not None:  # a token draws by its place in the text
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
        """(T,) the position by which each row is chosen: its own, or that of its word's first token."""
        if self.continues_V is None:
            return positions_T
        rows_T = np.arange(len(ids_T))
        begins_T = ~self.continues_V[ids_T] | (positions_T == 0)
        return np.asarray(positions_T[np.maximum.accumulate(np.where(begins_T, rows_T, 0))])

    def _ordinary(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """(T,) example of each row, and whether it is a token that may be chosen."""
        sequence_T = batch.layout.sequence_T.numpy()
        within_T = sequence_T < batch.num_sequences
        ordinary_T = within_T & ~np.isin(batch.input_ids_T.numpy(), self.special_ids)
        indices = batch.indices
        if batch.windows is not None:
            indices = indices[batch.windows.text_N.numpy()]
        return np.append(indices, 0)[sequence_T], ordinary_T

    def _draw(self, epoch: int, example: np.ndarray, position: np.ndarray, stream: int) -> np.ndarray:
        return uniform(self.seed, epoch, example, position, stream=stream)
