"""The kernels' plans of a batch: every token once, shapes that are few, and computed once a batch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.batch import Batch
from custom_bert.layout import Layout
from custom_bert.ops import kernels, matmul_attention
from custom_bert.ops.attention import attention
from custom_bert.ops.grouping import grouping
from custom_bert.ops.rectangles import LENGTHS, SIMILAR, rectangles


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.booleans())
def test_groups_hold_every_token_once_and_lead_back(lengths: list[int], padded: bool) -> None:
    batch = Batch.build(
        [np.ones(n, dtype=np.int64) for n in lengths], slots=33 if padded else None, rows=None
    )
    plan = grouping(batch.layout)
    real = plan.gather_P[plan.gather_P < batch.num_rows]
    assert sorted(real.tolist()) == torch.nonzero(batch.layout.sequence_T < len(lengths)).flatten().tolist()
    for row, place in enumerate(plan.scatter_T.tolist()):
        if place < len(plan.gather_P):
            assert plan.gather_P[place] == row
    assert sum(g.count * g.length for g in plan.groups) == len(plan.gather_P)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=60))
def test_rectangles_hold_every_block_once_in_order_and_are_round(lengths: list[int]) -> None:
    layout = Batch.build([np.ones(n, dtype=np.int64) for n in lengths]).layout
    plan = rectangles(layout)
    assert tuple(block for rectangle in plan for block in rectangle.blocks) == layout.blocks
    for rectangle in plan:
        longest = max(block.length for block in rectangle.blocks)
        shortest = min(block.length for block in rectangle.blocks)
        assert rectangle.length % LENGTHS == 0 and 0 <= rectangle.length - longest < LENGTHS
        assert longest <= max(SIMILAR * shortest, LENGTHS)
        assert rectangle.num_sequences <= rectangle.count <= 1.25 * rectangle.num_sequences


@pytest.mark.parametrize(
    ("kernel", "module", "plan"),
    [("grouped", kernels, grouping), ("matmul", matmul_attention, rectangles)],
    ids=["grouped", "matmul"],
)
def test_a_kernels_plan_is_made_once_a_batch(
    kernel: str, module: object, plan: Callable[[Layout], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Layout] = []

    def counted(layout: Layout) -> object:
        made.append(layout)
        return plan(layout)

    monkeypatch.setattr(module, plan.__name__, counted)
    batches = [Batch.build([np.ones(n, dtype=np.int64) for n in (3, 9, 4)]) for _ in range(2)]
    for batch in batches:
        x_T3HK = torch.randn(batch.num_rows, 3, 2, 8, requires_grad=True)
        for _ in range(3):  # as a model's layers do
            attention(x_T3HK, batch.layout, kernel=kernel).sum().backward()  # type: ignore[arg-type]
    assert [id(layout) for layout in made] == [id(batch.layout) for batch in batches]
