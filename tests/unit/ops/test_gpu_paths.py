"""What runs on a GPU only computes the same as what runs on a CPU, and takes few calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from custom_bert.batch import Batch
from custom_bert.layout import Layout
from custom_bert.models import heads
from custom_bert.ops import kernels
from custom_bert.ops.attention import attention, first_token_attention, plan_ahead
from custom_bert.ops.grouping import grouping, grouping_by_length

LENGTHS = (5, 70, 1, 33, 34, 9, 9, 20, 6, 12, 28, 3)


def layout_of(lengths: tuple[int, ...], **others: int) -> Layout:
    return Batch.build([np.ones(n, dtype=np.int64) for n in lengths], **others).layout


@pytest.mark.parametrize("others", [{}, {"rows": 256}, {"slots": 70}])
def test_groups_of_similar_length_agree_with_the_formula(
    others: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(LENGTHS, **others)
    monkeypatch.setattr(kernels, "grouping", grouping_by_length)  # a GPU's plan, on a CPU
    x_T3HK = torch.randn(layout.num_rows, 3, 2, 8, dtype=torch.float64)
    tokens_T = layout.sequence_T < len(LENGTHS)
    found = []
    for kernel in ("naive", "grouped"):
        input_T3HK = x_T3HK.clone().requires_grad_()
        out = attention(input_T3HK, layout, kernel=kernel)  # type: ignore[arg-type]
        out[tokens_T].square().sum().backward()
        assert input_T3HK.grad is not None
        found.append((out[tokens_T], input_T3HK.grad))
    for formula, gathered in zip(*found, strict=True):
        assert (formula - gathered).abs().max() <= 1e-12


def test_a_gpu_gets_few_groups_with_little_padding() -> None:
    draw = np.random.Generator(np.random.PCG64(0))
    lengths = draw.integers(10, 129, size=150)
    layout = layout_of(tuple(lengths.tolist()))
    plan = grouping_by_length(layout)
    assert len(plan.groups) <= 7 < len(grouping(layout).groups)
    padded = sum(group.count * group.length for group in plan.groups)
    assert lengths.sum() <= padded <= 1.25 * lengths.sum()


def test_a_plan_that_the_host_made_goes_to_the_gpu_with_the_layout() -> None:
    layout = layout_of(LENGTHS)
    plan_ahead(layout, False, kernel=None, flash=True)
    assert not layout._plans, "flash attention needs no plan"
    plan_ahead(layout, True, kernel=None, flash=True)
    there = layout.to(torch.device("meta"))
    plan = there._plans[grouping_by_length]
    assert plan.gather_P.device.type == plan.scatter_T.device.type == "meta"
    assert all(g.mask_N11S is None or g.mask_N11S.device.type == "meta" for g in plan.groups)
    assert there.once(grouping_by_length) is plan


@pytest.mark.parametrize("others", [{}, {"rows": 256}, {"slots": 70}])
def test_all_texts_are_added_up_at_once_as_block_by_block(others: dict[str, int]) -> None:
    layout = layout_of(LENGTHS, **others)
    x_TD = torch.randn(layout.num_rows, 4, dtype=torch.float64)
    x_TD[layout.sequence_T == len(LENGTHS)] = torch.nan  # rows of padding may hold anything
    found = heads._sums_at_once(x_TD, layout)
    assert (found - heads._sums_by_block(x_TD, layout)).abs().max() <= 1e-12


def reference(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, most_q: int, most_k: int, **others: object
) -> Tensor:
    """What torch's varlen_attn computes, without windows."""
    assert cu_q.dtype == cu_k.dtype == torch.int32 and int(cu_q[-1]) == len(q) and int(cu_k[-1]) == len(k)
    assert int(cu_q.diff().max()) <= most_q and int(cu_k.diff().max()) <= most_k
    outs = []
    ranges = zip(*(cu.tolist() for cu in (cu_q[:-1], cu_q[1:], cu_k[:-1], cu_k[1:])), strict=True)
    for begin, end, first, last in ranges:
        one, keys, values = (x.transpose(0, 1) for x in (q[begin:end], k[first:last], v[first:last]))
        outs.append(kernels.softmax_attention(one, keys, values, None, 0.0).transpose(0, 1))
    return torch.cat(outs)


@pytest.mark.parametrize("rows", [None, 256])
def test_flash_attention_of_first_tokens_is_asked_for_the_right_thing(
    rows: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(LENGTHS, **({} if rows is None else {"rows": rows}))
    k_THK, v_THK = (torch.randn(layout.num_rows, 2, 8, dtype=torch.float64) for _ in range(2))
    q_NHK = torch.randn(len(LENGTHS), 2, 8, dtype=torch.float64)
    wanted = first_token_attention(q_NHK, k_THK, v_THK, layout)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", reference)
    monkeypatch.setattr(kernels, "can_take_flash", lambda x, layout: True)
    found = first_token_attention(q_NHK, k_THK, v_THK, layout)
    assert (found - wanted).abs().max() <= 1e-12
