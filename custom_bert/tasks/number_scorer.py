"""Collects true and predicted numbers, and measures them together.

Shapes: N texts, K numbers of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.number_metrics import NumberScores
from custom_bert.reports.number_tables import number_lines
from custom_bert.tasks.parts import ONE_PROCESS, Gathering


@dataclass(frozen=True)
class NumbersMeasured:
    """The result of evaluating predicted numbers.

    Attributes:
        loss: the mean squared error of a number, on the scale on which the training numbers have the standard
            deviation 1.
        scores: how good the numbers are, every text counted once.
        by_weight: the same with each text counted by its weight; None if the texts have no weights.
    """

    loss: float
    scores: NumberScores
    by_weight: NumberScores | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """R2, errors and correlations."""
        return self.scores.numbers

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The numbers with each text counted by its weight."""
        return (self.by_weight or self.scores).numbers

    def as_dict(self) -> dict[str, Any]:
        """Returns the measures with their intervals, and those of each of several numbers."""
        return self.scores.as_dict()

    def lines(self) -> list[str]:
        """Returns a table with a row for each number, and the intervals."""
        return number_lines(self.scores)


class NumberScorer:
    """Collects numbers.

    Args:
        mean_K: (K,) float64 the mean of the training numbers.
        std_K: (K,) float64 their standard deviation.
    """

    def __init__(self, mean_K: np.ndarray, std_K: np.ndarray) -> None:
        self._mean_K, self._std_K = mean_K, std_K
        self._rows: list[np.ndarray] = []
        self._weighted = False

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of (N, K) outputs on the scale of the training numbers, and (N, K) true numbers."""
        predicted_NK = outputs.double().cpu().numpy() * self._std_K + self._mean_K
        weights_N = torch.ones(len(targets)) if targets.weights_N is None else targets.weights_N.cpu()
        self._weighted |= targets.weights_N is not None
        true_NK = targets.values.double().cpu().numpy()
        self._rows.append(np.column_stack([true_NK, predicted_NK, weights_N.double().numpy()]))

    def measured(self, gathering: Gathering = ONE_PROCESS) -> NumbersMeasured:
        """Returns the result over the batches of all processes."""
        outputs = len(self._mean_K)
        own = np.concatenate([np.empty((0, 2 * outputs + 1)), *self._rows])
        rows = gathering.joined(torch.from_numpy(own)).numpy()
        rows = rows[np.lexsort(rows.T)]  # so that sums do not depend on how the texts were batched
        true_NK, predicted_NK, weights_N = rows[:, :outputs], rows[:, outputs:-1], rows[:, -1]
        loss = float((((predicted_NK - true_NK) / self._std_K) ** 2).mean())
        weighted = bool(gathering.total(torch.tensor([float(self._weighted)])) > 0)
        by_weight = NumberScores(true_NK, predicted_NK, weights_N) if weighted else None
        return NumbersMeasured(loss, NumberScores(true_NK, predicted_NK), by_weight)
