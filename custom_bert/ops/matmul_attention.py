"""Attention as few matrix products of few shapes, for bf16 on a CPU.

oneDNN builds a kernel for every shape that it multiplies: 0.2 ms, where the product takes 0.1. Batches of
near-equal lengths have next to no padding, but a new shape nearly each, so that building took longer than
multiplying (docs/LOG.md). Attention copies its operands anyway; here it copies them into rectangles of round
lengths and counts (`Layout.rectangles`), and neighbouring lengths share one.

Shapes: T rows, N sequences of a rectangle, S keys of each, Q queries of each (S, or 1 where only first tokens
ask), H heads, K head width, B = N x H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from custom_bert.batch import Layout, Rectangle
from custom_bert.ops.dropout import drop_factors


def matmul_attention(
    q: Tensor, k_THK: Tensor, v_THK: Tensor, layout: Layout, dropout: float, *, first: bool = False
) -> Tensor:
    """Softmax attention of each sequence to itself.

    Args:
        q: (T, H, K) queries; where only first tokens ask, (N, H, K) of all the batch's sequences.
        k_THK, v_THK: keys and values.
        layout: where the sequences lie.
        dropout: probability of dropping an attention weight.
        first: whether only first tokens ask.

    Returns:
        The shape of `q`; filler rows are zeros.
    """
    out: Tensor = _Attention.apply(q, k_THK, v_THK, layout, dropout, first)  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    """Forward and backward written out: autograd would transpose, copy and keep more than they need."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout, dropout: float, first: bool
    ) -> Tensor:
        out, kept = torch.zeros_like(q), []
        for rectangle in layout.rectangles:
            q_BQK = _copied_in(q, rectangle, first).mul_(_scale(q))
            k_BSK, v_BSK = _copied_in(k, rectangle), _copied_in(v, rectangle)
            scores_BQS = torch.bmm(q_BQK, k_BSK.transpose(1, 2))
            if rectangle.hidden_N11S is not None:
                by_sequence = scores_BQS.view(rectangle.count, -1, *scores_BQS.shape[1:])
                by_sequence += rectangle.hidden_N11S.to(scores_BQS.dtype)
            weights_BQS = scores_BQS.softmax(-1)
            factors_BQS = drop_factors(weights_BQS, dropout) if dropout else None
            read_BQS = weights_BQS if factors_BQS is None else weights_BQS * factors_BQS
            _copy_out(torch.bmm(read_BQS, v_BSK), out, rectangle, first)
            kept += [q_BQK, k_BSK, v_BSK, weights_BQS, factors_BQS]
        ctx.save_for_backward(*kept)
        ctx.layout, ctx.first = layout, first
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        rows = (layout.num_rows, *grad.shape[1:])
        grad_q, grad_k, grad_v = torch.zeros_like(grad), grad.new_zeros(rows), grad.new_zeros(rows)
        kept = iter(ctx.saved_tensors)
        for rectangle in layout.rectangles:
            q_BQK, k_BSK, v_BSK, weights_BQS, factors_BQS = (next(kept) for _ in range(5))
            grad_BQK = _copied_in(grad, rectangle, ctx.first)
            read_BQS = weights_BQS if factors_BQS is None else weights_BQS * factors_BQS
            _copy_out(torch.bmm(read_BQS.transpose(1, 2), grad_BQK), grad_v, rectangle)
            slope_BQS = torch.bmm(grad_BQK, v_BSK.transpose(1, 2))
            if factors_BQS is not None:
                slope_BQS *= factors_BQS
            slope_BQS = torch._softmax_backward_data(slope_BQS, weights_BQS, -1, weights_BQS.dtype)
            _copy_out(torch.bmm(slope_BQS, k_BSK).mul_(_scale(grad)), grad_q, rectangle, ctx.first)
            _copy_out(torch.bmm(slope_BQS.transpose(1, 2), q_BQK), grad_k, rectangle)
        return grad_q, grad_k, grad_v, None, None, None


def _scale(x: Tensor) -> float:
    return float(x.shape[-1] ** -0.5)


def _copied_in(x: Tensor, rectangle: Rectangle, first: bool = False) -> Tensor:
    """(T, H, K) rows, or (N, H, K) of first tokens, -> the rectangle's (B, S or 1, K); the rest is zeros."""
    length = 1 if first else rectangle.length
    to = x.new_empty(rectangle.count, x.shape[1], length, x.shape[2])
    to[rectangle.num_sequences :] = 0
    for rows, inside in _places(x, to, rectangle, first):
        inside.copy_(rows)
    if not first:
        for block, _ in rectangle.blocks:
            at = block.first - rectangle.first
            to[at : at + block.count, :, block.length :] = 0
    return to.flatten(0, 1)


def _copy_out(x_BSK: Tensor, to: Tensor, rectangle: Rectangle, first: bool = False) -> None:
    """The way back, into the rows of `to`."""
    for rows, inside in _places(to, torch.unflatten(x_BSK, 0, (rectangle.count, -1)), rectangle, first):
        rows.copy_(inside)


def _places(x: Tensor, x_NHSK: Tensor, rectangle: Rectangle, first: bool) -> list[tuple[Tensor, Tensor]]:
    """Views of each block: (count, H, S or 1, K) of the batch's rows, and the same of the rectangle."""
    found = []
    for block, row in rectangle.blocks:
        length = 1 if first else block.length
        start = block.first if first else row
        rows = torch.unflatten(x[start : start + block.count * length], 0, (block.count, length))
        at = block.first - rectangle.first
        found.append((rows.transpose(1, 2), x_NHSK[at : at + block.count, :, :length]))
    return found
