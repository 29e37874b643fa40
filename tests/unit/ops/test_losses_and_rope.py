"""Losses are sums with their normaliser; rotary positions depend on distance only."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from custom_bert.ops import losses
from custom_bert.ops.losses import balanced_weights, cross_entropy_sum, r_drop_sum
from custom_bert.ops.rope import apply_rope, rope_tables

LOGITS = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(20) % 4
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def test_the_weighted_mean_is_torchs() -> None:
    ours = cross_entropy_sum(LOGITS, LABELS, weights_N=WEIGHTS[LABELS]) / WEIGHTS[LABELS].sum()
    assert ours.item() == pytest.approx(F.cross_entropy(LOGITS, LABELS, weight=WEIGHTS).item(), rel=1e-12)


def test_the_smoothed_mean_is_torchs() -> None:
    ours = cross_entropy_sum(LOGITS, LABELS, label_smoothing=0.1) / len(LABELS)
    assert ours.item() == pytest.approx(
        F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1).item(), rel=1e-12
    )


def test_r_drop_is_torchs_divergence_both_ways() -> None:
    first, second = (LOGITS[start::2].log_softmax(-1) for start in (0, 1))
    labels = torch.arange(10).repeat_interleave(2) % 4
    both = F.kl_div(first, second, log_target=True, reduction="none")
    both = both + F.kl_div(second, first, log_target=True, reduction="none")
    assert r_drop_sum(LOGITS).item() == pytest.approx(both.sum().item(), rel=1e-12)
    weighted = r_drop_sum(LOGITS, weights_N=WEIGHTS[labels])
    by_text = both.sum(-1) * WEIGHTS[labels[::2]]
    assert weighted.item() == pytest.approx(by_text.sum().item(), rel=1e-12)


def test_half_precision_logits_are_summed_in_fp32() -> None:
    assert cross_entropy_sum(LOGITS.bfloat16(), LABELS).dtype == torch.float32


def test_balanced_weights_are_scikit_learns() -> None:
    utils = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.array([0] * 7 + [1] * 2 + [2])
    wanted = utils.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert np.allclose(balanced_weights(torch.tensor([7, 2, 1])).numpy(), wanted)


def test_rotated_products_depend_on_the_distance_only() -> None:
    q, k = torch.randn(2, 1, 1, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    products = []
    for start in (0, 5, 90):
        cos, sin = rope_tables(torch.tensor([start, start + 3]), 16, 10_000.0)
        products.append((apply_rope(q, cos[:1], sin[:1]) * apply_rope(k, cos[1:], sin[1:])).sum().item())
    assert products == pytest.approx([products[0]] * 3, abs=1e-5)


def test_position_zero_is_not_rotated_and_types_are_kept() -> None:
    x = torch.randn(1, 2, 8).bfloat16()
    rotated = apply_rope(x, *rope_tables(torch.tensor([0]), 8, 10_000.0))
    assert rotated.dtype == torch.bfloat16 and torch.equal(rotated, x)


@pytest.mark.parametrize("rows", [1, 64, 150])
@pytest.mark.parametrize("chunk", [1, 64 * 37, 1 << 24], ids=["many chunks", "two", "one"])
def test_linear_cross_entropy_is_the_formula_in_any_number_of_chunks(
    monkeypatch: pytest.MonkeyPatch, rows: int, chunk: int
) -> None:
    monkeypatch.setattr(losses, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    x_MD, weight_VD, bias_V = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((rows, 6), (37, 6), (37,))
    )
    targets_M = torch.randint(37, (rows,), generator=generator)
    found = losses.linear_cross_entropy_sum(x_MD, weight_VD, bias_V, targets_M)
    wanted = F.cross_entropy(F.linear(x_MD, weight_VD, bias_V), targets_M, reduction="sum")
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12)
    for a, b in zip(
        torch.autograd.grad(3 * found, (x_MD, weight_VD, bias_V)),
        torch.autograd.grad(3 * wanted, (x_MD, weight_VD, bias_V)),
        strict=True,
    ):
        assert (a - b).norm() <= 1e-12 * b.norm()


def test_linear_cross_entropy_under_autocast_is_as_near_as_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    x_MD, weight_VD, bias_V = (
        torch.randn(shape, generator=generator, requires_grad=True)
        for shape in ((100, 16), (300, 16), (300,))
    )
    targets_M = torch.randint(300, (100,), generator=generator)
    inputs = (x_MD, weight_VD, bias_V)
    exact = F.cross_entropy(F.linear(*(t.double() for t in inputs)), targets_M, reduction="sum")
    wanted = torch.autograd.grad(exact, inputs)

    def errors(loss: Tensor) -> list[float]:
        gradients = torch.autograd.grad(loss, inputs)
        return [float((a - b).norm() / b.norm()) for a, b in zip(gradients, wanted, strict=True)]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = losses.linear_cross_entropy_sum(*inputs, targets_M)
        plain = F.cross_entropy(F.linear(*inputs).float(), targets_M, reduction="sum")
    assert ours.dtype == torch.float32
    for a, b in zip(errors(ours), errors(plain), strict=True):
        assert a <= 2 * b + 1e-4


def test_linear_cross_entropy_keeps_no_logits() -> None:
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                largest = max(largest, out.numel())
            return out

    x_MD = torch.randn(4096, 8, requires_grad=True)
    weight_VD, bias_V = torch.randn(30_000, 8, requires_grad=True), torch.zeros(30_000, requires_grad=True)
    with Watch():
        losses.linear_cross_entropy_sum(x_MD, weight_VD, bias_V, torch.arange(4096)).backward()
    assert largest <= losses.CHUNK < 4096 * 30_000
