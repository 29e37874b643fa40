"""Batches: where sequences lie, what is padding, and the way back from groups."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.batch import Batch


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.sampled_from([None, 0, 5]))
def test_every_token_is_in_its_place(lengths: list[int], extra: int | None) -> None:
    texts = [np.arange(n) + 100 * i + 1 for i, n in enumerate(lengths)]
    slot = None if extra is None else max(lengths) + extra
    batch = Batch.build(texts, slot=slot, labels=np.arange(len(lengths)))
    layout = batch.layout
    assert batch.num_tokens == sum(lengths) and batch.num_sequences == len(lengths)
    assert batch.num_rows == (sum(lengths) if slot is None else slot * len(lengths))
    assert layout.padded == (batch.num_rows > batch.num_tokens)
    for i, start in enumerate(layout.first_N.tolist()):
        rows = slice(start, start + lengths[i])
        assert batch.input_ids_T[rows].tolist() == texts[i].tolist()
        assert batch.positions_T[rows].tolist() == list(range(lengths[i]))
        assert (layout.sequence_T[rows] == i).all()
    assert (layout.sequence_T == len(lengths)).sum() == batch.num_rows - batch.num_tokens
    assert (batch.input_ids_T[layout.sequence_T == len(lengths)] == 0).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.booleans())
def test_groups_hold_every_token_once_and_lead_back(lengths: list[int], padded: bool) -> None:
    batch = Batch.build([np.ones(n, dtype=np.int64) for n in lengths], slot=33 if padded else None)
    grouping = batch.layout.grouping
    real = grouping.gather_P[grouping.gather_P < batch.num_rows]
    assert sorted(real.tolist()) == torch.nonzero(batch.layout.sequence_T < len(lengths)).flatten().tolist()
    for row, place in enumerate(grouping.scatter_T.tolist()):
        if place < len(grouping.gather_P):
            assert grouping.gather_P[place] == row
    assert sum(g.count * g.length for g in grouping.groups) == len(grouping.gather_P)


def test_equal_lengths_need_no_padding_to_be_dense() -> None:
    layout = Batch.build([np.ones(4), np.ones(4)]).layout
    assert layout.slot == 4 and not layout.padded and layout.key_mask_N11S is None


def test_a_slot_that_is_too_short_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        Batch.build([np.ones(4)], slot=3)
