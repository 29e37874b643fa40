"""How good predicted ranks are: what `metrics` measures of classes, and how far off the predictions are.

Shapes: C ranks, P pairs that occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.metrics import Scores


@dataclass(frozen=True)
class RankScores(Scores):
    """The metrics of classes that have an order, from the lowest to the highest."""

    @staticmethod
    def of_classes(scores: Scores) -> RankScores:
        """Returns the metrics of the same pairs of true and predicted classes."""
        return RankScores(**vars(scores))

    @property
    def kappa(self) -> float:
        """Cohen's kappa with quadratic weights, as scikit-learn's cohen_kappa_score with `quadratic`: 1 minus
        the mean squared distance of the ranks, divided by what it would be if predictions were dealt out at
        random (Cohen 1968). 0 where all true and predicted ranks are one rank."""
        true_P, predicted_P, counts_P = self._parts()
        total = counts_P.sum()
        # of two independent ranks: E(x - y)^2 = E x^2 + E y^2 - 2 E x E y, without a matrix of all pairs
        observed = counts_P @ (true_P - predicted_P) ** 2
        squares, sums = (
            counts_P @ (true_P**2 + predicted_P**2),
            (counts_P @ true_P) * (counts_P @ predicted_P),
        )
        expected = total * squares - 2 * sums
        return float(1 - total * observed / expected) if expected > 0 else 0.0

    @property
    def mae_ranks(self) -> float:
        """The mean number of ranks between the true and the predicted one."""
        true_P, predicted_P, counts_P = self._parts()
        return float(counts_P @ np.abs(true_P - predicted_P)) / (float(counts_P.sum()) or 1.0)

    @property
    def adjacent_accuracy(self) -> float:
        """The share of the examples whose predicted rank is the true one or next to it."""
        true_P, predicted_P, counts_P = self._parts()
        near = counts_P[np.abs(true_P - predicted_P) <= 1].sum()
        return float(near) / (float(counts_P.sum()) or 1.0)

    @property
    def numbers(self) -> dict[str, float]:
        """The measures by their keys in records."""
        return {
            "kappa": self.kappa,
            "accuracy": self.accuracy,
            "adjacent_accuracy": self.adjacent_accuracy,
            "mae_ranks": self.mae_ranks,
            "macro_f1": self.macro_f1,
        }

    def as_dict(self, labels: list[str]) -> dict[str, Any]:
        """Returns what `Scores.as_dict` returns, and the measures of ranks."""
        return {**self.numbers, **super().as_dict(labels)}

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the true rank, the predicted rank and the count of each pair, in float64."""
        true_P, predicted_P, counts_P = self.pairs_P3.T.astype(np.float64)
        return true_P, predicted_P, counts_P
