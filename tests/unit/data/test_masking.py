"""Masking depends on seed, epoch, example and position only, and on nothing that shares the batch."""

import dataclasses

import numpy as np
import pytest

from custom_bert.batch import Batch
from custom_bert.data.masking import Masker


def masker(rate: float) -> Masker:
    return Masker(mask_id=4, special_ids=(0, 1, 2, 3, 4), vocab_size=500, rate=rate, seed=3)


def masked(
    lengths: list[int], indices: list[int], slot: int | None = None, rate: float = 0.3, epoch: int = 0
) -> Batch:
    sequences = [np.concatenate([[2], np.arange(5, 3 + n), [3]]) for n in lengths]
    batch = Batch.build(sequences, slots=slot, indices=np.array(indices))
    return masker(rate).mask(batch, epoch)


def rows_of(batch: Batch, example: int) -> list[tuple[int, int, int]]:
    """(position, input, target) of each masked token of an example."""
    assert batch.targets.rows_M is not None and batch.targets.values is not None
    at = batch.indices.tolist().index(example)
    low, high = batch.layout.cu_seqlens[at].item(), batch.layout.cu_seqlens[at + 1].item()
    found = zip(batch.targets.rows_M.tolist(), batch.targets.values.tolist(), strict=True)
    return [(r - low, int(batch.input_ids_T[r]), t) for r, t in found if low <= r < high]


def test_an_examples_mask_does_not_depend_on_its_neighbours_or_the_layout() -> None:
    alone = rows_of(masked([40], [7]), 7)
    assert alone
    assert alone == rows_of(masked([12, 40, 5], [1, 7, 2]), 7)
    assert alone == rows_of(masked([40, 60], [7, 8], slot=90), 7)


def test_another_epoch_masks_other_tokens() -> None:
    assert rows_of(masked([60], [7]), 7) != rows_of(masked([60], [7], epoch=1), 7)


def test_special_tokens_and_padding_are_never_chosen() -> None:
    batch = masked([40, 10, 3], [0, 1, 2], slot=64, rate=1.0)
    assert batch.targets.values is not None
    assert batch.targets.values.min() >= 5
    assert len(batch.targets.values) == 38 + 8 + 1


def test_rates_are_the_ones_stated() -> None:
    batch = masked([400] * 200, list(range(200)))
    assert batch.targets.rows_M is not None and batch.targets.values is not None
    chosen, ordinary = len(batch.targets.values), 398 * 200
    assert chosen / ordinary == pytest.approx(0.3, abs=0.01)
    inputs = batch.input_ids_T[batch.targets.rows_M]
    assert (inputs == 4).float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert (inputs == batch.targets.values).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert inputs.min() >= 4


def test_something_is_masked_even_in_the_shortest_text() -> None:
    batch = masked([3], [0], rate=0.0001)
    assert batch.targets.values is not None and len(batch.targets.values) == 1


def test_whole_words_are_hidden_whole_and_alike_in_any_company() -> None:
    continues_V = np.zeros(500, dtype=bool)
    continues_V[6::2] = True  # even ids go on with a word
    whole = dataclasses.replace(masker(0.3), continues_V=continues_V)
    generator = np.random.Generator(np.random.PCG64(0))
    sequences = [np.concatenate([[2], generator.integers(5, 500, size=n), [3]]) for n in (300, 80, 200)]
    batch = whole.mask(Batch.build(sequences, indices=np.array([4, 5, 6])), 0)
    assert batch.targets.rows_M is not None
    hidden = np.zeros(batch.num_rows, dtype=bool)
    hidden[batch.targets.rows_M.numpy()] = True
    ids, start = np.concatenate(sequences), 0
    for sequence in sequences:
        rows = np.arange(start + 1, start + len(sequence) - 1)
        for row in rows[1:]:
            if continues_V[ids[row]]:
                assert hidden[row] == hidden[row - 1], row
        start += len(sequence)
    assert len(batch.targets.rows_M) / 580 == pytest.approx(0.3, abs=0.07)
    alone = whole.mask(Batch.build(sequences[1:2], indices=np.array([5])), 0)
    assert rows_of(alone, 5) == rows_of(batch, 5)
