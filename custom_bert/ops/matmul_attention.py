"""Attention as few matrix products of few shapes, for bf16 on a CPU.

oneDNN builds a kernel for every shape that it multiplies: 0.2 ms, where the product takes 0.1. Batches of
near-equal lengths have next to no padding, but a new shape nearly each, so that building took longer than
multiplying (docs/LOG.md). Attention copies its operands anyway; here it copies them into rectangles of round
lengths and counts (`Layout.rectangles`), and neighbouring lengths share one.

Shapes: T rows, N sequences of a rectangle, S tokens of each, H heads, K head width, B = N x H.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from custom_bert.batch import Layout, Rectangle
from custom_bert.ops.dropout import drop_factors


def matmul_attention(q_THK: Tensor, k_THK: Tensor, v_THK: Tensor, layout: Layout, dropout: float) -> Tensor:
    """Softmax attention of each sequence to itself.

    Args:
        q_THK, k_THK, v_THK: (T, H, K) queries, keys and values.
        layout: where the sequences lie.
        dropout: probability of dropping an attention weight.

    Returns:
        (T, H, K); filler rows are zeros.
    """
    out: Tensor = _Attention.apply(q_THK, k_THK, v_THK, layout, dropout)  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    """Forward and backward written out: autograd would transpose, copy and keep more than they need."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout, dropout: float) -> Tensor:
        out, kept = torch.zeros_like(q), []
        for rectangle in layout.rectangles:
            q_BSK, k_BSK, v_BSK = (_copied_in(x, rectangle) for x in (q, k, v))
            q_BSK *= _scale(q)
            scores_BSS = torch.bmm(q_BSK, k_BSK.transpose(1, 2))
            if rectangle.hidden_N11S is not None:
                by_sequence = scores_BSS.view(rectangle.count, -1, *scores_BSS.shape[1:])
                lowest = torch.finfo(scores_BSS.dtype).min  # in half precision fp32's is -inf
                by_sequence += rectangle.hidden_N11S.to(scores_BSS.dtype).clamp(min=lowest)
            weights_BSS = scores_BSS.softmax(-1)
            factors_BSS = drop_factors(weights_BSS, dropout) if dropout else None
            read_BSS = weights_BSS if factors_BSS is None else weights_BSS * factors_BSS
            _copy_out(torch.bmm(read_BSS, v_BSK), out, rectangle)
            kept += [q_BSK, k_BSK, v_BSK, weights_BSS, factors_BSS]
        ctx.save_for_backward(*kept)
        ctx.layout = layout
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_q, grad_k, grad_v = (torch.zeros_like(grad) for _ in range(3))
        kept = iter(ctx.saved_tensors)
        for rectangle in ctx.layout.rectangles:
            q_BSK, k_BSK, v_BSK, weights_BSS, factors_BSS = (next(kept) for _ in range(5))
            grad_BSK = _copied_in(grad, rectangle)
            read_BSS = weights_BSS if factors_BSS is None else weights_BSS * factors_BSS
            _copy_out(torch.bmm(read_BSS.transpose(1, 2), grad_BSK), grad_v, rectangle)
            slope_BSS = torch.bmm(grad_BSK, v_BSK.transpose(1, 2))
            if factors_BSS is not None:
                slope_BSS *= factors_BSS
            slope_BSS = torch._softmax_backward_data(slope_BSS, weights_BSS, -1, weights_BSS.dtype)
            _copy_out(torch.bmm(slope_BSS, k_BSK).mul_(_scale(grad)), grad_q, rectangle)
            _copy_out(torch.bmm(slope_BSS.transpose(1, 2), q_BSK), grad_k, rectangle)
        return grad_q, grad_k, grad_v, None, None


def _scale(x: Tensor) -> float:
    return float(x.shape[-1] ** -0.5)


def _copied_in(x_THK: Tensor, rectangle: Rectangle) -> Tensor:
    """(T, H, K) -> the rectangle's (B, S, K), zeros where it holds no row."""
    to_NHSK = x_THK.new_empty(rectangle.count, x_THK.shape[1], rectangle.length, x_THK.shape[2])
    to_NHSK[rectangle.num_sequences :] = 0
    for rows_NHSK, at in _places(x_THK, rectangle):
        length = rows_NHSK.shape[2]
        to_NHSK[at, :, :length] = rows_NHSK
        to_NHSK[at, :, length:] = 0
    return to_NHSK.flatten(0, 1)


def _copy_out(x_BSK: Tensor, to_THK: Tensor, rectangle: Rectangle) -> None:
    """The way back, into the rows of `to`."""
    x_NHSK = torch.unflatten(x_BSK, 0, (rectangle.count, -1))
    for rows_NHSK, at in _places(to_THK, rectangle):
        rows_NHSK.copy_(x_NHSK[at, :, : rows_NHSK.shape[2]])


def _places(x_THK: Tensor, rectangle: Rectangle) -> Iterator[tuple[Tensor, slice]]:
    """Each block's rows as a view (N, H, S, K), and which of the rectangle's sequences they are."""
    for block, row in rectangle.blocks:
        rows = x_THK[row : row + block.count * block.length]
        at = block.first - rectangle.first
        yield (
            torch.unflatten(rows, 0, (block.count, block.length)).transpose(1, 2),
            slice(at, at + block.count),
        )
