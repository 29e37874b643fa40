"""The weights of an ensemble: the best pair there is, zero where one side is of no use, and safe on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from custom_bert.errors import RunError
from custom_bert.floor.ensemble import (
    NAME,
    Ensemble,
    fit_ensemble,
    fit_ensemble_of_sets,
    fit_ensemble_of_shares,
    has_ensemble,
    read_ensemble,
    write_ensemble,
)
from custom_bert.label_metrics import best_thresholds

ROWS = np.random.Generator(np.random.PCG64(0))
IDS = ROWS.integers(0, 5, 600)


def scores(signal: float, noise: float) -> np.ndarray:
    """Returns (600, 5) scores in which the right class has `signal` more than the others, in the mean."""
    return signal * np.eye(5)[IDS] + noise * ROWS.standard_normal((600, 5))


def loss(ensemble: Ensemble, one: np.ndarray, other: np.ndarray) -> float:
    whole = ensemble.scores(one, other).astype(np.float64)
    return -float(log_softmax(whole, axis=1)[np.arange(600), IDS].mean())


def test_no_other_pair_has_a_lower_cross_entropy() -> None:
    one, other = scores(2.0, 1.0), scores(1.0, 2.0)
    found = fit_ensemble(one, other, IDS)
    lowest = loss(found, one, other)
    assert found.encoder > found.floor > 0
    for encoder in np.linspace(0, 4, 21):
        for floor in np.linspace(0, 4, 21):
            assert lowest <= loss(Ensemble(encoder, floor), one, other) + 1e-6


HOT = ROWS.random((600, 5)) < 0.2
"""Which of five classes each of 600 texts has, if it may have several."""


def scores_of_sets(signal: float, noise: float) -> np.ndarray:
    """Returns (600, 5) scores that are higher by `signal`, in the mean, where a text has a class."""
    return signal * (HOT - 0.5) + noise * ROWS.standard_normal((600, 5))


def loss_of_sets(ensemble: Ensemble, one: np.ndarray, other: np.ndarray) -> float:
    whole = ensemble.scores(one, other).astype(np.float64)
    return float((np.logaddexp(0, whole) - HOT * whole).mean())


def test_of_shares_too_no_other_pair_has_a_lower_cross_entropy() -> None:
    draw = np.random.default_rng(5)
    encoder_NC, floor_NC = draw.normal(size=(2, 60, 3))
    shares_NC = softmax(1.5 * encoder_NC + 0.5 * floor_NC + draw.normal(size=(60, 3)), axis=1)
    weights_N = draw.random(60) + 0.1
    found = fit_ensemble_of_shares(encoder_NC, floor_NC, shares_NC, weights_N)

    def loss(encoder: float, floor: float) -> float:
        log_NC = log_softmax(encoder * encoder_NC + floor * floor_NC, axis=1)
        return -float(np.average((shares_NC * log_NC).sum(1), weights=weights_N))

    least = loss(found.encoder, found.floor)
    for change in (-0.01, 0.01):
        assert loss(found.encoder + change, found.floor) > least < loss(found.encoder, found.floor + change)
    ids_N = shares_NC.argmax(1)
    hot, plain = (
        fit_ensemble_of_shares(encoder_NC, floor_NC, np.eye(3)[ids_N]),
        fit_ensemble(encoder_NC, floor_NC, ids_N),
    )
    assert (hot.encoder, hot.floor) == pytest.approx((plain.encoder, plain.floor), rel=1e-6)


def test_of_sets_too_no_other_pair_has_a_lower_cross_entropy() -> None:
    one, other = scores_of_sets(2.0, 1.0), scores_of_sets(1.0, 2.0)
    found = fit_ensemble_of_sets(one, other, HOT)
    lowest = loss_of_sets(found, one, other)
    assert found.encoder > found.floor > 0
    for encoder in np.linspace(0, 4, 21):
        for floor in np.linspace(0, 4, 21):
            assert lowest <= loss_of_sets(Ensemble(encoder, floor), one, other) + 1e-6


def test_the_thresholds_of_sets_are_those_of_the_weighted_sum() -> None:
    one, other = scores_of_sets(2.0, 1.0), scores_of_sets(1.0, 1.0)
    found = fit_ensemble_of_sets(one, other, HOT)
    expected = best_thresholds(expit(found.scores(one, other)), HOT)
    assert found.thresholds_C is not None and np.array_equal(found.thresholds_C, expected)


def test_weights_of_sets_count_as_repeated_texts() -> None:
    one, other = scores_of_sets(2.0, 1.0), scores_of_sets(1.0, 2.0)
    times = ROWS.integers(1, 4, 600)
    rows = np.repeat(np.arange(600), times)
    weighted = fit_ensemble_of_sets(one, other, HOT, times.astype(np.float32))
    again = fit_ensemble_of_sets(one[rows], other[rows], HOT[rows])
    assert weighted.record() == pytest.approx(again.record(), rel=1e-3)


def test_thresholds_are_read_as_they_were_written(tmp_path: Path) -> None:
    thresholds_C = np.array([0.1, 0.25, 1 / 3], dtype=np.float32)
    write_ensemble(tmp_path, Ensemble(0.1, 2.5, thresholds_C))
    read = read_ensemble(tmp_path, 3, sets=True)
    assert read.thresholds_C is not None and np.array_equal(read.thresholds_C, thresholds_C)
    with pytest.raises(RunError, match="expected 4 thresholds"):
        read_ensemble(tmp_path, 4, sets=True)
    with pytest.raises(RunError, match="not of the format"):
        read_ensemble(tmp_path, 3, sets=False)


def test_together_they_are_better_than_either() -> None:
    one, other = scores(2.0, 1.0), scores(2.0, 1.0)
    found = fit_ensemble(one, other, IDS)
    right = [(each.argmax(1) == IDS).mean() for each in (one, other, found.scores(one, other))]
    assert right[2] > max(right[:2]) + 0.02


def test_scores_that_are_too_sure_are_toned_down() -> None:
    one = scores(2.0, 1.0)
    modest, loud = fit_ensemble(one, scores(0.0, 1.0), IDS), fit_ensemble(10 * one, scores(0.0, 1.0), IDS)
    assert modest.encoder == pytest.approx(10 * loud.encoder, rel=0.1)


@pytest.mark.parametrize("useless_first", [True, False])
def test_a_side_that_points_the_wrong_way_has_no_weight(useless_first: bool) -> None:
    good, bad = scores(2.0, 1.0), -scores(1.0, 1.0)
    found = fit_ensemble(bad, good, IDS) if useless_first else fit_ensemble(good, bad, IDS)
    assert (found.encoder, found.floor)[not useless_first] == 0
    assert (found.encoder, found.floor)[useless_first] > 0


def test_where_both_point_the_wrong_way_the_encoder_stays() -> None:
    assert fit_ensemble(-scores(2.0, 1.0), -scores(2.0, 1.0), IDS) == Ensemble(1.0, 0.0)


def test_scores_without_a_mistake_give_finite_weights() -> None:
    found = fit_ensemble(scores(5.0, 0.0), scores(5.0, 0.0), IDS)
    assert 0 < found.encoder <= 1e3 and 0 < found.floor <= 1e3


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert not has_ensemble(tmp_path)
    write_ensemble(tmp_path, Ensemble(0.1, 2.5))
    assert has_ensemble(tmp_path) and read_ensemble(tmp_path, 3, sets=False) == Ensemble(0.1, 2.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": -1.0},
        {"encoder": True},
        {"encoder": "1"},
        {"encoder": None},
        {"encoder": 0.0, "floor": 0.0},
        {"more": 1},
        {"format": "custom-bert-ensemble/2"},
    ],
)
def test_a_damaged_file_is_one_line_that_says_what_to_do(tmp_path: Path, changes: dict[str, object]) -> None:
    write_ensemble(tmp_path, Ensemble(0.1, 2.5))
    path = tmp_path / NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(RunError, match=r"ensemble\.json: damaged: .*; --encoder-only predicts without it"):
        read_ensemble(tmp_path, 3, sets=False)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"encoder": 1}'])
def test_anything_else_is_one_line_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(RunError, match=r"ensemble\.json: damaged"):
        read_ensemble(tmp_path, 3, sets=False)
