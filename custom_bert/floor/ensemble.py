"""The ensemble of a run: its encoder and its floor predict together, by a weighted sum of their scores.

What the floor sees, single words and pieces of words, complements what the encoder sees. The scores of each
are multiplied by a factor, and added. The two factors are fitted on texts that neither side learned from. The
cross-entropy is convex in them, so that there is one best pair. A factor of 0 is possible: then one side
predicts alone.

ensemble.json   the two factors, in a run directory

Shapes: N texts, C classes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert import files
from custom_bert.errors import RunError

NAME = "ensemble.json"

FORMAT = "custom-bert-ensemble/1"

LARGEST = 1 << 16
"""The most bytes that ensemble.json may have."""

LARGEST_FACTOR = 1e3
"""No factor is larger. With few texts that both predict without a mistake, the best factors are infinite."""


@dataclass(frozen=True)
class Ensemble:
    """How much each side counts.

    Attributes:
        encoder: the factor of the encoder's scores.
        floor: the factor of the floor's scores.
    """

    encoder: float
    floor: float

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
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    both_2NC = np.stack([encoder_NC, floor_NC]).astype(np.float64)
    rows = np.arange(len(ids_N))
    right_2N = both_2NC[:, rows, ids_N]

    def loss(factors_2: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the mean cross-entropy and its gradient."""
        log_NC = log_softmax(np.tensordot(factors_2, both_2NC, 1), axis=1)
        expected_2N = (np.exp(log_NC) * both_2NC).sum(-1)
        mean = np.average(log_NC[rows, ids_N], weights=weights_N)
        return -float(mean), np.average(expected_2N - right_2N, axis=-1, weights=weights_N)

    found = minimize(loss, np.ones(2), jac=True, method="L-BFGS-B", bounds=[(0.0, LARGEST_FACTOR)] * 2)
    encoder, floor = (float(factor) for factor in found.x)
    if not encoder and not floor:  # both are worse than chance on these texts: the encoder stays as it is
        encoder = 1.0
    return Ensemble(encoder, floor)


def write_ensemble(run: Path, ensemble: Ensemble) -> None:
    """Writes the factors into a run directory.

    Raises:
        WriteError: if the system refuses.
    """
    files.write_json(run / NAME, {"format": FORMAT, **ensemble.record()})


def has_ensemble(run: str | Path) -> bool:
    """Returns whether a run directory has an ensemble."""
    return (Path(run) / NAME).is_file()


def read_ensemble(run: Path) -> Ensemble:
    """Reads the factors of a run directory.

    Raises:
        RunError: if the file is missing or damaged.
    """
    path = run / NAME
    try:
        return _ensemble_of(files.parse_json(files.read_regular(path, LARGEST)))
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: damaged: {error}; --encoder-only predicts without it") from error


def _ensemble_of(read: Any) -> Ensemble:
    """Checks everything that was read. Raises ValueError, KeyError or TypeError if it is not an ensemble."""
    if read["format"] != FORMAT or read.keys() != {"format", "encoder", "floor"}:
        raise ValueError(f"not of the format {FORMAT}")
    factors = [read[name] for name in ("encoder", "floor")]
    if not all(type(one) in (int, float) and math.isfinite(one) and one >= 0 for one in factors):
        raise ValueError("a factor is not a number from 0 on")
    if not any(factors):
        raise ValueError("both factors are 0")
    return Ensemble(float(factors[0]), float(factors[1]))
