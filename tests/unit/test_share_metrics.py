"""Measures of predicted distributions: equal to scipy's, and ties count as the pages say."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from custom_bert.batch import Targets
from custom_bert.share_metrics import ShareSums, majority
from custom_bert.tasks.parts import Gathering
from custom_bert.tasks.share_scorer import ShareScorer


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) logits and (N, 3) shares, a third of which have a zero."""
    draw = np.random.default_rng(seed)
    shares = draw.dirichlet([0.5] * 3, count)
    shares[::3, 1] = 0
    return draw.normal(size=(count, 3)), shares / shares.sum(1, keepdims=True)


def test_any_of_the_tied_labels_is_right_and_otherwise_the_first_of_them_was_wanted() -> None:
    shares = np.array([[0.4, 0.4, 0.2]] * 3 + [[0.1, 0.2, 0.7]])
    assert majority(shares, np.array([0, 1, 2, 2])).tolist() == [0, 1, 0, 2]


def test_the_divergence_is_from_the_given_to_the_predicted_distribution() -> None:
    logits, shares = drawn(200)
    log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    sums = ShareSums()
    sums.add(log, shares)
    found = sums.scores()
    assert found.divergence == pytest.approx(entropy(shares, np.exp(log), axis=1).mean())
    weights = np.arange(1.0, 201)
    sums = ShareSums()
    sums.add(log, shares, weights)
    wanted = np.average(entropy(shares, np.exp(log), axis=1), weights=weights)
    assert sums.scores().divergence == pytest.approx(wanted)
    exact = ShareSums()
    exact.add(np.log(np.maximum(shares, 1e-300)), shares)
    assert exact.scores().divergence == 0.0


def test_the_calibration_error_compares_with_the_share_of_the_predicted_label() -> None:
    sums = ShareSums()
    log = np.log([[0.8, 0.2], [0.78, 0.22], [0.1, 0.9]])
    sums.add(log, np.array([[0.6, 0.4], [1.0, 0.0], [0.9, 0.1]]))
    found = sums.scores()
    # 0.8 and 0.78 share the bin from 11/15 to 12/15 but for 0.8 itself, which begins the next one
    assert [(one.texts, round(one.probability, 2), round(one.share, 2)) for one in found.bins] == [
        (1, 0.78, 1.0),
        (1, 0.8, 0.6),
        (1, 0.9, 0.1),
    ]
    assert found.calibration_error == pytest.approx((0.22 + 0.2 + 0.8) / 3)


def test_batches_and_processes_add_up() -> None:
    logits, shares = drawn(90)
    outputs, targets = torch.from_numpy(logits).float(), torch.from_numpy(shares).float()
    weights = torch.arange(1.0, 91)
    whole = ShareScorer(("a", "b", "c"))
    whole.add(outputs, Targets(targets, weights_N=weights))
    wanted = whole.measured()
    parts = [ShareScorer(("a", "b", "c")) for _ in range(2)]
    for i, part in enumerate(parts):
        for start in range(45 * i, 45 * i + 45, 15):
            rows = slice(start, start + 15)
            part.add(outputs[rows], Targets(targets[rows], weights_N=weights[rows]))
    seen: list[list[torch.Tensor]] = [[], []]

    def kept(part: int) -> Gathering:
        def keep(tensor: torch.Tensor) -> torch.Tensor:
            seen[part].append(tensor)
            return tensor

        return Gathering(keep, keep)

    for i, part in enumerate(parts):
        part.measured(kept(i))
    calls = iter(zip(*seen, strict=True))
    found = parts[0].measured(
        Gathering(lambda tensor: sum(next(calls)), lambda rows: torch.cat(next(calls)))  # type: ignore[arg-type,return-value]
    )
    assert found.loss == pytest.approx(wanted.loss)
    assert found.numbers == pytest.approx(wanted.numbers)
    assert found.weighted_numbers == pytest.approx(wanted.weighted_numbers)
    assert found.weighted_numbers["divergence"] != pytest.approx(found.numbers["divergence"])
