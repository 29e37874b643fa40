"""The fused kernels as functions that autograd can go through. Each has its formula in torch beside it in the
tests (`tests/parity/test_fused.py`), and the encoder without them is the reference of whole steps.

Matrix products leave their bias to the kernel that reads the product. Rounding differs from that of the same
operations one by one: nothing is rounded between them, and biases are added in fp32.

Shapes: R rows, D hidden, F width of an MLP.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from custom_bert.config import Activation
from custom_bert.layout import Layout
from custom_bert.ops.dropout import draw_lanes
from custom_bert.rounding import round_up

WIDTH = 16
"""The kernels compute this many numbers at a time. The width of a head has to be a multiple of it."""

QUERIES = 32
"""The number of queries whose scores are computed at a time, as in the kernels."""

Wanted = Literal["stream", "sum", "norm"]
"""What `add_norm` returns: "stream", the norm in fp32 and rounded, as a post-norm layer needs it; "sum", the
sum and its rounded norm, as a pre-norm layer needs it; "norm", the norm in fp32 alone."""


class Kernels:
    """The kernels of a loaded library.

    Args:
        library: what `library.load` returned.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._functions: dict[str, Callable[..., None]] = {}

    def activation(self, x_RF: Tensor, bias_F: Tensor | None, kind: Activation, *, gated: bool) -> Tensor:
        """Returns (R, F) the activation of x + bias.

        If it is gated, x is (R, 2F), and the activation of the first half is multiplied by the second.
        """
        bias_F = x_RF.new_zeros(x_RF.shape[1], dtype=torch.float32) if bias_F is None else bias_F
        name = f"{kind}{'_gated' if gated else ''}_{_name(x_RF.dtype)}"
        out: Tensor = _Activation.apply(x_RF, bias_F, self, name, gated)  # type: ignore[no-untyped-call]
        return out

    def add_norm(
        self,
        residual_RD: Tensor,
        branch_RD: Tensor,
        bias_D: Tensor | None,
        norm: nn.LayerNorm,
        *,
        dropout: float,
        wanted: Wanted,
    ) -> tuple[Tensor, Tensor]:
        """Adds dropout(branch + bias) to the residual stream, and norms the sum.

        Args:
            residual_RD: the stream, fp32.
            branch_RD: a product without its bias, in the type of products.
            bias_D: its bias; None if it has none.
            norm: the norm of the sum.
            dropout: the probability of dropping an element, drawn as `ops.dropout.drop` draws it.
            wanted: what is returned.

        Returns:
            The stream, fp32, and what the next product reads, in the type of the branch. For "norm" both are
            the norm in fp32.
        """
        assert norm.weight is not None
        found: tuple[Tensor, ...] = _AddNorm.apply(  # type: ignore[no-untyped-call]
            residual_RD,
            branch_RD,
            _or_zeros(bias_D, norm),
            norm.weight,
            _or_zeros(norm.bias, norm),
            (self, float(norm.eps), dropout, wanted),
        )
        return found[0], found[-1]

    def attention(self, qkv_TE: Tensor, bias_E: Tensor | None, layout: Layout, heads: int) -> Tensor:
        """Computes softmax attention inside each sequence, without keeping scores.

        Args:
            qkv_TE: (T, 3D) queries, keys and values, products without their bias.
            bias_E: (3D,) their bias; None if they have none.
            layout: where the sequences lie.
            heads: the number of heads, whose width is a multiple of `WIDTH`.

        Returns:
            (T, D), with zeros in rows of padding.
        """
        bias_E = qkv_TE.new_zeros(qkv_TE.shape[1], dtype=torch.float32) if bias_E is None else bias_E
        out: Tensor = _Attention.apply(qkv_TE, bias_E, self, layout, heads)  # type: ignore[no-untyped-call]
        return out

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernels:
        """Returns the same kernels: a library is loaded once in a process."""
        return self

    def call(self, name: str, *arguments: Tensor | float | None) -> None:
        """Calls a kernel. Tensors are given by their address, None as the address 0."""
        given: list[Any] = []
        for one in (*arguments, torch.get_num_threads()):
            if one is None or isinstance(one, Tensor):
                assert one is None or one.is_contiguous(), name
                given.append(ctypes.c_void_p(None if one is None else one.data_ptr()))
            else:
                given.append(ctypes.c_float(one) if isinstance(one, float) else ctypes.c_int64(one))
        self._function(name)(*given)

    def _function(self, name: str) -> Callable[..., None]:
        if name not in self._functions:
            function = getattr(self._library, name)
            function.restype = None
            self._functions[name] = function
        return self._functions[name]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _or_zeros(vector_D: Tensor | None, norm: nn.LayerNorm) -> Tensor:
    return torch.zeros_like(norm.weight) if vector_D is None else vector_D


class _Activation(torch.autograd.Function):
    """activation(x + bias), forward and backward in one pass each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, kernels: Kernels, name: str, gated: bool) -> Tensor:
        x = x.contiguous()
        assert bias.shape == x.shape[1:]  # the kernels read addresses, and would read beyond them
        rows, width = len(x), x.shape[1] // (2 if gated else 1)
        out = x.new_empty(rows, width)
        kernels.call(f"activate_{name}", x, bias, out, rows, width)
        ctx.save_for_backward(x, bias)
        ctx.kernels, ctx.name, ctx.size = kernels, name, (rows, width)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, bias = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        sums = bias.new_zeros(torch.get_num_threads(), len(bias))
        ctx.kernels.call(f"activate_backward_{ctx.name}", grad.contiguous(), x, bias, grad_x, sums, *ctx.size)
        return grad_x, sums[0], None, None, None


class _Attention(torch.autograd.Function):
    """Attention of short sequences, head by head. Backward computes the weights anew from the logarithms of
    their sums (Dao et al. 2022, "FlashAttention", arXiv 2205.14135)."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor, kernels: Kernels, layout: Layout, heads: int) -> Tensor:
        qkv = qkv.contiguous()
        assert bias.shape == qkv.shape[1:] and len(qkv) == layout.num_rows
        assert layout.cu_seqlens.dtype is torch.int32 and layout.lengths_N.dtype is torch.int64
        width = qkv.shape[1] // 3
        levels = qkv.new_empty(len(qkv), heads, dtype=torch.float32)
        size, name = width // heads, _name(qkv.dtype)
        sequences = (layout.cu_seqlens, layout.lengths_N)
        out = _rows(layout, qkv, width)
        room = _room(layout, size, arrays=2, scores=1, rows=2)
        kernels.call(
            f"attend_{name}", qkv, bias, *sequences, size**-0.5, out, levels, room, room.shape[1],
            len(layout.lengths_N), heads, size,
        )  # fmt: skip
        ctx.save_for_backward(qkv, bias, levels)
        ctx.kernels, ctx.layout, ctx.name, ctx.heads = kernels, layout, name, heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, bias, levels = ctx.saved_tensors
        layout, heads = ctx.layout, ctx.heads
        grad_qkv = _rows(layout, qkv, qkv.shape[1])
        sums = bias.new_zeros(torch.get_num_threads(), len(bias))
        size = qkv.shape[1] // 3 // heads
        room = _room(layout, size, arrays=5, scores=2, rows=3)
        ctx.kernels.call(
            f"attend_backward_{ctx.name}", grad.contiguous(), qkv, bias, layout.cu_seqlens, layout.lengths_N,
            size**-0.5, levels, grad_qkv, sums, room, room.shape[1], len(layout.lengths_N), heads, size,
        )  # fmt: skip
        return grad_qkv, sums[0], None, None, None


def _room(layout: Layout, size: int, *, arrays: int, scores: int, rows: int) -> Tensor:
    """Returns room for a head of the longest sequence, a row for each thread: arrays of (S, K), and for the
    queries that are computed at a time, `scores` of S and `rows` of K numbers each."""
    longest = round_up(layout.max_seqlen, WIDTH)
    each = arrays * longest * size + QUERIES * (scores * longest + rows * size)
    return torch.empty(torch.get_num_threads(), each, dtype=torch.float32)


def _rows(layout: Layout, like: Tensor, width: int) -> Tensor:
    """Returns (T, width) for the kernel to fill, with zeros if some rows belong to no token."""
    tokens = not layout.padded and not layout.num_filler_rows
    return like.new_empty(len(like), width) if tokens else like.new_zeros(len(like), width)


class _AddNorm(torch.autograd.Function):
    """norm(residual + dropout(branch + bias)), forward and backward in one pass each."""

    @staticmethod
    def forward(
        ctx: Any,
        residual: Tensor,
        branch: Tensor,
        bias: Tensor,
        weight: Tensor,
        shift: Tensor,
        how: tuple[Kernels, float, float, Wanted],
    ) -> tuple[Tensor, ...]:
        kernels, eps, dropout, wanted = how
        ctx.set_materialize_grads(False)
        # the kernels read addresses, and would read beyond them
        assert residual.dtype is torch.float32 and residual.shape == branch.shape
        assert bias.shape == weight.shape == shift.shape == branch.shape[1:]
        residual, branch = residual.contiguous(), branch.contiguous()
        rows, width = branch.shape
        # int8 and no mask stand for no dropout
        lanes, least, factor = draw_lanes(branch, dropout) if dropout else (None, 0, 1.0)
        name = f"{_name(branch.dtype)}_{'int8' if lanes is None else _name(lanes.dtype)}"
        total = torch.empty_like(residual)
        # in fp32 the norm of a post-norm layer serves both purposes
        alone = wanted == "norm" or (wanted == "stream" and branch.dtype is torch.float32)
        norm = None if wanted == "sum" else torch.empty_like(residual)
        rounded = None if alone else torch.empty_like(branch)
        mean, inverse = residual.new_empty(2, rows).unbind()
        kernels.call(
            f"add_norm_{name}", residual, branch, bias, lanes, least, factor, weight, shift, eps, total, norm,
            rounded, mean, inverse, rows, width,
        )  # fmt: skip
        ctx.save_for_backward(total, mean, inverse, weight, lanes)
        ctx.kernels, ctx.name, ctx.wanted, ctx.alone = kernels, name, wanted, alone
        ctx.factors, ctx.dtype = (least, factor), branch.dtype
        first = total if norm is None else norm
        return (first,) if rounded is None else (first, rounded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_rounded: Tensor | None = None) -> tuple[Any, ...]:
        total, mean, inverse, weight, lanes = ctx.saved_tensors
        grad, grad_rounded = (None if one is None else one.contiguous() for one in (grad, grad_rounded))
        grad_sum, grad_norm = (grad, None) if ctx.wanted == "sum" else (None, grad)
        grad_residual = torch.empty_like(total)
        grad_branch = torch.empty_like(total, dtype=ctx.dtype)
        rows, width = total.shape
        sums = total.new_zeros(torch.get_num_threads(), 4, width)
        ctx.kernels.call(
            f"add_norm_backward_{ctx.name}", grad_norm, grad_rounded, grad_sum, total, mean, inverse, weight,
            lanes, *ctx.factors, grad_residual, grad_branch, sums, rows, width,
        )  # fmt: skip
        of_bias, of_weight, of_shift, _ = sums[0]
        return grad_residual, grad_branch, of_bias, of_weight, of_shift, None
