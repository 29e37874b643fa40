"""Dropout drops what it should, independently, and repeats itself."""

import pytest
import torch

from custom_bert.ops.dropout import Dropout, drop, rounded

ROWS, WIDTH = 400, 250  # not a multiple of the eight elements that share a draw, row by row


def drawn(rate: float, seed: int = 0, shape: tuple[int, ...] = (ROWS, WIDTH)) -> torch.Tensor:
    torch.manual_seed(seed)
    return drop(torch.ones(shape, dtype=torch.float64), rate)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 0.1, 0.2, 0.5, 0.9])
def test_the_share_and_the_scale_are_the_rates(rate: float) -> None:
    bits, dropped = rounded(rate)
    asked, rate = rate, dropped / (1 << bits)
    assert rate == pytest.approx(asked, rel=0.02)
    out = drawn(asked)
    kept = out[out > 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=1e-6)
    assert out.mean().item() == pytest.approx(1.0, abs=4 * (rate / (1 - rate) / out.numel()) ** 0.5)
    error = (rate * (1 - rate) / out.numel()) ** 0.5
    assert abs((out == 0).double().mean().item() - rate) <= 4 * error


@pytest.mark.parametrize(("rate", "sharing"), [(0.3, 8), (0.01, 4)])
def test_elements_of_one_draw_are_independent(rate: float, sharing: int) -> None:
    assert rounded(rate)[0] == 64 // sharing
    lanes = (drawn(rate) == 0).double().view(-1, sharing)
    correlations = torch.corrcoef(lanes.T) - torch.eye(sharing)
    assert correlations.abs().max() < 4.5 / len(lanes) ** 0.5
    neighbours = torch.corrcoef(torch.stack([lanes[1:, 0], lanes[:-1, 0]]))[0, 1]
    assert abs(neighbours) < 4 / len(lanes) ** 0.5
    assert torch.allclose(lanes.mean(0), torch.full((sharing,), rate, dtype=torch.float64), atol=0.02)


def test_the_gradient_passes_where_the_value_did() -> None:
    x = torch.ones(7, 11, requires_grad=True)
    out = drop(x, 0.4)
    out.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, out.detach())


def test_one_seed_one_mask_whatever_the_threads() -> None:
    large = (1000, 1000)  # beyond what torch computes on one thread
    first = drawn(0.2, shape=large)
    try:
        torch.set_num_threads(2)
        assert torch.equal(drawn(0.2, shape=large), first)
    finally:
        torch.set_num_threads(1)
    first = drawn(0.2)
    assert not torch.equal(drawn(0.2, seed=1), first)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 1, 2), (0, 4)])
def test_any_shape_and_type(shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        assert drop(torch.ones(shape, dtype=dtype), 0.5).shape == shape
        assert drop(torch.ones(shape, dtype=dtype), 0.5).dtype == dtype


def test_a_rate_next_to_1_stays_finite() -> None:
    assert drawn(0.9999999).isfinite().all()


def test_evaluation_and_a_rate_of_0_change_nothing() -> None:
    x = torch.randn(5, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert not torch.equal(Dropout(0.5)(x), x)
