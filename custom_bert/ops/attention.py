"""One attention function over a batch's layout, and the rule that chooses its kernel (`kernels.py`).

Every kernel computes softmax(Q K^T / sqrt(K)) V inside each sequence. With a window, token i attends to token
j only if |i - j| <= window. The output in rows of padding is undefined, and nothing reads it.

| kernel | layout | what it is | memory grows with |
|---|---|---|---|
| naive | any | the formula spelled out, block by block, any dtype: the reference | the length's square |
| matmul | any, on a CPU | few matrix products; with a window, long texts go to dense | the length's square |
| dense | any | torch's scaled_dot_product_attention, block by block; windows in chunks | the length |
| grouped | any | length-sorted groups, gathered, padded inside a group only | the length |
| varlen | packed, CUDA, fp16 or bf16 | flash attention over cu_seqlens | the length |

Shapes: T rows, N sequences of a block, S slot length of a block, H heads, K head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from custom_bert.attention_kernels import KERNELS, with_dropout
from custom_bert.config import Kernel
from custom_bert.layout import Layout
from custom_bert.ops import kernels
from custom_bert.ops.dropout import drop
from custom_bert.ops.grouping import GROUP, grouping_by_length
from custom_bert.ops.kernels import MATMUL_UP_TO
from custom_bert.ops.matmul_attention import matmul_attention

FEW_BLOCKS = 8
"""Up to this number of blocks in a batch, gathering sequences into groups does not pay."""


@dataclass(frozen=True)
class KernelChoice:
    """A kernel, and the reason for taking it. The reason is printed for users."""

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
    """Chooses the fastest kernel for a layout, by rules that rest on measurements (docs/log/0002).

    Args:
        few_blocks: whether the batch has few blocks for its sequences; see `has_few_blocks`.
        max_seqlen: the longest slot.
        device: "cpu" or "cuda".
        dtype: of queries, keys and values as the kernel sees them.
        padded: whether any slot holds padding.
        dropout: whether attention weights are dropped; then the rule takes matmul or dense.
        window: the largest distance of a key that is read, if it confines attention; -1 if it does not.
        flash: whether flash attention over cu_seqlens runs on this GPU; see `kernels.has_flash`.
    """
    few_blocks = few_blocks or dropout  # grouped and varlen cannot drop weights
    if device == "cuda":
        half = dtype in (torch.float16, torch.bfloat16) and flash
        if half and not padded and not dropout:
            return KernelChoice("varlen", "no padding on CUDA: flash attention over cu_seqlens in one call")
        if few_blocks:
            return KernelChoice("dense", "near-equal lengths on CUDA: SDPA")
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
    """Whether block by block takes about as few calls as the `grouped` kernel would."""
    return len(layout.blocks) <= max(FEW_BLOCKS, len(layout.lengths_N) // GROUP)


def plan_ahead(layout: Layout, exact: bool, *, kernel: Kernel | None, flash: bool) -> None:
    """Makes on the host, and in the loader's thread, what the `grouped` kernel needs to know of a layout on a
    GPU, if that kernel will take it. On the GPU the plan would make the host wait in every step.

    Args:
        layout: a layout on the host, which keeps the plan and takes it along to the GPU.
        exact: whether the batch is computed in fp32, as in evaluations.
        kernel: the kernel that is set; None where `choose_kernel` decides.
        flash: whether flash attention computes batches that are not exact.
    """
    unequal = not has_few_blocks(layout) and (exact or layout.padded or not flash)
    if kernel == "grouped" or (kernel is None and unequal):
        layout.once(grouping_by_length)


def attention(
    qkv_T3HK: Tensor,
    layout: Layout,
    *,
    kernel: Kernel | None = None,
    window: int = -1,
    dropout: float = 0.0,
) -> Tensor:
    """Computes softmax attention inside each sequence (Vaswani et al. 2017, arXiv 1706.03762).

    Args:
        qkv_T3HK: (T, 3, H, K) queries, keys and values.
        layout: where the sequences lie.
        kernel: the kernel to take; None lets `choose_kernel` decide.
        window: token i attends to token j only if |i - j| <= window; -1 for no window.
        dropout: probability of dropping an attention weight; not every kernel can (`attention_kernels`).

    Returns:
        (T, H, K), undefined in rows of padding.

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
    if dropout and not KERNELS[kernel].drops_weights:
        raise ValueError(f"the {kernel} kernel has no attention dropout; use {with_dropout()}")
    if kernel == "naive":
        return kernels.naive(qkv_T3HK, layout, window, dropout)
    if kernel == "matmul" and (window < 0 or kernels.square_pays(layout.max_seqlen, window)):
        return matmul_attention(qkv_T3HK, layout, window, dropout)
    if kernel == "matmul" or kernel == "dense":
        return kernels.dense(qkv_T3HK, layout, window, dropout)
    if kernel == "grouped":
        return kernels.grouped(qkv_T3HK, layout, window)
    if kernel == "varlen":
        return kernels.varlen(qkv_T3HK, layout, window)
    assert_never(kernel)


def can_attend_from_first(layout: Layout, kernel: Kernel | None) -> bool:
    """Whether `first_token_attention` can be used: there are few blocks, and no kernel that gathers is
    set."""
    return has_few_blocks(layout) and (kernel is None or KERNELS[kernel].by_block)


def first_token_attention(
    q_NHK: Tensor, k_THK: Tensor, v_THK: Tensor, layout: Layout, *, window: int = -1, dropout: float = 0.0
) -> Tensor:
    """Computes what `attention` returns for first tokens, from the queries of these tokens alone.

    With one query a sequence, a matrix product has nothing to reuse, and would need copies of keys and values
    in another order. Elementwise products and sums are faster. In bf16 each product is rounded before the
    sum, and the sum is taken in fp32. The error is about as large as that of the formula in bf16, and a test
    keeps it below twice that. On a GPU, flash attention takes one query a sequence in one call.

    Args:
        q_NHK: (N, H, K) queries of the first tokens.
        k_THK, v_THK: (T, H, K) keys and values of all rows.
        layout: where the sequences lie.
        window: the largest distance of a token that is attended to; -1 for no window.
        dropout: probability of dropping an attention weight.

    Returns:
        (N, H, K).
    """
    if window < 0 and not dropout and kernels.can_take_flash(q_NHK, layout):
        return kernels.varlen_of_first(q_NHK, k_THK, v_THK, layout)
    # the first token's window reaches forward only, to the tokens 0 to `window`
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
