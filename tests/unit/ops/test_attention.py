"""Kernels agree with the formula in fp64, forward and backward, for every layout and window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from custom_bert.batch import Batch
from custom_bert.config import Kernel
from custom_bert.layout import Layout
from custom_bert.ops.attention import (
    MATMUL_UP_TO,
    attention,
    choose_kernel,
    first_token_attention,
    has_few_blocks,
)
from custom_bert.ops.kernels import CHUNK
from custom_bert.ops.matmul_attention import matmul_attention

HEADS, WIDTH = 2, 8


def layout_of(lengths: list[int], slots: int | np.ndarray | None, filler: int = 0) -> Layout:
    used = sum(lengths) if slots is None else int(np.broadcast_to(slots, len(lengths)).sum())
    texts = [np.ones(n, dtype=np.int64) for n in lengths]
    return Batch.build(texts, slots=slots, rows=used + filler).layout


def inputs(layout: Layout, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (4, layout.num_rows, HEADS, WIDTH)
    return [
        x.to(dtype).requires_grad_() for x in torch.randn(shape, generator=generator, dtype=torch.float64)[:3]
    ]


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout, **options: Any) -> Tensor:
    return attention(torch.stack([q, k, v], dim=1), layout, **options)


def run(kernel: Kernel, layout: Layout, dtype: torch.dtype, window: int = -1) -> list[Tensor]:
    """Output and the gradients of q, k and v, of real rows."""
    q, k, v = inputs(layout, dtype)
    real_T = layout.sequence_T < len(layout.lengths_N)
    out = attend(q, k, v, layout, kernel=kernel, window=window)
    probe = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    (out[real_T] * probe[real_T]).sum().backward()
    return [x.detach().double()[real_T] for x in (out, q.grad, k.grad, v.grad)]  # type: ignore[union-attr]


def alone(layout: Layout, window: int) -> Tensor:
    """The formula, one sequence at a time, written independently."""
    q, k, v = (x.detach() for x in inputs(layout, torch.float64))
    outs = []
    for start, length in zip(layout.cu_seqlens[:-1].tolist(), layout.lengths_N.tolist(), strict=True):
        for i in range(length):
            low, high = (0, length) if window < 0 else (max(0, i - window), min(length, i + window + 1))
            keys = slice(start + low, start + high)
            weights = torch.einsum("hk,shk->hs", q[start + i], k[keys]) / WIDTH**0.5
            outs.append(torch.einsum("hs,shk->hk", weights.softmax(-1), v[keys]))
    return torch.stack(outs)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    kind=st.sampled_from(["packed", "near_equal", "padded"]),
    filler=st.sampled_from([0, 5]),
    window=st.sampled_from([-1, 0, 1, 4]),
)
def test_kernels_agree_forward_and_backward(lengths: list[int], kind: str, filler: int, window: int) -> None:
    slots = {"packed": None, "near_equal": -(-np.array(lengths) // 4) * 4, "padded": max(lengths) + 7}[kind]
    layout = layout_of(lengths, slots, filler)
    wanted = run("naive", layout, torch.float64, window)
    assert (wanted[0] - alone(layout, window)).abs().max() <= 1e-12
    for kernel in ("naive", "matmul", "dense", "grouped"):
        for name, found, exact in zip(
            "oqkv", run(kernel, layout, torch.float32, window), wanted, strict=True
        ):
            assert (found - exact).abs().max() <= 1e-5, (kernel, name)


@pytest.mark.parametrize("kernel", ["dense", "grouped", "matmul"])
@pytest.mark.parametrize("window", [0, 3, CHUNK - 1, CHUNK, CHUNK + 9, 200])
@pytest.mark.parametrize("slots", [None, 310])
def test_windows_in_chunks_agree_with_the_formula(kernel: Kernel, window: int, slots: int | None) -> None:
    layout = layout_of([300, 1, CHUNK, CHUNK + 1, 2 * CHUNK, 143], slots)
    wanted = run("naive", layout, torch.float64, window)
    for name, found, exact in zip("oqkv", run(kernel, layout, torch.float32, window), wanted, strict=True):
        assert (found - exact).abs().max() <= 1e-5, name


class Largest(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                held = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.elements = max(self.elements, held)
        return out


@pytest.mark.parametrize("window", [-1, 64])
@pytest.mark.parametrize(("lengths", "slots"), [([1500, 1500], None), ([1500, 900], 1600)])
@pytest.mark.parametrize("kernel", ["dense", "grouped", None])
def test_memory_grows_with_the_length_not_its_square(
    kernel: Kernel | None, lengths: list[int], slots: int | None, window: int
) -> None:
    layout = layout_of(lengths, slots)
    q, k, v = inputs(layout, torch.float32)
    with Largest() as seen:
        attend(q, k, v, layout, kernel=kernel, window=window).sum().backward()
    assert 0 < seen.elements <= 4 * HEADS * layout.num_rows * 3 * CHUNK < HEADS * layout.num_rows * 1500
    with Largest() as seen:  # the measure itself notices a square
        attend(q, k, v, layout, kernel="naive", window=window).sum().backward()
    assert seen.elements >= HEADS * layout.num_rows * 1500


@pytest.mark.parametrize("kernel", ["naive", "matmul", "dense", "grouped"])
def test_rows_of_filler_and_their_gradients_are_finite(kernel: Kernel) -> None:
    layout = layout_of([3, 3, 2], np.array([3, 3, 4]), filler=6)
    q, k, v = inputs(layout, torch.float32)
    out = attend(q, k, v, layout, kernel=kernel)
    out.sum().backward()
    assert all(x.isfinite().all() for x in (out, q.grad, k.grad, v.grad) if x is not None)
    assert (out[-6:] == 0).all()


@pytest.mark.parametrize("kernel", ["matmul", "dense", "grouped"])
@pytest.mark.parametrize("window", [-1, 3])
def test_bf16_errors_are_at_most_four_times_the_formulas_own(kernel: Kernel, window: int) -> None:
    layout = layout_of([5, 12, 20, 9, 1], None if kernel == "grouped" else 20)
    exact = run("naive", layout, torch.float64, window)
    own = run("naive", layout, torch.bfloat16, window)
    found = run(kernel, layout, torch.bfloat16, window)
    for e, o, f in zip(exact, own, found, strict=True):
        assert (f - e).abs().max() <= 4 * (o - e).abs().max() + 1e-6


def test_a_sequence_does_not_depend_on_its_neighbours() -> None:
    for kernel in ("naive", "matmul", "grouped"):
        together = layout_of([6, 9, 4], None)
        q, k, v = (x.detach() for x in inputs(together, torch.float64))
        out = attend(q, k, v, together, kernel=kernel)
        single = layout_of([9], None)
        alone_out = attend(q[6:15], k[6:15], v[6:15], single, kernel=kernel)
        assert (out[6:15] - alone_out).abs().max() <= 1e-12


@pytest.mark.parametrize(
    ("few", "length", "device", "dtype", "kernel"),
    [
        (True, 64, "cpu", torch.bfloat16, "matmul"),
        (True, MATMUL_UP_TO + 1, "cpu", torch.bfloat16, "dense"),
        (True, 64, "cpu", torch.float32, "dense"),
        (False, 64, "cpu", torch.float32, "grouped"),
        (True, 64, "cuda", torch.bfloat16, "varlen"),
        (True, 64, "cuda", torch.float32, "dense"),
        (False, 64, "cuda", torch.bfloat16, "varlen"),
        (False, 64, "cuda", torch.float32, "grouped"),
    ],
)
def test_the_rule_that_chooses(few: bool, length: int, device: str, dtype: torch.dtype, kernel: str) -> None:
    choice = choose_kernel(few_blocks=few, max_seqlen=length, device=device, dtype=dtype)
    assert choice.kernel == kernel and choice.reason


def test_batches_with_a_block_for_every_sequence_are_gathered() -> None:
    assert has_few_blocks(layout_of(list(range(1, 9)), None))
    assert not has_few_blocks(layout_of(list(range(1, 10)), None))
    assert has_few_blocks(layout_of([i // 12 + 1 for i in range(240)], None))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("few", [True, False])
def test_the_rule_never_chooses_what_a_kernel_cannot_do(device: str, dtype: torch.dtype, few: bool) -> None:
    for length in (8, 5000):
        rule = {"few_blocks": few, "max_seqlen": length, "device": device, "dtype": dtype}
        assert choose_kernel(**rule, dropout=True).kernel in ("matmul", "dense")  # type: ignore[arg-type]
        assert choose_kernel(**rule, padded=True).kernel != "varlen"  # type: ignore[arg-type]
        assert choose_kernel(**rule, flash=False).kernel != "varlen"  # type: ignore[arg-type]
        assert choose_kernel(**rule, flash=False, window=4).kernel != "varlen"  # type: ignore[arg-type]


def test_attention_weights_are_dropped_whatever_the_layout() -> None:
    layout = layout_of(list(range(1, 30)), None)
    assert not has_few_blocks(layout)
    q, k, v = inputs(layout, torch.float32)
    torch.manual_seed(0)
    dropped = attend(q, k, v, layout, dropout=0.5)
    assert not torch.allclose(dropped, attend(q, k, v, layout))


def test_what_a_kernel_cannot_do_is_refused() -> None:
    packed, padded = layout_of([3, 4], None), layout_of([3, 4], 6)
    with pytest.raises(ValueError, match="no attention dropout"):
        attend(*inputs(packed, torch.float32), packed, kernel="grouped", dropout=0.1)
    with pytest.raises(ValueError, match="without padding"):
        attend(*inputs(padded, torch.float32), padded, kernel="varlen")
    with pytest.raises(ValueError, match="CUDA"):
        attend(*inputs(packed, torch.float32), packed, kernel="varlen")


def test_windows_take_the_kernel_that_costs_what_the_window_costs() -> None:
    rule = {"few_blocks": True, "max_seqlen": 400, "window": 64}
    for dtype in (torch.float32, torch.bfloat16):
        assert choose_kernel(**rule, device="cpu", dtype=dtype).kernel == "dense"  # type: ignore[arg-type]
    short = {**rule, "max_seqlen": 4 * CHUNK, "device": "cpu", "dtype": torch.bfloat16}
    assert choose_kernel(**short).kernel == "matmul"  # type: ignore[arg-type]
    assert choose_kernel(**{**short, "max_seqlen": 4 * CHUNK + 1}).kernel == "dense"  # type: ignore[arg-type]
    for padded, kernel in ((False, "varlen"), (True, "dense")):
        found = choose_kernel(**rule, device="cuda", dtype=torch.bfloat16, padded=padded)  # type: ignore[arg-type]
        assert found.kernel == kernel
    half = {**rule, "device": "cuda", "dtype": torch.float16, "dropout": True}
    assert choose_kernel(**half).kernel == "dense"  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "square"), [(2 * CHUNK, True), (4 * CHUNK, True), (4 * CHUNK + 1, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_windows_on_short_texts_take_the_square_and_long_ones_do_not(
    length: int, square: bool, dtype: torch.dtype
) -> None:
    layout = layout_of([length] * 4, None)
    with Products() as seen:
        attend(*inputs(layout, dtype), layout, window=CHUNK)
    widths = {right[-1] for _, right in seen.shapes} - {WIDTH}  # keys that a query is multiplied with
    assert widths == {length if square else 3 * CHUNK}


@pytest.mark.parametrize("kernel", [None, "matmul", "dense", "grouped"])
def test_windows_of_texts_about_the_bound_agree_with_the_formula(kernel: Kernel | None) -> None:
    for lengths in ([100, 130, 200], [4 * CHUNK, 4 * CHUNK - 1, 70]):
        layout = layout_of(lengths, None)
        wanted = run("naive", layout, torch.float64, CHUNK)
        for found, exact in zip(run(kernel, layout, torch.float32, CHUNK), wanted, strict=True):  # type: ignore[arg-type]
            assert (found - exact).abs().max() <= 1e-5


@pytest.mark.parametrize("window", [-1, 4])
@pytest.mark.parametrize("slots", [None, 25])
def test_first_tokens_alone_give_what_all_give(window: int, slots: int | None) -> None:
    layout = layout_of([3, 17, 18, 18, 24, 1, 1], slots, filler=3)
    wanted = run_first(lambda q, k, v: attend(q, k, v, layout, window=window)[layout.first_N], layout)

    def first(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return first_token_attention(q[layout.first_N], k, v, layout, window=window)

    for found, exact in zip(run_first(first, layout), wanted, strict=True):
        assert (found - exact).abs().max() <= 1e-12


def run_first(function: Callable[[Tensor, Tensor, Tensor], Tensor], layout: Layout) -> list[Tensor]:
    q, k, v = inputs(layout, torch.float64)
    out = function(q, k, v)
    (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    return [x.detach() for x in (out, q.grad, k.grad, v.grad)]  # type: ignore[union-attr]


def test_first_tokens_in_bf16_err_at_most_twice_as_far_as_the_formula() -> None:
    layout = layout_of([40, 40, 41], None)
    exact, own = run("naive", layout, torch.float64), run("naive", layout, torch.bfloat16)
    q, k, v = inputs(layout, torch.bfloat16)
    first = first_token_attention(q[layout.first_N], k, v, layout).double()
    wanted, formula = exact[0][layout.first_N], own[0][layout.first_N]
    assert (first - wanted).abs().max() <= 2 * (formula - wanted).abs().max()


@pytest.mark.parametrize("window", [-1, 1])
def test_the_written_out_backward_is_the_derivative_with_dropout(window: int) -> None:
    layout = layout_of([3, 5, 5, 2], np.array([4, 5, 5, 2]), filler=1)
    q, k, v = inputs(layout, torch.float64)
    real_T = layout.sequence_T < len(layout.lengths_N)

    def dropped(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.4) -> Tensor:
        torch.manual_seed(3)
        return matmul_attention(torch.stack([q, k, v], dim=1), layout, window, dropout)[real_T]

    assert torch.autograd.gradcheck(dropped, (q, k, v))
    assert not torch.allclose(dropped(q, k, v), dropped(q, k, v, 0.0))


class Products(TorchDispatchMode):
    """Collects the shapes of batched products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[torch.Size, torch.Size]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in (torch.ops.aten.bmm.default, torch.ops.aten.bmm.out):
            self.shapes.add((args[0].shape, args[1].shape))
        return func(*args, **(kwargs or {}))


def test_batches_of_many_lengths_multiply_few_shapes() -> None:
    generator = np.random.Generator(np.random.PCG64(0))
    counts = {}
    for kernel in ("naive", "matmul"):
        with Products() as seen:
            for _ in range(100):
                low = int(generator.integers(8, 120))
                lengths = np.sort(generator.integers(low, low + 3, 2048 // (low + 2)))
                layout = layout_of(lengths.tolist(), None)
                q, k, v = inputs(layout, torch.float32)
                attend(q, k, v, layout, kernel=kernel).sum().backward()  # type: ignore[arg-type]
        counts[kernel] = len(seen.shapes)
    assert counts["matmul"] <= 100 < 600 < counts["naive"], counts
