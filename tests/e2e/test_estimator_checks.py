"""scikit-learn's own checks of an estimator. They feed numbers, so a subclass writes each row as a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils import Tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data
from training_runs import TINY

from custom_bert import TextClassifier


class OnNumbers(TextClassifier):
    """Reads a row of numbers as a text with a word for each number. All else is inherited."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TextClassifier:
        return super().fit(self._checked(X, reset=True), y, sample_weight)

    def _texts(self, X: Any) -> list[str]:
        X = X if isinstance(X, list) and X and isinstance(X[0], str) else self._checked(X, reset=False)
        return super()._texts(X)

    def _checked(self, X: Any, *, reset: bool) -> list[str]:
        rows = validate_data(self, X, reset=reset)
        return [" ".join(f"c{i}x{round(2 * value)}" for i, value in enumerate(row)) for row in rows]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.string = tags.input_tags.one_d_array = False
        return tags


CANNOT_HOLD = {
    "check_sample_weight_equivalence_on_dense_data": (
        "it asks for the same model from weights as from repeated rows, to 1e-7; training draws batches, and "
        "other rows are other batches. The loss and its gradients are the same (tests/e2e/test_weights.py)"
    ),
}
"""The checks that fail, with their reasons. docs/how-to/scikit-learn.md has the same list."""

FITTED = {**TINY, "batch.token_budget": 1024, "optim.eval_every": 1000, "optim.embedding_init": "random"}


@parametrize_with_checks(
    [
        OnNumbers(
            init_from="scratch",
            epochs=6,
            lr=1e-2,
            max_length=32,
            floor=False,
            random_state=0,
            settings=FITTED,
        )
    ],
    expected_failed_checks=lambda estimator: CANNOT_HOLD,
)
@pytest.mark.filterwarnings("ignore::custom_bert.errors.CustomBertWarning")
def test_scikit_learns_checks(estimator: TextClassifier, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_the_page_has_the_checks_that_cannot_hold() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "how-to" / "scikit-learn.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in CANNOT_HOLD)
    assert page.count("`check_") == len(CANNOT_HOLD)
