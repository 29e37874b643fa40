"""One attention function over a batch's layout, and one place that chooses its kernel (`kernels.py`).

Each kernel computes softmax(Q K^T / sqrt(K)) V inside every sequence, optionally inside a window of
|i - j| <= window tokens. Padding rows of the output hold whatever is cheapest; nothing reads them.

| kernel | layout | what it is | memory grows with |
|---|---|---|---|
| naive | any | the formula spelled out, block by block, any dtype: the reference | the length's square |
| matmul | any, on a CPU | few products of few shapes; windows of long texts as dense | the length's square |
| dense | any | torch's scaled_dot_product_attention, block by block; windows in chunks | the length |
| grouped | any | length-sorted groups, gathered, padded inside a group only | the length |
| varlen | packed, CUDA, fp16 or bf16 | flash attention over cu_seqlens | the length |

Shapes: T rows, N sequences of a block, S slot length of a block, H heads, K head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from custom_bert.config import Kernel
from custom_bert.layout import Layout
from custom_bert.ops import kernels
from custom_bert.ops.dropout import drop
from custom_bert.ops.grouping import GROUP
from custom_bert.ops.kernels import MATMUL_UP_TO
from custom_bert.ops.matmul_attention import matmul_attention

KERNELS_BY_BLOCK: tuple[Kernel, ...] = ("naive", "matmul", "dense")
"""The kernels that take a batch block by block."""

FEW_BLOCKS = 8
"""Blocks of a batch up to which no gathering pays."""


@dataclass(frozen=True)
class KernelChoice:
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
    window: int = -1,
    flash: bool = True,
) -> KernelChoice:
    """The fastest kernel for a layout, by rules that measurements support.

    Args:
        few_blocks: whether the batch has few blocks for its sequences; see `has_few_blocks`.
        max_seqlen: the longest slot.
        device: "cpu" or "cuda".
        dtype: of queries, keys and values as the kernel sees them.
        padded: whether any slot holds padding.
        dropout: whether attention weights are dropped; then only naive, matmul and dense can be chosen.
        window: that attention is confined to, shorter than the longest slot; -1 for none.
        flash: whether flash attention over cu_seqlens runs on this GPU; see `kernels.has_flash`.
    """
    few_blocks = few_blocks or dropout
    if device == "cuda":
        half = dtype in (torch.float16, torch.bfloat16) and flash
        if window >= 0 and half and not padded and not dropout:
            return KernelChoice("varlen", "a window on CUDA: flash attention over cu_seqlens")
        if few_blocks:
            return KernelChoice("dense", "near-equal lengths on CUDA: SDPA")
        if half and not padded:
            return KernelChoice("varlen", "packed batches on CUDA: flash attention over cu_seqlens")
        why = "flash attention has no padding inside" if padded else "no flash attention for this type or GPU"
        return KernelChoice("grouped", f"many lengths on CUDA: {why}")
    if not few_blocks:
        return KernelChoice("grouped", f"packed batches on a {device.upper()}")
    if window >= 0 and not kernels.square_pays(max_seqlen, window):
        return KernelChoice(
            "dense", f"a window on a {device.upper()}: chunks of queries against the keys in reach"
        )
    if dtype is torch.bfloat16 and max_seqlen <= MATMUL_UP_TO:
        return KernelChoice(
            "matmul", f"bf16 matmuls beat SDPA on a CPU up to {MATMUL_UP_TO} tokens in training"
        )
    return KernelChoice("dense", f"near-equal lengths on a {device.upper()}: SDPA")


def has_few_blocks(layout: Layout) -> bool:
    """Whether attending block by block takes about as few calls as gathering groups would."""
    return len(layout.blocks) <= max(FEW_BLOCKS, len(layout.lengths_N) // GROUP)


def attention(
    qkv_T3HK: Tensor,
    layout: Layout,
    *,
    kernel: Kernel | None = None,
    window: int = -1,
    dropout: float = 0.0,
) -> Tensor:
    """Softmax attention of each sequence to itself (Vaswani et al. 2017, arXiv 1706.03762).

    Args:
        qkv_T3HK: (T, 3, H, K) queries, keys and values.
        layout: where the sequences lie.
        kernel: overrides the rule of `choose_kernel`.
        window: attend to |i - j| <= window only; -1 for all.
        dropout: probability of dropping an attention weight; naive, matmul and dense only.

    Returns:
        (T, H, K). Rows of padding are not defined.

    Raises:
        ValueError: if the kernel cannot do what is asked.
    """
    if 0 <= layout.max_seqlen - 1 <= window:
        window = -1  # the window reaches every token
    if kernel is None:
        kernel = choose_kernel(
            few_blocks=has_few_blocks(layout),
            max_seqlen=layout.max_seqlen,
            device=qkv_T3HK.device.type,
            dtype=qkv_T3HK.dtype,
            padded=layout.padded,
            dropout=dropout > 0,
            window=window,
            flash=kernels.has_flash(qkv_T3HK.device, qkv_T3HK.shape[-1]),
        ).kernel
    if kernel == "naive":
        return kernels.naive(qkv_T3HK, layout, window, dropout)
    if kernel == "matmul" and (window < 0 or kernels.square_pays(layout.max_seqlen, window)):
        return matmul_attention(qkv_T3HK, layout, window, dropout)
    if kernel in ("matmul", "dense"):
        return kernels.dense(qkv_T3HK, layout, window, dropout)
    if dropout:
        raise ValueError(f"the {kernel} kernel has no attention dropout; use naive, matmul or dense")
    if kernel == "grouped":
        return kernels.grouped(qkv_T3HK, layout, window)
    return kernels.varlen(qkv_T3HK, layout, window)


def can_attend_from_first(layout: Layout, kernel: Kernel | None) -> bool:
    """Whether `first_token_attention` is the way: few blocks, and no kernel of another kind is asked for."""
    return has_few_blocks(layout) and kernel in (None, *KERNELS_BY_BLOCK)


def first_token_attention(
    q_NHK: Tensor, k_THK: Tensor, v_THK: Tensor, layout: Layout, *, window: int = -1, dropout: float = 0.0
) -> Tensor:
    """What `attention` gives for the first token of each sequence, from the queries of those alone.

    With one query a sequence there is nothing for matrix products to reuse: elementwise products and sums are
    faster, in place of two copies. In bf16 each product is rounded before the sum, which is taken in fp32;
    the error is about that of the formula in bf16, and a test holds it below twice that.

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
    q_NHK = q_NHK * q_NHK.shape[-1] ** -0.5
    outs = []
    blocks = zip(layout.blocks, layout.split(k_THK), layout.split(v_THK), layout.key_masks, strict=True)
    for block, k_NSHK, v_NSHK, mask in blocks:
        q_N1HK = q_NHK[block.first : block.first + block.count, None]
        scores_NSH = (k_NSHK[:, reach] * q_N1HK).sum(-1)
        if mask is not None:
            hidden_NS1 = ~mask[:, 0, 0, reach, None]
            scores_NSH = scores_NSH.masked_fill(hidden_NS1, torch.finfo(scores_NSH.dtype).min)
        weights_NSH = scores_NSH.softmax(1)
        if dropout:
            weights_NSH = drop(weights_NSH, dropout)
        outs.append((weights_NSH[..., None] * v_NSHK[:, reach]).sum(1))
    return outs[0] if len(outs) == 1 else torch.cat(outs)
