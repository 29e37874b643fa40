"""One attention function over a batch's layout, several kernels that agree, one place that chooses.

Each kernel computes softmax(Q K^T / sqrt(K)) V inside every sequence, optionally inside a window of
|i - j| <= window tokens. Padding rows of the output hold whatever is cheapest; nothing reads them.

| kernel | layout | what it is |
|---|---|---|
| naive | any | the formula spelled out, block by block, any dtype: the reference |
| dense | any | torch's scaled_dot_product_attention, block by block |
| grouped | any | length-sorted groups, gathered, padded inside a group only |
| varlen | packed, CUDA, fp16 or bf16 | flash attention over cu_seqlens |

Shapes: T rows, N sequences of a block, S slot length of a block, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_bert.batch import GROUP, Layout
from custom_bert.config import Kernel

MATMUL_UP_TO = 512
"""On a CPU in bf16, plain matmul-softmax-matmul beats SDPA in training up to this length (docs/LOG.md)."""

KERNELS_BY_BLOCK: tuple[Kernel, ...] = ("naive", "dense")
"""The kernels that take a batch block by block."""

FEW_BLOCKS = 8
"""Blocks of a batch up to which no gathering pays."""


@dataclass(frozen=True)
class Choice:
    """A kernel and why it was taken."""

    kernel: Kernel
    reason: str


def choose_kernel(
    *,
    few_blocks: bool,
    max_seqlen: int,
    device: str,
    dtype: torch.dtype,
    padded: bool = False,
    dropout: bool = False,
) -> Choice:
    """The fastest kernel for a layout, by rules that measurements support.

    Args:
        few_blocks: whether the batch has few blocks for its sequences; see `has_few_blocks`.
        max_seqlen: the longest slot.
        device: "cpu" or "cuda".
        dtype: of queries, keys and values as the kernel sees them.
        padded: whether any slot holds padding.
        dropout: whether attention weights are dropped; then only naive and dense can be chosen.
    """
    few_blocks = few_blocks or dropout
    if device == "cuda":
        if few_blocks:
            return Choice("dense", "near-equal lengths on CUDA: SDPA")
        if dtype in (torch.float16, torch.bfloat16) and not padded:
            return Choice("varlen", "packed batches on CUDA: flash attention over cu_seqlens")
        why = "flash attention has no padding inside" if padded else "flash attention has no fp32 kernel"
        return Choice("grouped", f"many lengths on CUDA: {why}")
    if not few_blocks:
        return Choice("grouped", f"packed batches on a {device.upper()}")
    if dtype is torch.bfloat16 and max_seqlen <= MATMUL_UP_TO:
        return Choice("naive", f"bf16 matmuls beat SDPA on a CPU up to {MATMUL_UP_TO} tokens in training")
    return Choice("dense", f"near-equal lengths on a {device.upper()}: SDPA")


def has_few_blocks(layout: Layout) -> bool:
    """Whether attending block by block takes about as few calls as gathering groups would."""
    return len(layout.blocks) <= max(FEW_BLOCKS, len(layout.lengths_N) // GROUP)


def attention(
    q_THK: Tensor,
    k_THK: Tensor,
    v_THK: Tensor,
    layout: Layout,
    *,
    kernel: Kernel | None = None,
    window: int = -1,
    dropout: float = 0.0,
) -> Tensor:
    """Softmax attention of each sequence to itself (Vaswani et al. 2017, arXiv 1706.03762).

    Args:
        q_THK, k_THK, v_THK: (T, H, K) queries, keys and values.
        layout: where the sequences lie.
        kernel: overrides the rule of `choose_kernel`.
        window: attend to |i - j| <= window only; -1 for all.
        dropout: probability of dropping an attention weight; naive and dense only.

    Returns:
        (T, H, K). Rows of padding are not defined.

    Raises:
        ValueError: if the kernel cannot do what is asked.
    """
    if kernel is None:
        kernel = choose_kernel(
            few_blocks=has_few_blocks(layout),
            max_seqlen=layout.max_seqlen,
            device=q_THK.device.type,
            dtype=q_THK.dtype,
            padded=layout.padded,
            dropout=dropout > 0,
        ).kernel
    if 0 <= layout.max_seqlen - 1 <= window:
        window = -1  # the window reaches every token
    if kernel == "naive":
        return _naive(q_THK, k_THK, v_THK, layout, window, dropout)
    if kernel == "dense":
        return _dense(q_THK, k_THK, v_THK, layout, window, dropout)
    if dropout:
        raise ValueError(f"the {kernel} kernel has no attention dropout; use naive or dense")
    if kernel == "grouped":
        return _grouped(q_THK, k_THK, v_THK, layout, window)
    return _varlen(q_THK, k_THK, v_THK, layout, window)


def can_attend_from_first(layout: Layout, kernel: Kernel | None) -> bool:
    """Whether `first_token_attention` is the way: few blocks, and no kernel of another kind is asked for."""
    return has_few_blocks(layout) and kernel in (None, *KERNELS_BY_BLOCK)


def first_token_attention(
    q_NHK: Tensor, k_THK: Tensor, v_THK: Tensor, layout: Layout, *, window: int = -1, dropout: float = 0.0
) -> Tensor:
    """What `attention` gives for the first token of each sequence, from the queries of those alone.

    The formula is spelled out: a row of weights a sequence is all the memory that it takes.

    Args:
        q_NHK: (N, H, K) queries of the first tokens.
        k_THK, v_THK: (T, H, K) keys and values of all rows.
        layout: where the sequences lie.
        window: attend to the tokens up to this distance only; -1 for all.
        dropout: probability of dropping an attention weight.

    Returns:
        (N, H, K).
    """
    reach = slice(None) if window < 0 else slice(window + 1)
    outs = []
    blocks = zip(layout.blocks, layout.split(k_THK), layout.split(v_THK), layout.key_masks, strict=True)
    for block, k_NSHK, v_NSHK, mask in blocks:
        q_NH1K = q_NHK[block.first : block.first + block.count, :, None]
        k_NHSK, v_NHSK = k_NSHK[:, reach].transpose(1, 2), v_NSHK[:, reach].transpose(1, 2)
        near = None if mask is None else mask[..., reach]
        outs.append(_softmax_attention(q_NH1K, k_NHSK, v_NHSK, near, dropout)[:, :, 0])
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def window_mask(length: int, window: int, device: torch.device) -> Tensor:
    """(S, S) True where |i - j| <= window."""
    i = torch.arange(length, device=device)
    return (i[:, None] - i[None, :]).abs() <= window


def _softmax_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """(..., S, K) each; mask broadcasts to (..., S, S)."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    out: Tensor = weights.to(v.dtype) @ v
    return out


def _mask(key_mask: Tensor | None, length: int, window: int, device: torch.device) -> Tensor | None:
    """Keys that each query reaches. A padding query that reaches none reaches all: rows stay finite."""
    if window < 0:
        return key_mask
    local = window_mask(length, window, device)
    if key_mask is None:
        return local
    reached = key_mask & local
    return reached | ~reached.any(-1, keepdim=True)


def _by_block(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: Layout,
    window: int,
    attend: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor],
) -> Tensor:
    """`attend` on each block's (N, H, S, K) views of queries, keys and values, with its mask."""
    outs = []
    blocks = zip(*map(layout.split, (q, k, v)), layout.key_masks, strict=True)
    for q_NSHK, k_NSHK, v_NSHK, key_mask in blocks:
        length = q_NSHK.shape[1]
        mask = _mask(key_mask, length, window if window < length - 1 else -1, q.device)
        out = attend(q_NSHK.transpose(1, 2), k_NSHK.transpose(1, 2), v_NSHK.transpose(1, 2), mask)
        outs.append(out.transpose(1, 2))
    return layout.join(outs)


def _naive(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int, dropout: float) -> Tensor:
    return _by_block(q, k, v, layout, window, partial(_softmax_attention, dropout=dropout))


def _dense(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int, dropout: float) -> Tensor:
    return _by_block(
        q,
        k,
        v,
        layout,
        window,
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout),
    )


class _Rows(torch.autograd.Function):
    """x[index] where index len(x) reads zeros; the gradient is a gather too, by the inverse index."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return torch.cat([x, x.new_zeros(1, *x.shape[1:])])[index]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        (grad,) = grads
        return torch.cat([grad, grad.new_zeros(1, *grad.shape[1:])])[inverse], None, None


def _grouped(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int) -> Tensor:
    plan, heads = layout.grouping, q.shape[1]
    qkv_T3HK = torch.stack([q, k, v], dim=1)
    gathered: Tensor = _Rows.apply(qkv_T3HK, plan.gather_P, plan.scatter_T)  # type: ignore[no-untyped-call]
    outs = []
    for group in plan.groups:
        rows = gathered[group.start : group.start + group.count * group.length]
        slots = rows.view(group.count, group.length, 3, heads, -1)
        qg, kg, vg = slots.permute(2, 0, 3, 1, 4).unbind(0)
        mask = _mask(group.mask_N11S, group.length, window, q.device)
        out = _softmax_attention(qg, kg, vg, mask, 0.0)
        outs.append(out.transpose(1, 2).reshape(group.count * group.length, heads, -1))
    back: Tensor = _Rows.apply(torch.cat(outs), plan.scatter_T, plan.gather_P)  # type: ignore[no-untyped-call]
    return back


def _varlen(q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int) -> Tensor:
    if layout.padded:
        raise ValueError("the varlen kernel needs packed batches without padding")
    if q.device.type != "cuda" or q.dtype not in (torch.float16, torch.bfloat16):
        raise ValueError("the varlen kernel needs fp16 or bf16 on a CUDA device")
    from torch.nn.attention.varlen import varlen_attn

    cu_seqlens, longest = layout.cu_seqlens, layout.max_seqlen
    if layout.num_filler_rows:  # a sequence of its own: every row of the output is computed
        cu_seqlens = torch.cat([cu_seqlens, cu_seqlens.new_full((1,), layout.num_rows)])
        longest = max(longest, layout.num_filler_rows)
    out = varlen_attn(q, k, v, cu_seqlens, cu_seqlens, longest, longest, window_size=(window, window))
    assert isinstance(out, Tensor)
    return out
