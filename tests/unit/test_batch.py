"""Batches: where sequences lie, and what is padding."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.batch import Batch, Targets
from custom_bert.layout import Block


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=40),
    st.sampled_from(["packed", "slots", "padded"]),
    st.sampled_from([None, 0, 9]),
)
def test_every_token_is_in_its_place(lengths: list[int], kind: str, filler: int | None) -> None:
    texts = [np.arange(n) + 100 * i + 1 for i, n in enumerate(lengths)]
    slots = {"packed": lengths, "slots": [-(-n // 8) * 8 for n in lengths], "padded": [30] * len(lengths)}[
        kind
    ]
    batch = Batch.build(
        texts,
        slots=None if kind == "packed" else np.array(slots),
        rows=None if filler is None else sum(slots) + filler,
        targets=np.arange(len(lengths)),
    )
    layout = batch.layout
    assert batch.num_tokens == sum(lengths) and batch.num_sequences == len(lengths)
    assert batch.num_rows == layout.num_rows == sum(slots) + (filler or 0)
    assert layout.num_filler_rows == (filler or 0)
    assert layout.padded == (sum(slots) > sum(lengths)) and layout.max_seqlen == max(slots)
    for i, start in enumerate(layout.first_N.tolist()):
        rows = slice(start, start + lengths[i])
        assert batch.input_ids_T[rows].tolist() == texts[i].tolist()
        assert batch.positions_T[rows].tolist() == list(range(lengths[i]))
        assert (layout.sequence_T[rows] == i).all()
    assert (layout.sequence_T == len(lengths)).sum() == batch.num_rows - batch.num_tokens
    assert (batch.input_ids_T[layout.sequence_T == len(lengths)] == 0).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.sampled_from([0, 3]), st.booleans())
def test_blocks_are_the_runs_of_equal_slots_and_lead_back(lengths: list[int], filler: int, pad: bool) -> None:
    slots = np.array(lengths) + pad
    texts = [np.ones(n, dtype=np.int64) for n in lengths]
    layout = Batch.build(texts, slots=slots, rows=int(slots.sum()) + filler).layout
    assert [b.length for b in layout.blocks for _ in range(b.count)] == slots.tolist()
    assert all(a.length != b.length for a, b in itertools.pairwise(layout.blocks))
    assert [b.first for b in layout.blocks] == [0, *np.cumsum([b.count for b in layout.blocks])[:-1]]
    x_T = torch.arange(2 * layout.num_rows).view(-1, 2)
    parts = layout.split(x_T)
    assert [part.shape for part in parts] == [(b.count, b.length, 2) for b in layout.blocks]
    used = int(slots.sum())
    assert (layout.join(parts)[:used] == x_T[:used]).all() and (layout.join(parts)[used:] == 0).all()
    for block, mask in zip(layout.blocks, layout.key_masks, strict=True):
        assert (mask is not None) == block.padded == pad
        if mask is not None:
            real = lengths[block.first : block.first + block.count]
            assert mask.shape == (block.count, 1, 1, block.length) and mask.sum((1, 2, 3)).tolist() == real


def test_equal_lengths_are_one_block_without_padding() -> None:
    layout = Batch.build([np.ones(4), np.ones(4)]).layout
    assert layout.blocks == (Block(0, 0, 2, 4, padded=False),) and layout.key_masks == (None,)


def test_a_slot_or_a_batch_that_is_too_small_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        Batch.build([np.ones(4)], slots=3)
    with pytest.raises(AssertionError):
        Batch.build([np.ones(4)], rows=3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=20),
    st.sampled_from([None, 12]),
    st.sampled_from(["texts", "windows", "rows"]),
)
def test_the_halves_of_a_batch_are_the_batch(lengths: list[int], slots: int | None, kind: str) -> None:
    count = len(lengths)
    texts = None
    if kind == "windows":
        texts = (np.arange(count) // 2 if count > 3 else np.arange(count), np.zeros(count, dtype=np.int64))
    num_texts = count if texts is None else int(texts[0].max()) + 1
    sequences = [np.arange(n) + 100 * i for i, n in enumerate(lengths)]
    batch = Batch.build(
        sequences,
        slots=slots,
        rows=None if slots else sum(lengths) + 5,
        targets=np.arange(num_texts),
        indices=np.arange(num_texts) + 7,
        texts=texts,
    )
    if kind == "rows":
        rows_M = torch.arange(0, batch.num_rows - 5, 2)
        batch = replace(batch, targets=Targets(rows_M * 10, rows_M), indices=np.empty(0, dtype=np.int64))
    parts, at = batch.halves(), 0
    assert sum(part.num_tokens for part in parts) == batch.num_tokens
    assert sum(part.num_texts for part in parts) == num_texts
    for part in parts:
        assert torch.equal(part.input_ids_T, batch.input_ids_T[at : at + part.num_rows])
        assert part.targets is not None
        if part.targets.rows_M is not None:
            assert torch.equal(part.targets.values, (part.targets.rows_M + at) * 10)
        if part.windows is not None:
            assert part.windows.text_N.min() == 0 and part.windows.text_N.max() == part.num_texts - 1
        at += part.num_rows
    assert batch.targets is not None
    assert torch.equal(torch.cat([part.targets.values for part in parts]), batch.targets.values)  # type: ignore[union-attr]
    assert np.concatenate([part.indices for part in parts]).tolist() == batch.indices.tolist()
    assert not parts[1].num_texts or sum(len(part.layout.lengths_N) for part in parts) == count
