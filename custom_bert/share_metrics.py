"""How good predicted distributions are, for texts that are divided among classes by shares.

Sums are added up batch by batch, so that memory does not grow with the number of texts.

Shapes: N texts, C classes, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15
"""The number of bins of the calibration error, as in Guo et al. 2017 (arXiv 1706.04599)."""


@dataclass(frozen=True)
class CalibrationBin:
    """The texts whose predicted label has a probability within one of `BINS` equal parts of 0 to 1.

    Attributes:
        probability: the mean probability of the predicted labels.
        share: the mean given share of these labels.
        texts: the number of texts.
    """

    probability: float
    share: float
    texts: int


@dataclass(frozen=True)
class ShareScores:
    """How near predicted distributions are to the given ones.

    Attributes:
        divergence: the mean Kullback-Leibler divergence from the given to the predicted distribution, in
            nats: the sum over the classes of share * log(share / probability).
        calibration_error: the mean, over the texts, of how far in their bin the mean probability of the
            predicted labels is from the mean given share of these labels. With one label a text it is the
            expected calibration error.
        tied: the number of texts for which two labels or more have the largest share.
        bins: the bins that have a text, the smallest probability first.
    """

    divergence: float
    calibration_error: float
    tied: int
    bins: tuple[CalibrationBin, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the attributes for JSON, the bins under the name `calibration`."""
        bins = [vars(one) for one in self.bins]
        return {
            "divergence": self.divergence,
            "calibration_error": self.calibration_error,
            "tied": self.tied,
            "calibration": bins,
        }


def majority(shares_NC: np.ndarray, predicted_N: np.ndarray) -> np.ndarray:
    """Returns (N,) the class with the largest share of each text.

    Where several classes share the largest one, any of them is right: it is the predicted one if that is
    among them, and otherwise the first.

    Args:
        shares_NC: (N, C) the given shares.
        predicted_N: (N,) the predicted classes.
    """
    first_N = shares_NC.argmax(axis=1)
    rows = np.arange(len(shares_NC))
    is_right_N = shares_NC[rows, predicted_N] == shares_NC[rows, first_N]
    return np.where(is_right_N, predicted_N, first_N)


class ShareSums:
    """Adds up what the scores are made of, each text with its weight.

    Args:
        array: what `array` of other sums has returned, or several of these added up; None to begin with no
            text.
    """

    def __init__(self, array: np.ndarray | None = None) -> None:
        whole = np.zeros(3 + 3 * BINS) if array is None else array.astype(np.float64)
        # views of one array: the divergence, the weight and the number of tied texts; and, for each bin, the
        # weight, the probabilities and the shares
        self._array, self._sums_3, self._bins_3B = whole, whole[:3], whole[3:].reshape(3, BINS)

    def add(self, log_NC: np.ndarray, shares_NC: np.ndarray, weights_N: np.ndarray | None = None) -> None:
        """Counts texts.

        Args:
            log_NC: (N, C) float64 the logarithms of the predicted probabilities.
            shares_NC: (N, C) the given shares.
            weights_N: (N,) how much each text counts; None for 1.
        """
        weights_N = np.ones(len(log_NC)) if weights_N is None else weights_N
        shares_NC = shares_NC.astype(np.float64)
        with np.errstate(divide="ignore"):
            given_NC = np.where(shares_NC > 0, np.log(shares_NC), 0.0)
        apart_N = (shares_NC * (given_NC - np.where(shares_NC > 0, log_NC, 0.0))).sum(axis=1)
        tied_N = (shares_NC == shares_NC.max(axis=1, keepdims=True)).sum(axis=1) > 1
        self._sums_3 += (apart_N * weights_N).sum(), weights_N.sum(), tied_N.sum()
        rows, predicted_N = np.arange(len(log_NC)), log_NC.argmax(axis=1)
        probability_N, share_N = np.exp(log_NC[rows, predicted_N]), shares_NC[rows, predicted_N]
        bin_N = np.minimum((probability_N * BINS).astype(np.int64), BINS - 1)
        for row, values_N in enumerate((weights_N, weights_N * probability_N, weights_N * share_N)):
            self._bins_3B[row] += np.bincount(bin_N, weights=values_N, minlength=BINS)

    def array(self) -> np.ndarray:
        """Returns everything as one float64 array, so that the sums of several processes can be added."""
        return self._array

    @property
    def weight(self) -> float:
        """The sum of the weights of all texts."""
        return float(self._sums_3[1])

    def scores(self) -> ShareScores:
        """Returns the scores of everything that was counted so far."""
        divergence, weight, tied = self._sums_3.tolist()
        weight = max(weight, np.finfo(np.float64).tiny)
        bins = [
            CalibrationBin(float(probability / mass), float(share / mass), round(float(mass)))
            for mass, probability, share in self._bins_3B.T
            if mass > 0
        ]
        apart = float(np.abs(self._bins_3B[1] - self._bins_3B[2]).sum())
        # rounding may make a divergence of 0 negative
        return ShareScores(max(0.0, divergence / weight), apart / weight, int(tied), tuple(bins))
