"""Attention by few matrix products of few different shapes, for bf16 on a CPU.

oneDNN builds a kernel for every shape that it multiplies. That takes 0.2 ms, while the product itself takes
0.1. Batches of near-equal lengths have next to no padding, but nearly each has a new shape, so that building
took longer than multiplying (docs/log/0009). Attention has to copy its operands anyway. Here it copies them
into rectangles of round lengths and counts (`rectangles.py`), and neighbouring lengths share a rectangle.

Shapes: T rows, N sequences of a rectangle, S tokens of each, H heads, K head width, B = N x H. X is the
number of tensors that are moved at once: 3 for queries, keys and values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from custom_bert.layout import Block, Layout
from custom_bert.ops.dropout import drop_factors
from custom_bert.ops.kernels import in_window
from custom_bert.ops.rectangles import Rectangle, rectangles
from custom_bert.torch_internals import softmax_gradient


def matmul_attention(qkv_T3HK: Tensor, layout: Layout, window: int, dropout: float) -> Tensor:
    """Computes softmax attention inside each sequence.

    Args:
        qkv_T3HK: (T, 3, H, K) queries, keys and values.
        layout: where the sequences lie.
        window: token i attends to token j only if |i - j| <= window; -1 for no window.
        dropout: probability of dropping an attention weight.

    Returns:
        (T, H, K); filler rows are zeros.
    """
    out: Tensor = _Attention.apply(qkv_T3HK, layout, window, dropout)  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    """Forward and backward are written out, because autograd would transpose, copy and keep more."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: Layout, window: int, dropout: float) -> Tensor:
        out_T1HK, kept = _rows_of(layout, qkv[:, :1]), []
        for rectangle in layout.once(rectangles):
            qkv_3BSK = _copied_in(qkv, rectangle)
            q_BSK, k_BSK, v_BSK = qkv_3BSK
            q_BSK *= _scale(qkv)
            scores_BSS = torch.bmm(q_BSK, k_BSK.transpose(1, 2))
            weights_BSS = _hidden(scores_BSS, rectangle, window).softmax(-1)
            factors_BSS = drop_factors(weights_BSS, dropout) if dropout else None
            read_BSS = weights_BSS if factors_BSS is None else weights_BSS * factors_BSS
            _copy_out(torch.bmm(read_BSS, v_BSK)[None], out_T1HK, rectangle)
            kept += [qkv_3BSK, weights_BSS, factors_BSS]
        ctx.save_for_backward(*kept)
        ctx.layout = layout
        return out_T1HK.squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_T1HK = grad[:, None]
        grad_qkv_T3HK = _rows_of(ctx.layout, grad_T1HK.expand(-1, 3, -1, -1))
        kept = iter(ctx.saved_tensors)
        for rectangle in ctx.layout.once(rectangles):
            qkv_3BSK, weights_BSS, factors_BSS = (next(kept) for _ in range(3))
            q_BSK, k_BSK, v_BSK = qkv_3BSK
            (grad_BSK,) = _copied_in(grad_T1HK, rectangle)
            read_BSS = weights_BSS if factors_BSS is None else weights_BSS * factors_BSS
            slope_BSS = torch.bmm(grad_BSK, v_BSK.transpose(1, 2))
            if factors_BSS is not None:
                slope_BSS *= factors_BSS
            slope_BSS = softmax_gradient(slope_BSS, weights_BSS)
            grads_3BSK = torch.empty_like(qkv_3BSK)
            torch.bmm(slope_BSS, k_BSK, out=grads_3BSK[0]).mul_(_scale(grad))
            torch.bmm(slope_BSS.transpose(1, 2), q_BSK, out=grads_3BSK[1])
            torch.bmm(read_BSS.transpose(1, 2), grad_BSK, out=grads_3BSK[2])
            _copy_out(grads_3BSK, grad_qkv_T3HK, rectangle)
        return grad_qkv_T3HK, None, None, None


def _scale(x: Tensor) -> float:
    return float(x.shape[-1] ** -0.5)


def _hidden(scores_BSS: Tensor, rectangle: Rectangle, window: int) -> Tensor:
    """Writes the smallest number into scores of keys that are no tokens or outside the window.

    Phantoms (the sequences that only make the rectangle's count round) keep their scores: nothing reads them.
    """
    scores_NHSS = torch.unflatten(scores_BSS, 0, (rectangle.count, -1))
    lowest = torch.finfo(scores_BSS.dtype).min
    for block, mask in zip(rectangle.blocks, rectangle.key_masks, strict=True):
        of_block = scores_NHSS[_place(block, rectangle)]
        if block.length < rectangle.length:
            of_block[..., block.length :] = lowest
        if mask is not None:
            of_block[..., : block.length].masked_fill_(~mask, lowest)
    if 0 <= window < rectangle.length - 1:
        scores_BSS.masked_fill_(~in_window(rectangle.length, window, scores_BSS.device), lowest)
    return scores_BSS


def _rows_of(layout: Layout, like: Tensor) -> Tensor:
    """Allocates a contiguous tensor for every row. Filler becomes zeros, because no rectangle writes it."""
    rows = like.new_empty(like.shape)
    if layout.num_filler_rows:
        rows[-layout.num_filler_rows :] = 0
    return rows


def _copied_in(x_TXHK: Tensor, rectangle: Rectangle) -> Tensor:
    """Copies rows, (T, X, H, K), into a rectangle, (X, B, S, K), with zeros where it holds no row."""
    _, num, heads, width = x_TXHK.shape
    to_XNHSK = x_TXHK.new_empty(num, rectangle.count, heads, rectangle.length, width)
    if rectangle.num_sequences < rectangle.count:
        to_XNHSK[:, rectangle.num_sequences :] = 0
    for block in rectangle.blocks:
        place_XNHSK = to_XNHSK[:, _place(block, rectangle)]
        place_XNHSK[..., : block.length, :] = _rows(x_TXHK, block)
        if block.length < rectangle.length:
            place_XNHSK[..., block.length :, :] = 0
    return to_XNHSK.flatten(1, 2)


def _copy_out(x_XBSK: Tensor, to_TXHK: Tensor, rectangle: Rectangle) -> None:
    """Copies a rectangle back into the rows of `to_TXHK`."""
    x_XNHSK = torch.unflatten(x_XBSK, 1, (rectangle.count, -1))
    for block in rectangle.blocks:
        _rows(to_TXHK, block).copy_(x_XNHSK[:, _place(block, rectangle), :, : block.length])


def _rows(x_TXHK: Tensor, block: Block) -> Tensor:
    """Returns a view of a block's rows, (X, N, H, S, K)."""
    rows = x_TXHK[block.row : block.row + block.count * block.length]
    return torch.unflatten(rows, 0, (block.count, block.length)).permute(2, 0, 3, 1, 4)


def _place(block: Block, rectangle: Rectangle) -> slice:
    """Returns the places of the block's sequences among the rectangle's."""
    at = block.first - rectangle.first
    return slice(at, at + block.count)
