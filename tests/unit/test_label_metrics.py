"""Metrics of sets of labels are scikit-learn's, and thresholds are the best that some texts allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from custom_bert.label_metrics import FEWEST, LabelCounts, best_thresholds

quiet = settings(deadline=None, derandomize=True, database=None, max_examples=60)
TABLES = st.tuples(st.integers(1, 30), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape))
)


def counted(true_NC: np.ndarray, given_NC: np.ndarray) -> LabelCounts:
    found = LabelCounts(true_NC.shape[1])
    for start in range(0, len(true_NC), 7):
        found.add(true_NC[start : start + 7], given_NC[start : start + 7])
    return found


@quiet
@given(TABLES)
def test_scores_are_scikit_learns(tables: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    true_NC, given_NC = (table.astype(int) for table in tables)
    if true_NC.shape[1] == 1:  # scikit-learn takes one column for one class against none
        true_NC, given_NC = (np.hstack([table, table]) for table in (true_NC, given_NC))
    found = counted(true_NC > 0, given_NC > 0).scores()
    for average, value in (("micro", found.micro_f1), ("macro", found.macro_f1)):
        assert value == pytest.approx(
            metrics.f1_score(true_NC, given_NC, average=average, zero_division=0), abs=1e-12
        )
    assert found.exact_match == pytest.approx(metrics.accuracy_score(true_NC, given_NC))
    p, r, f, n = metrics.precision_recall_fscore_support(true_NC, given_NC, zero_division=0)
    for i, one in enumerate(found.classes):
        assert (one.precision, one.recall, one.f1, one.support) == pytest.approx((p[i], r[i], f[i], n[i]))
    precision = metrics.precision_score(true_NC, given_NC, average="micro", zero_division=0)
    recall = metrics.recall_score(true_NC, given_NC, average="micro", zero_division=0)
    assert (found.micro_precision, found.micro_recall) == pytest.approx((precision, recall))


def test_counts_of_several_processes_add_up() -> None:
    draw = np.random.default_rng(0)
    true_NC, given_NC = draw.random((2, 40, 3)) < 0.4
    whole, first, second = (
        counted(true_NC, given_NC),
        counted(true_NC[:15], given_NC[:15]),
        counted(true_NC[15:], given_NC[15:]),
    )
    joined = first.with_array(first.array() + second.array())
    assert joined.scores() == whole.scores() and joined.texts == 40


def f1(true_N: np.ndarray, given_N: np.ndarray) -> float:
    both = (true_N & given_N).sum()
    return 2 * both / max(1, true_N.sum() + given_N.sum())


@quiet
@given(st.integers(0, 10_000), st.integers(12, 60), st.sampled_from([1, 2, 8, 1000]))
def test_no_threshold_has_a_higher_f1_on_the_texts_that_choose(seed: int, texts: int, steps: int) -> None:
    draw = np.random.default_rng(seed)
    true_N = draw.random(texts) < 0.5
    true_N[:FEWEST] = True
    probabilities_N = (np.round(draw.random(texts) * steps) / steps).astype(np.float32)  # with ties
    (threshold,) = best_thresholds(probabilities_N[:, None], true_N[:, None])
    reached = f1(true_N, probabilities_N >= threshold)
    others = [f1(true_N, probabilities_N >= one) for one in {*probabilities_N.tolist(), 0.0, 2.0}]
    assert reached == pytest.approx(max(others), abs=1e-12)


def test_a_rare_class_takes_the_threshold_that_serves_all() -> None:
    draw = np.random.default_rng(0)
    true_NC = draw.random((200, 3)) < [0.5, 0.4, 0.0]
    true_NC[: FEWEST - 1, 2] = True
    probabilities_NC = (0.6 * true_NC + 0.4 * draw.random((200, 3))).astype(np.float32)
    found_C = best_thresholds(probabilities_NC, true_NC)
    common = best_thresholds(probabilities_NC.reshape(-1, 1), true_NC.reshape(-1, 1))[0]
    assert found_C[2] == common
    true_NC[FEWEST - 1, 2] = True
    assert best_thresholds(probabilities_NC, true_NC)[2] != common


def test_without_any_label_every_threshold_is_a_half() -> None:
    assert best_thresholds(np.ones((3, 2), np.float32), np.zeros((3, 2), bool)).tolist() == [0.5, 0.5]


def test_a_threshold_stands_between_two_neighbouring_numbers() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    probabilities_N = np.array([high] * FEWEST + [low] * FEWEST, np.float32)
    true_N = np.array([True] * FEWEST + [False] * FEWEST)
    (threshold,) = best_thresholds(probabilities_N[:, None], true_N[:, None])
    assert low < threshold <= high
