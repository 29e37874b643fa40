"""Targets of tokens come to the rows of their tokens, each once, whatever the windows."""

from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.config import Plan
from custom_bert.data.encoded import EncodedTexts, Frame
from custom_bert.data.loader import BatchBuilder, Transform
from custom_bert.data.row_targets import RowTargets
from custom_bert.data.windows import cut

FRAME = Frame((1,), (2,))


def builder(inner: list[int], window: int | None, overlap: int = 0, every: int = 1) -> BatchBuilder:
    """Texts of so many tokens, all of them different; each `every`-th token's target is its own id."""
    begins = np.cumsum([0, *inner[:-1]])
    texts = [
        np.concatenate([[1], np.arange(n) + 10 + begin, [2]]) for begin, n in zip(begins, inner, strict=True)
    ]
    lengths_N = np.array([len(text) for text in texts])
    nothing = np.zeros(len(texts), dtype=np.int64)
    encoded = EncodedTexts(texts, FRAME.special(lengths_N), nothing, nothing, nothing)
    places = [np.arange(1, n + 1, every) for n in inner]
    values = [text[place] for text, place in zip(texts, places, strict=True)]
    targets = RowTargets.of(places, values, inner)
    rows = np.arange(len(inner))
    return BatchBuilder(encoded, rows, None, 0, window=window, overlap=overlap, row_targets=targets)


@given(
    inner=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    room=st.integers(1, 20),
    share=st.integers(0, 3),
    every=st.integers(1, 3),
    padded=st.booleans(),
)
def test_each_target_stands_at_the_row_of_its_token_once(
    inner: list[int], room: int, share: int, every: int, padded: bool
) -> None:
    made = builder(inner, room + 2, room * share // 4, every)
    order = np.arange(len(inner))[::-1].copy()
    plan: Plan = "padded" if padded else "packed"
    for batch in (made.build(order, plan, room + 2), made.build_for_evaluation(np.argsort(-made.lengths_N))):
        assert batch.targets is not None and batch.targets.rows_M is not None
        values, rows = batch.targets.values.numpy(), batch.targets.rows_M.numpy()
        assert (batch.input_ids_T.numpy()[rows] == values).all()
        assert (np.diff(rows) > 0).all(), "the rows are in the order of texts and tokens"
        assert batch.targets.about == tuple(inner[i] for i in batch.indices.tolist())
        wanted = np.concatenate([made.store[i][1:-1][::every] for i in batch.indices.tolist()])
        assert values.tolist() == wanted.tolist()


@given(
    inner=st.lists(st.integers(0, 80), min_size=1, max_size=4),
    room=st.integers(1, 20),
    share=st.integers(0, 3),
)
def test_a_token_is_decided_by_the_window_that_sees_most_around_it(
    inner: list[int], room: int, share: int
) -> None:
    overlap = room * share // 4
    lengths_N = np.array(inner) + 2
    found = cut(lengths_N, FRAME.special(lengths_N), room + 2, overlap)
    sizes_W = found.length_W - 2
    assert sizes_W.max() <= room
    for text, length in enumerate(inner):
        windows = np.flatnonzero(found.text_W == text).tolist()
        starts, ends = found.start_W[windows], found.start_W[windows] + sizes_W[windows]
        assert starts[0] == 0 and ends[-1] == length
        assert (ends[:-1] - starts[1:] >= overlap).all(), "neighbours share too little"
        for token in range(length):
            decides = np.searchsorted(found.decided_W[windows], token, side="right") - 1
            inside = [i for i in range(len(windows)) if starts[i] <= token < ends[i]]
            context = [min(token - starts[i], ends[i] - 1 - token) for i in inside]
            at_edge = [starts[i] == 0 or ends[i] == length for i in inside]
            if len(inside) == 1 or not any(at_edge):
                assert decides == inside[int(np.argmax(context))]
            assert decides in inside


def test_windows_without_overlap_are_what_they_were() -> None:
    lengths_N = np.array([3, 10, 27])
    found = cut(lengths_N, FRAME.special(lengths_N), 12)
    assert found.text_W.tolist() == [0, 1, 2, 2, 2]
    assert found.length_W.tolist() == [3, 10, 11, 11, 11]
    assert found.start_W.tolist() == [0, 0, 0, 8, 16]


def test_halves_of_a_batch_have_the_targets_of_their_texts() -> None:
    batch = builder([5, 9, 30, 2], 12, 3).build(np.arange(4), "packed", 12)
    assert batch.targets is not None
    halves = batch.halves()
    assert [half.targets.about for half in halves if half.targets] == [(5, 9), (30, 2)]
    joined = np.concatenate([half.targets.values.numpy() for half in halves if half.targets])
    assert joined.tolist() == batch.targets.values.tolist()
    for half in halves:
        assert half.targets is not None and half.targets.rows_M is not None
        assert (half.input_ids_T[half.targets.rows_M] == half.targets.values).all()


def test_targets_of_some_texts_are_those_of_their_rows() -> None:
    places = [np.array([1, 3]), np.array([2]), np.array([1, 2, 4])]
    values = [np.array([5, 6]), np.array([7]), np.array([8, 9, 10])]
    targets = RowTargets.of(places, values, "abc")
    some = targets.take(np.array([2, 0]))
    assert (some.places.tolist(), some.values.tolist()) == ([1, 2, 4, 1, 3], [8, 9, 10, 5, 6])
    assert list(some.about) == ["c", "a"] and some.counts_N.tolist() == [3, 2]


def test_copies_of_a_text_have_its_targets_each() -> None:
    batch = builder([4, 3], None).build(np.array([0, 1]), "packed", 8, transform=Transform(copies=2))
    assert batch.targets is not None and len(batch.targets) == 14


def test_every_plan_is_tried() -> None:
    for plan in get_args(Plan):
        batch = builder([4, 3], None).build(np.array([1, 0]), plan, 8)
        assert batch.targets is not None and batch.targets.rows_M is not None
        assert (batch.input_ids_T[batch.targets.rows_M] == batch.targets.values).all()
