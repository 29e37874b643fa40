"""The ensemble of a run: its encoder and its floor predict together, by a weighted sum of their scores.

What the floor sees, single words and pieces of words, complements what the encoder sees. The scores of each
are multiplied by a factor, and added. The two factors are fitted on texts that neither side learned from. The
cross-entropy is convex in them, so that there is one best pair. A factor of 0 is possible: then one side
predicts alone.

Where a text has any number of classes, each class is predicted by a threshold. The thresholds of an ensemble
are chosen for its own scores, on the same texts as the factors.

ensemble.json   the two factors and, if there are any, the thresholds, in a run directory

Shapes: N texts, C classes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.label_metrics import best_thresholds

NAME = "ensemble.json"

FORMAT = "custom-bert-ensemble/1"

LARGEST = 1 << 22
"""The most bytes that ensemble.json may have. Each of 65,536 thresholds takes about 25."""

LARGEST_FACTOR = 1e3
"""No factor is larger. With few texts that both predict without a mistake, the best factors are infinite."""


@dataclass(frozen=True)
class Ensemble:
    """How much each side counts.

    Attributes:
        encoder: the factor of the encoder's scores.
        floor: the factor of the floor's scores.
        thresholds_C: (C,) float32, the probability from which on each class is given; None where each text
            has exactly one class.
    """

    encoder: float
    floor: float
    thresholds_C: np.ndarray | None = None

    def scores(self, encoder_NC: np.ndarray, floor_NC: np.ndarray) -> np.ndarray:
        """Returns (N, C) float32 scores, to be read like the logits of a classifier."""
        return np.asarray(self.encoder * encoder_NC + self.floor * floor_NC, dtype=np.float32)

    def record(self) -> dict[str, float]:
        """Returns the factors, for run.json."""
        return {"encoder": self.encoder, "floor": self.floor}


def fit_ensemble(
    encoder_NC: np.ndarray, floor_NC: np.ndarray, ids_N: np.ndarray, weights_N: np.ndarray | None = None
) -> Ensemble:
    """Returns the factors at which the cross-entropy of the classes is lowest.

    Args:
        encoder_NC: the scores of the encoder for texts that it has not learned from.
        floor_NC: the scores of the floor, which has not learned from these texts either.
        ids_N: (N,) the class of each text. There has to be a text.
        weights_N: (N,) how much each text counts; None for the same.
    """
    rows = np.arange(len(ids_N))
    return _fit_softmax(encoder_NC, floor_NC, lambda scores: scores[..., rows, ids_N], weights_N)


def fit_ensemble_of_shares(
    encoder_NC: np.ndarray, floor_NC: np.ndarray, shares_NC: np.ndarray, weights_N: np.ndarray | None = None
) -> Ensemble:
    """Returns the factors at which the cross-entropy of the given distributions is lowest.

    For the other arguments see `fit_ensemble`.

    Args:
        encoder_NC, floor_NC: the scores of the two sides.
        shares_NC: (N, C) the given share of each class.
        weights_N: (N,) how much each text counts.
    """
    return _fit_softmax(encoder_NC, floor_NC, lambda scores: (scores * shares_NC).sum(-1), weights_N)


def _fit_softmax(
    encoder_NC: np.ndarray,
    floor_NC: np.ndarray,
    wanted: Callable[[np.ndarray], np.ndarray],
    weights_N: np.ndarray | None,
) -> Ensemble:
    """Returns the factors at which a cross-entropy is lowest.

    Args:
        encoder_NC, floor_NC: the scores of the two sides.
        wanted: returns (..., N), of numbers (..., N, C), what the given distributions expect of them.
        weights_N: (N,) how much each text counts.
    """
    from scipy.special import log_softmax

    both_2NC = np.stack([encoder_NC, floor_NC]).astype(np.float64)
    wanted_2N = wanted(both_2NC)

    def loss(factors_2: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the mean cross-entropy and its gradient."""
        log_NC = log_softmax(np.tensordot(factors_2, both_2NC, 1), axis=1)
        expected_2N = (np.exp(log_NC) * both_2NC).sum(-1)
        mean = np.average(wanted(log_NC), weights=weights_N)
        return -float(mean), np.average(expected_2N - wanted_2N, axis=-1, weights=weights_N)

    return _with_least(loss)


def fit_ensemble_of_sets(
    encoder_NC: np.ndarray, floor_NC: np.ndarray, hot_NC: np.ndarray, weights_N: np.ndarray | None = None
) -> Ensemble:
    """Returns the factors at which the binary cross-entropy of all classes is lowest, and the thresholds with
    the highest F1 at these factors.

    Args:
        encoder_NC: the scores of the encoder for texts that it has not learned from.
        floor_NC: the scores of the floor, which has not learned from these texts either.
        hot_NC: 1 where a text has a class, else 0. There has to be a text.
        weights_N: (N,) how much each text counts; None for the same.
    """
    from scipy.special import expit

    both_2NC, is_in_NC = np.stack([encoder_NC, floor_NC]).astype(np.float64), hot_NC > 0

    def loss(factors_2: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the mean binary cross-entropy and its gradient."""
        scores_NC = np.tensordot(factors_2, both_2NC, 1)
        loss_N = (np.logaddexp(0.0, scores_NC) - is_in_NC * scores_NC).mean(-1)
        slope_2N = (both_2NC * (expit(scores_NC) - is_in_NC)).mean(-1)
        mean = np.average(loss_N, weights=weights_N)
        return float(mean), np.average(slope_2N, axis=-1, weights=weights_N)

    found = _with_least(loss)
    probabilities_NC = expit(found.scores(encoder_NC, floor_NC))
    return replace(found, thresholds_C=best_thresholds(probabilities_NC, is_in_NC, weights_N))


def _with_least(loss: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> Ensemble:
    """Returns the ensemble with the factors at which a convex loss is lowest.

    Args:
        loss: returns the loss of two factors, and its gradient.
    """
    from scipy.optimize import minimize

    found = minimize(loss, np.ones(2), jac=True, method="L-BFGS-B", bounds=[(0.0, LARGEST_FACTOR)] * 2)
    encoder, floor = (float(factor) for factor in found.x)
    if not encoder and not floor:  # both are worse than chance on these texts: the encoder stays as it is
        encoder = 1.0
    return Ensemble(encoder, floor)


def write_ensemble(run: Path, ensemble: Ensemble) -> None:
    """Writes factors and thresholds into a run directory.

    Raises:
        WriteError: if the system refuses.
    """
    thresholds_C = ensemble.thresholds_C
    thresholds = {} if thresholds_C is None else {"thresholds": thresholds_C.tolist()}
    files.write_json(run / NAME, {"format": FORMAT, **ensemble.record(), **thresholds})


def has_ensemble(run: str | Path) -> bool:
    """Returns whether a run directory has an ensemble."""
    return (Path(run) / NAME).is_file()


def read_ensemble(run: Path, num_classes: int, *, sets: bool) -> Ensemble:
    """Reads factors and thresholds of a run directory.

    Args:
        run: the run directory.
        num_classes: C.
        sets: whether a text has any number of classes, so that there have to be thresholds.

    Raises:
        RunError: if the file is missing or damaged, or of another model.
    """
    path = run / NAME
    try:
        return _ensemble_of(
            files.parse_json(files.read_regular(path, LARGEST)), num_classes if sets else None
        )
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: damaged: {error}; --encoder-only predicts without it") from error


def _ensemble_of(read: Any, num_thresholds: int | None) -> Ensemble:
    """Checks everything that was read. Raises ValueError, KeyError or TypeError if it is not an ensemble."""
    keys = {"format", "encoder", "floor"} | (set() if num_thresholds is None else {"thresholds"})
    if read["format"] != FORMAT or read.keys() != keys:
        raise ValueError(f"not of the format {FORMAT}")
    factors = [read[name] for name in ("encoder", "floor")]
    if not all(type(one) in (int, float) and math.isfinite(one) and one >= 0 for one in factors):
        raise ValueError("a factor is not a number from 0 on")
    if not any(factors):
        raise ValueError("both factors are 0")
    thresholds_C = None
    if num_thresholds is not None:
        thresholds = read["thresholds"]
        if len(thresholds) != num_thresholds or not all(type(one) in (int, float) for one in thresholds):
            raise ValueError(f"expected {num_thresholds:,} thresholds")
        thresholds_C = np.array(thresholds, dtype=np.float32)
        if not np.isfinite(thresholds_C).all():
            raise ValueError("a threshold is not a finite number")
    return Ensemble(float(factors[0]), float(factors[1]), thresholds_C)
