"""The attention kernels behind `attention.py`. All compute the same formula in different ways.

Shapes: T rows, N sequences of a block, S slot length of a block, H heads, K head width; of windowed attention
P chunks of B queries, each against R = 3 B keys in reach.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_bert.layout import Layout
from custom_bert.ops.dropout import drop
from custom_bert.ops.grouping import grouping, grouping_by_length

MATMUL_UP_TO = 512
"""Up to this length, in bf16 on a CPU, plain matmul-softmax-matmul trains faster than SDPA (docs/log/0002).
It keeps attention weights, whose number grows with the length's square. So longer texts take SDPA."""

CHUNK = 64
"""The smallest chunk of windowed attention, in queries. A chunk is never shorter than the window."""


def square_pays(length: int, window: int) -> bool:
    """Whether windowed attention computes all S x S scores of a sequence instead of chunks.

    Chunks need copies of keys and values. On a CPU the whole square is faster up to a length of four chunks
    (docs/log/0019), and has at most 4 / 3 of their attention weights.
    """
    return length <= 4 * max(CHUNK, window)


def in_window(length: int, window: int, device: torch.device) -> Tensor:
    """Returns (S, S), True where |i - j| <= window."""
    i = torch.arange(length, device=device)
    return (i[:, None] - i[None, :]).abs() <= window


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Computes the formula.

    Args:
        q, k, v: (..., S, K) queries, keys and values.
        mask: broadcasts to (..., S, S), True where a query reads a key; None if all keys are read.
        dropout: probability of dropping an attention weight.

    Returns:
        (..., S, K).
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    if dropout:
        weights = drop(weights, dropout)
    out: Tensor = weights.to(v.dtype) @ v
    return out


def naive(qkv_T3HK: Tensor, layout: Layout, window: int, dropout: float) -> Tensor:
    """Computes the formula block by block: the reference for tests. A window masks S x S scores."""
    return _by_block(qkv_T3HK, layout, window, partial(_square, dropout=dropout))


def _square(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, window: int, dropout: float) -> Tensor:
    """Takes (N, H, S, K) tensors, and computes all S x S scores even if there is a window."""
    if window >= 0:
        allowed = in_window(q.shape[2], window, q.device)
        key_mask = allowed if key_mask is None else key_mask & allowed
    return softmax_attention(q, k, v, key_mask, dropout)


def dense(qkv_T3HK: Tensor, layout: Layout, window: int, dropout: float) -> Tensor:
    """Computes torch's scaled_dot_product_attention block by block, or `windowed` if there is a window."""
    return _by_block(qkv_T3HK, layout, window, partial(_attend, dropout=dropout))


def _attend(
    q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, window: int, *, dropout: float = 0.0
) -> Tensor:
    """Takes (N, H, S, K) tensors. Its memory grows with S, and not with S x S."""
    if window >= 0:
        return windowed(q, k, v, key_mask, window, dropout)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask, dropout_p=dropout)


def _by_block(
    qkv_T3HK: Tensor,
    layout: Layout,
    window: int,
    attend: Callable[[Tensor, Tensor, Tensor, Tensor | None, int], Tensor],
) -> Tensor:
    """Calls `attend` with each block's (N, H, S, K) views of queries, keys and values."""
    outs = []
    blocks = zip(*map(layout.split, qkv_T3HK.unbind(1)), layout.key_masks, strict=True)
    for q_NSHK, k_NSHK, v_NSHK, key_mask in blocks:
        # a window that reaches every key of this block is no window
        near = window if window < q_NSHK.shape[1] - 1 else -1
        out = attend(q_NSHK.transpose(1, 2), k_NSHK.transpose(1, 2), v_NSHK.transpose(1, 2), key_mask, near)
        outs.append(out.transpose(1, 2))
    return layout.join(outs)


def windowed(
    q_NHSK: Tensor, k_NHSK: Tensor, v_NHSK: Tensor, key_mask: Tensor | None, window: int, dropout: float
) -> Tensor:
    """Computes windowed attention in chunks: B queries read the keys of their chunk and of its neighbours.

    Work and memory are S x 3 B instead of S x S (Beltagy et al. 2020, "Longformer", arXiv 2004.05150,
    appendix A, the chunked form). On a CPU, sequences of up to four chunks take S x S; see `square_pays`.

    Args:
        q_NHSK, k_NHSK, v_NHSK: queries, keys and values.
        key_mask: (N, 1, 1, S), True where a key is a token; None if all are.
        window: the largest distance of a key that is read, at least 0.
        dropout: probability of dropping an attention weight.
    """
    length = q_NHSK.shape[2]
    if q_NHSK.device.type == "cpu" and square_pays(length, window):  # nothing was measured on a GPU
        return _square(q_NHSK, k_NHSK, v_NHSK, key_mask, window, dropout)
    size = max(CHUNK, window)
    count = -(-length // size)

    def reach(x_NHSK: Tensor) -> Tensor:
        """(N, H, S, ...) -> (N, H, P, R, ...): joins each chunk with the one before and the one after."""
        padded = F.pad(x_NHSK, (0, 0, size, (count + 1) * size - length))
        chunks = torch.unflatten(padded, 2, (count + 2, size))
        return torch.cat([chunks[:, :, :-2], chunks[:, :, 1:-1], chunks[:, :, 2:]], dim=3)

    chunk = torch.arange(count, device=q_NHSK.device)[:, None, None] * size
    query_PB1 = chunk + torch.arange(size, device=q_NHSK.device)[:, None]
    key_P1R = chunk + torch.arange(-size, 2 * size, device=q_NHSK.device)
    mask = ((query_PB1 - key_P1R).abs() <= window) & (key_P1R >= 0) & (key_P1R < length)
    if key_mask is not None:
        mask = mask & reach(key_mask.transpose(2, 3)).transpose(3, 4)
    q_NHPBK = torch.unflatten(F.pad(q_NHSK, (0, 0, 0, count * size - length)), 2, (count, size))
    out_NHPBK = softmax_attention(q_NHPBK, reach(k_NHSK), reach(v_NHSK), mask, dropout)
    return out_NHPBK.flatten(2, 3)[:, :, :length]


class _Rows(torch.autograd.Function):
    """Computes x[index], where the index len(x) reads zeros.

    Autograd would add gradients up row by row. Since no row is read twice, the gradient is a gather too, by
    the inverse index.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return torch.cat([x, x.new_zeros(1, *x.shape[1:])])[index]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        (grad,) = grads
        return torch.cat([grad, grad.new_zeros(1, *grad.shape[1:])])[inverse], None, None


def grouped(qkv_T3HK: Tensor, layout: Layout, window: int) -> Tensor:
    """Gathers sequences of similar length into groups. On a CPU short ones take the formula, others
    `_attend`."""
    on_cpu = qkv_T3HK.device.type == "cpu"
    plan, heads = layout.once(grouping if on_cpu else grouping_by_length), qkv_T3HK.shape[2]
    gathered: Tensor = _Rows.apply(qkv_T3HK, plan.gather_P, plan.scatter_T)  # type: ignore[no-untyped-call]
    outs = []
    for group in plan.groups:
        rows = gathered[group.start : group.start + group.count * group.length]
        slots = rows.view(group.count, group.length, 3, heads, -1)
        qg, kg, vg = slots.permute(2, 0, 3, 1, 4).unbind(0)
        near = window if window < group.length - 1 else -1
        if on_cpu and near < 0 and group.length <= MATMUL_UP_TO:
            out = softmax_attention(qg, kg, vg, group.mask_N11S, 0.0)
        else:
            out = _attend(qg, kg, vg, group.mask_N11S, near)
        outs.append(out.transpose(1, 2).reshape(group.count * group.length, heads, -1))
    back: Tensor = _Rows.apply(torch.cat(outs), plan.scatter_T, plan.gather_P)  # type: ignore[no-untyped-call]
    return back


@functools.cache
def has_flash(device: torch.device, width: int) -> bool:
    """Whether flash attention over cu_seqlens runs for heads of this width: it needs a GPU since Ampere."""
    if device.type != "cuda" or not width or width % 8 or width > 256:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def varlen(qkv_T3HK: Tensor, layout: Layout, window: int) -> Tensor:
    """Computes flash attention over cu_seqlens.

    Raises:
        ValueError: for padding inside slots, another device than CUDA, or another type than fp16 and bf16.
    """
    if layout.padded:
        raise ValueError("the varlen kernel needs packed batches without padding")
    if qkv_T3HK.device.type != "cuda" or qkv_T3HK.dtype not in (torch.float16, torch.bfloat16):
        raise ValueError("the varlen kernel needs fp16 or bf16 on a CUDA device")
    cu_seqlens, longest = layout.cu_seqlens, layout.max_seqlen
    if layout.num_filler_rows:  # they become a sequence, so that every row of the output is computed
        cu_seqlens = torch.cat([cu_seqlens, cu_seqlens.new_full((1,), layout.num_rows)])
        longest = max(longest, layout.num_filler_rows)
    q, k, v = qkv_T3HK.unbind(1)
    return _flash(q, k, v, cu_seqlens, cu_seqlens, longest, longest, window)


def _flash(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, window: int
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    out = varlen_attn(q, k, v, cu_q, cu_k, max_q, max_k, window_size=(window, window))
    assert isinstance(out, Tensor)
    return out


def can_take_flash(x: Tensor, layout: Layout) -> bool:
    """Whether `varlen` and `varlen_of_first` compute (..., K) queries of this type and device."""
    half = x.dtype in (torch.float16, torch.bfloat16)
    return half and not layout.padded and has_flash(x.device, x.shape[-1])


def varlen_of_first(q_NHK: Tensor, k_THK: Tensor, v_THK: Tensor, layout: Layout) -> Tensor:
    """Returns (N, H, K), what flash attention gives for one query a sequence against all its keys."""
    # keys of filler belong to no query, and flash attention would leave their gradients as memory was
    used, longest = layout.num_rows - layout.num_filler_rows, layout.max_seqlen
    each = torch.arange(len(q_NHK) + 1, dtype=torch.int32, device=q_NHK.device)
    return _flash(q_NHK, k_THK[:used], v_THK[:used], each, layout.cu_seqlens, 1, longest, -1)
