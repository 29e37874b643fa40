"""Measures of numbers and of ranks are those of scikit-learn and scipy, with seeded intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from custom_bert.metrics import ConfusionMatrix
from custom_bert.number_metrics import MEASURES, NumberScores
from custom_bert.rank_metrics import RankScores

draw = np.random.default_rng(0)
TRUE = np.round(draw.normal(40, 10, size=(60, 2)))
GIVEN = np.round(TRUE + draw.normal(0, 6, size=(60, 2)))
WEIGHTS = draw.uniform(0.1, 3, 60)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["all the same", "weighted"])
def test_the_measures_are_those_of_the_reference_libraries(weights: np.ndarray | None) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    scores = NumberScores(TRUE, GIVEN, weights)
    assert scores.r2 == pytest.approx(metrics.r2_score(TRUE, GIVEN, sample_weight=weights))
    assert scores.mae == pytest.approx(metrics.mean_absolute_error(TRUE, GIVEN, sample_weight=weights))
    rmse = metrics.root_mean_squared_error(TRUE, GIVEN, sample_weight=weights)
    assert scores.rmse == pytest.approx(rmse)


def test_correlations_are_scipys_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    scores = NumberScores(TRUE, GIVEN)
    for i, one in enumerate(scores.outputs):
        assert one["pearson"] == pytest.approx(stats.pearsonr(TRUE[:, i], GIVEN[:, i]).statistic)
        assert one["spearman"] == pytest.approx(stats.spearmanr(TRUE[:, i], GIVEN[:, i]).statistic)
    assert scores.spearman == pytest.approx(sum(one["spearman"] for one in scores.outputs) / 2)


def test_a_whole_weight_is_that_many_texts() -> None:
    times = draw.integers(1, 4, 60)
    weighted = NumberScores(TRUE, GIVEN, times.astype(float)).numbers
    repeated = NumberScores(np.repeat(TRUE, times, axis=0), np.repeat(GIVEN, times, axis=0)).numbers
    assert {k: weighted[k] for k in MEASURES[:4]} == pytest.approx({k: repeated[k] for k in MEASURES[:4]})


def test_constant_numbers_are_no_error_and_no_nan() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    same = np.full((5, 1), 3.0)
    for given in (same, same + 1):
        scores = NumberScores(same, given)
        assert scores.r2 == metrics.r2_score(same, given)
        assert scores.pearson == scores.spearman == 0.0
        assert all(math.isfinite(end) for ends in scores.intervals.values() for end in ends)


@pytest.mark.parametrize("texts", [400, 8_000])
def test_intervals_are_as_wide_as_the_number_of_texts_makes_them_and_repeatable(texts: int) -> None:
    some = np.random.default_rng(1)
    true = some.normal(size=(texts, 1))
    scores = NumberScores(true, true + some.normal(size=(texts, 1)))
    low, high = scores.intervals["mae"]
    assert low < scores.mae < high
    # of n absolute errors the mean has the standard deviation sqrt(1 - 2 / pi) / sqrt(n)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt((1 - 2 / math.pi) / texts), rel=0.15)
    if texts == 400:
        assert scores.intervals == NumberScores(true, scores.predicted_NK).intervals


def test_kappa_and_distances_of_ranks_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    for classes, seed in ((2, 0), (5, 1), (7, 2)):
        some = np.random.default_rng(seed)
        true = some.integers(classes, size=200)
        given = np.clip(true + some.integers(-2, 3, size=200), 0, classes - 1)
        matrix = ConfusionMatrix(classes)
        matrix.add(true, given)
        scores = RankScores.of_classes(matrix.scores())
        assert scores.kappa == pytest.approx(metrics.cohen_kappa_score(true, given, weights="quadratic"))
        assert scores.kappa != pytest.approx(metrics.cohen_kappa_score(true, given, weights="linear")) or (
            classes == 2
        )
        assert scores.mae_ranks == pytest.approx(metrics.mean_absolute_error(true, given))
        assert scores.adjacent_accuracy == float((abs(true - given) <= 1).mean())
        assert scores.accuracy == pytest.approx(metrics.accuracy_score(true, given))


def test_kappa_of_one_rank_alone_is_zero() -> None:
    for true, given in (([1, 1], [1, 1]), ([0, 1, 2], [1, 1, 1]), ([], [])):
        matrix = ConfusionMatrix(3)
        matrix.add(np.array(true, dtype=int), np.array(given, dtype=int))
        assert RankScores.of_classes(matrix.scores()).kappa == 0.0
