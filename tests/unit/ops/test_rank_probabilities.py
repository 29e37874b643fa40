"""Probabilities of ranks are differences of sigmoids, whatever the scores and the weights are."""

from __future__ import annotations

import torch

from custom_bert.ops.ranks import LEAST_GAP, ordered_thresholds, rank_log_probabilities, raw_thresholds


def test_probabilities_are_differences_of_sigmoids_and_add_up_to_one() -> None:
    thresholds = torch.tensor([-2.0, -0.5, 0.1, 3.0], dtype=torch.float64)
    scores = torch.linspace(-5, 5, 11, dtype=torch.float64)
    found = rank_log_probabilities(scores, thresholds).exp()
    below = torch.sigmoid(thresholds - scores[:, None])
    whole = torch.cat([torch.zeros(11, 1), below, torch.ones(11, 1)], dim=1)
    assert torch.allclose(found, whole.diff(dim=1))
    assert torch.allclose(found.sum(1), torch.ones(11, dtype=torch.float64))


def test_the_most_probable_rank_rises_with_the_score() -> None:
    thresholds = torch.tensor([-2.0, 0.0, 2.0])
    best = rank_log_probabilities(torch.linspace(-6, 6, 50), thresholds).argmax(1)
    assert (best.diff() >= 0).all() and best[0] == 0 and best[-1] == 3


def test_extreme_scores_have_finite_logarithms_and_gradients() -> None:
    scores = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    raw = torch.tensor([-1.0, -60.0, 4.0], requires_grad=True)
    logs = rank_log_probabilities(scores, ordered_thresholds(raw))
    logs.sum().backward()  # type: ignore[no-untyped-call]
    assert logs.isfinite().all() and scores.grad is not None and scores.grad.isfinite().all()
    assert raw.grad is not None and raw.grad.isfinite().all()


def test_thresholds_rise_whatever_the_weights_are() -> None:
    draw = torch.Generator().manual_seed(0)
    for size in (1.0, 10.0, 100.0):
        thresholds = ordered_thresholds((size * torch.randn(20, generator=draw)).double())
        assert (thresholds.diff() > LEAST_GAP / 2).all()


def test_raw_thresholds_are_the_way_back() -> None:
    thresholds = torch.tensor([-3.0, -2.9, 0.0, 5.0], dtype=torch.float64)
    assert torch.allclose(ordered_thresholds(raw_thresholds(thresholds)), thresholds)
    assert len(raw_thresholds(thresholds[:1])) == 1 and len(raw_thresholds(thresholds[:0])) == 0
