"""The floor of texts that have any number of classes: a machine of its own for each class.

Scale and offset of the margins, and thresholds, are fitted on texts that were set aside. scipy takes long to
import, so it is imported where it is used.

Shapes: N texts, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from custom_bert.floor.linear import Floor, fitted_machine, strength_for
from custom_bert.floor.ngrams import NGrams
from custom_bert.label_metrics import best_thresholds


def fit_sets(
    texts: Sequence[str],
    hot_NC: np.ndarray,
    held_out: Sequence[str],
    held_out_hot_NC: np.ndarray,
    *,
    balanced: bool = False,
    class_weights_2C: np.ndarray | None = None,
    weights_N: np.ndarray | None = None,
    held_out_weights_N: np.ndarray | None = None,
) -> Floor:
    """Fits a floor for texts that have any number of classes.

    Args:
        texts: the training texts.
        hot_NC: (N, C) True for each class of each text.
        held_out: texts that are not among the training texts, to fit scale, offset and thresholds.
        held_out_hot_NC: their classes.
        balanced: whether the presence and the absence of a class weigh the same.
        class_weights_2C: (2, C) how much the absence and the presence of each class weigh; None for 1.
        weights_N: how much each training text counts; None for 1.
        held_out_weights_N: how much each of the held-out texts counts; None for 1.

    Raises:
        NoFloorError: if the texts have no n-gram.
    """
    from scipy.special import expit

    num_classes = hot_NC.shape[1]
    ngrams, matrix = NGrams.learn(texts, num_classes)
    strength = strength_for(ngrams)
    weights_FC = np.zeros((matrix.shape[1], num_classes), dtype=np.float32)
    bias_C = np.empty(num_classes, dtype=np.float32)
    for i in range(num_classes):
        present_N = hot_NC[:, i]
        if present_N.all() or not present_N.any():  # nothing to learn: always, or never
            bias_C[i] = 1.0 if present_N.any() else -1.0
            continue
        own_N = weights_N
        if class_weights_2C is not None:
            own_N = class_weights_2C[present_N.astype(int), i] * (1.0 if weights_N is None else weights_N)
        machine = fitted_machine(matrix, present_N, strength, own_N, balanced=balanced)
        weights_FC[:, i], bias_C[i] = machine.coef_[0], machine.intercept_[0]
    floor = Floor(ngrams, weights_FC, bias_C)
    margins_NC = floor.margins(held_out)
    scale, offset = _scale_of_sets(margins_NC, held_out_hot_NC, held_out_weights_N)
    scores_NC = np.asarray(scale * margins_NC + offset, dtype=np.float32)
    thresholds_C = best_thresholds(expit(scores_NC), held_out_hot_NC, held_out_weights_N)
    return Floor(ngrams, weights_FC, bias_C, scale, offset, thresholds_C)


def _scale_of_sets(
    margins_NC: np.ndarray, hot_NC: np.ndarray, weights_N: np.ndarray | None
) -> tuple[float, float]:
    """Returns the scale and the offset at which the binary cross-entropy of all classes is lowest (Platt)."""
    from scipy.optimize import minimize

    signs_NC = np.where(hot_NC, 1.0, -1.0)
    weights_NC = None if weights_N is None else np.broadcast_to(weights_N[:, None], hot_NC.shape)

    def loss(parameters: np.ndarray) -> float:
        scores_NC = np.exp(parameters[0]) * margins_NC + parameters[1]
        return float(np.average(np.logaddexp(0.0, -signs_NC * scores_NC), weights=weights_NC))

    exponent, offset = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return float(np.exp(exponent)), float(offset)
