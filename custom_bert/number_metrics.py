"""How good predicted numbers are: R2, errors and correlations, with intervals from resampled texts.

With several numbers a text, each is measured by itself, and the mean over them stands for all.

Shapes: N texts, K numbers of a text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

MEASURES = ("r2", "mae", "rmse", "pearson", "spearman")
"""The keys of the measures, in the order in which tables show them."""

RESAMPLES = 1_000
"""The number of times that texts are drawn for an interval."""

DRAWN = 2_000
"""The most texts of a resample. Of more texts, this many are drawn each time, and the interval is made
narrower by the square root of their share."""

CELLS = 4_000
"""The most numbers of a resample, which bounds the time where texts have several numbers. All in all it is a
second or two."""

CHUNK = 1 << 18
"""The most numbers that are drawn at a time, which bounds the memory."""

LEVEL = 0.95
"""The share of the resamples that an interval holds."""


@dataclass(frozen=True, eq=False)
class NumberScores:
    """How good predicted numbers are. Errors are in the user's unit.

    Attributes:
        true_NK, predicted_NK: (N, K) float64 the true and the predicted numbers.
        weights_N: (N,) how much each text counts; None for the same.
    """

    true_NK: np.ndarray
    predicted_NK: np.ndarray
    weights_N: np.ndarray | None = None

    @property
    def examples(self) -> int:
        """N, the number of texts."""
        return len(self.true_NK)

    @cached_property
    def outputs(self) -> tuple[dict[str, float], ...]:
        """The measures of each of the K numbers, by their keys."""
        found = of_each(self.true_NK, self.predicted_NK, self.weights_N)
        return tuple(
            dict(zip(MEASURES, column, strict=True))
            for column in zip(*(found[key].tolist() for key in MEASURES), strict=True)
        )

    @property
    def numbers(self) -> dict[str, float]:
        """The measures by their keys, as the mean over the K numbers."""
        return {key: math.fsum(one[key] for one in self.outputs) / len(self.outputs) for key in MEASURES}

    @property
    def r2(self) -> float:
        """The coefficient of determination, as scikit-learn's r2_score. It is below 0 where the mean of the
        true numbers would be a better prediction."""
        return self.numbers["r2"]

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        return self.numbers["mae"]

    @property
    def rmse(self) -> float:
        """The root of the mean squared error."""
        return self.numbers["rmse"]

    @property
    def pearson(self) -> float:
        """Pearson's correlation, as scipy's pearsonr; 0 where all numbers of a side are equal."""
        return self.numbers["pearson"]

    @property
    def spearman(self) -> float:
        """Spearman's correlation of the ranks, as scipy's spearmanr; 0 where all numbers of a side are
        equal."""
        return self.numbers["spearman"]

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """The lower and the upper end of an interval of 95 % for each measure, by its key.

        Texts are drawn 1,000 times with replacement, with a fixed seed, so that the same predictions have the
        same intervals (Efron and Tibshirani 1993, percentile bootstrap). Every text counts once.
        """
        texts, outputs = self.true_NK.shape
        if texts < 2:
            return {key: (value, value) for key, value in self.numbers.items()}
        draw = np.random.Generator(np.random.PCG64(0))
        count = min(texts, DRAWN, max(30, CELLS // outputs))
        found = np.empty((len(MEASURES), RESAMPLES))
        at_once = max(1, CHUNK // (count * outputs))
        for start in range(0, RESAMPLES, at_once):
            rows_nR = draw.integers(texts, size=(count, min(at_once, RESAMPLES - start)))
            # the numbers of each resample are columns of their own
            columns = (side_NK[rows_nR].reshape(count, -1) for side_NK in (self.true_NK, self.predicted_NK))
            each = of_each(*columns)
            for i, key in enumerate(MEASURES):
                found[i, start : start + at_once] = each[key].reshape(-1, outputs).mean(1)
        ends = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
        if count < texts:
            center = np.array([self.numbers[key] for key in MEASURES])
            ends = center + (ends - center) * math.sqrt(count / texts)
        return {key: (low, high) for key, low, high in zip(MEASURES, *ends.tolist(), strict=True)}

    def as_dict(self) -> dict[str, Any]:
        """Returns the measures, their intervals, and those of each of the K numbers, for JSON."""
        return {
            **self.numbers,
            "examples": self.examples,
            "intervals": {key: list(ends) for key, ends in self.intervals.items()},
            "per_output": list(self.outputs),
        }


def of_each(
    true_NK: np.ndarray, predicted_NK: np.ndarray, weights_N: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Returns (K,) every measure of each of the K numbers, by its key.

    Args:
        true_NK: (N, K) float64 the true numbers.
        predicted_NK: (N, K) float64 the predicted ones.
        weights_N: (N,) how much each text counts; None for 1. Ranks are those of the texts without weights.
    """
    from scipy.stats import rankdata

    error_NK = predicted_NK - true_NK
    squared_K = _mean(error_NK**2, weights_N)
    variance_K = _mean((true_NK - _mean(true_NK, weights_N)) ** 2, weights_N)
    # of equal true numbers only a prediction without an error is worth anything, as in scikit-learn
    constant_K = np.where(squared_K > 0, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2_K = np.where(variance_K > 0, 1 - squared_K / variance_K, constant_K)
    return {
        "r2": r2_K,
        "mae": _mean(np.abs(error_NK), weights_N),
        "rmse": np.sqrt(squared_K),
        "pearson": correlation(true_NK, predicted_NK, weights_N),
        "spearman": correlation(rankdata(true_NK, axis=0), rankdata(predicted_NK, axis=0), weights_N),
    }


def correlation(x_NK: np.ndarray, y_NK: np.ndarray, weights_N: np.ndarray | None = None) -> np.ndarray:
    """Returns (K,) Pearson's correlation of each column; 0 where a column is constant."""
    x_NK, y_NK = x_NK - _mean(x_NK, weights_N), y_NK - _mean(y_NK, weights_N)
    both_K, of_x_K, of_y_K = (_mean(product, weights_N) for product in (x_NK * y_NK, x_NK**2, y_NK**2))
    sizes_K = np.sqrt(of_x_K) * np.sqrt(of_y_K)
    out_K: np.ndarray = np.zeros(len(sizes_K))
    np.divide(both_K, sizes_K, out=out_K, where=sizes_K > 0)
    return np.asarray(np.clip(out_K, -1.0, 1.0))


def _mean(x_NK: np.ndarray, weights_N: np.ndarray | None) -> np.ndarray:
    if weights_N is None:
        return np.asarray(x_NK.mean(0))
    return np.asarray(np.average(x_NK, axis=0, weights=weights_N))
