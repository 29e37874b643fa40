"""Metrics equal scikit-learn's, however the examples arrive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.metrics import ConfusionMatrix
from custom_bert.reports.tables import matrix_lines, score_lines


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 7))
def test_scores_equal_scikit_learns(pairs: list[tuple[int, int]], step: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    true, predicted = np.array(pairs).T
    matrix = ConfusionMatrix(4)
    for i in range(0, len(true), step):
        matrix.add(true[i : i + step], predicted[i : i + step])
    scores = matrix.scores()
    assert scores.accuracy == pytest.approx(sklearn.accuracy_score(true, predicted))
    assert scores.macro_f1 == pytest.approx(sklearn.f1_score(true, predicted, average="macro"))
    assert (scores.counts_CC == sklearn.confusion_matrix(true, predicted, labels=range(4))).all()
    p, r, f, n = sklearn.precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=0)
    for i, one in enumerate(scores.classes):
        assert (one.precision, one.recall, one.f1) == pytest.approx((p[i], r[i], f[i]))
        assert one.support == n[i]


def test_nothing_counted_gives_zeros() -> None:
    scores = ConfusionMatrix(2).scores()
    assert (scores.accuracy, scores.macro_f1, scores.examples) == (0.0, 0.0, 0)


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    confusion = ConfusionMatrix(2)
    confusion.add(np.array([0, 1]), np.array([0, 0]))
    shown = "\n".join(score_lines(confusion.scores(), ["\x1b[31mred", "好"]))
    assert "\x1b" not in shown and r"\x1b[31mred" in shown and "好" in shown


def test_tables_show_every_class_once_and_cut_long_names() -> None:
    matrix = ConfusionMatrix(2)
    matrix.add(np.array([0, 0, 1]), np.array([0, 1, 1]))
    labels = ["a" * 60, "b"]
    lines = score_lines(matrix.scores(), labels)
    assert sum(line.startswith("b ") for line in lines) == 2  # in the table and in the matrix
    assert any("…" in line for line in lines)
    assert "accuracy" in "\n".join(lines) and "0.667" in "\n".join(lines)
    assert matrix_lines(matrix.scores(), labels)[1].split()[-2:] == ["1", "1"]
