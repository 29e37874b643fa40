"""The floor: a linear support vector machine for each class, on n-grams.

Its margins become scores that can be read like the logits of a classifier: they are multiplied by a scale
that is fitted on texts which the machine was not fitted on.

scikit-learn and scipy take a second to import, so they are imported where they are used.

Shapes: N texts, F features, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.floor.ngrams import NGrams

STRENGTH = 0.3
"""C of the machines on words and short n-grams of characters, the best of a search on six sets
(docs/log/0023)."""

STRENGTH_OF_ONE_KIND = 1.0
"""C where texts are long or have no words, and n-grams of one kind are counted."""

HELD_OUT = 0.2
"""The share of the texts that are held out to fit the scale, up to `MOST_HELD_OUT`."""

MOST_HELD_OUT = 5_000

FEW = 50
"""With fewer texts than this the scale is not fitted, and margins are scores as they are."""


@dataclass(frozen=True)
class Floor:
    """A linear model that was fitted.

    Attributes:
        ngrams: turns texts into the rows of a matrix.
        weights_FC: (F, C) float32.
        bias_C: (C,) float32.
        scale, offset: the scores are scale * margin + offset.
        thresholds_C: (C,) float32 the probability from which on each class is given, for sets of classes;
            None where each text has one class.
    """

    ngrams: NGrams
    weights_FC: np.ndarray
    bias_C: np.ndarray
    scale: float = 1.0
    offset: float = 0.0
    thresholds_C: np.ndarray | None = None

    def margins(self, texts: Sequence[str]) -> np.ndarray:
        """Returns (N, C) float32 the distances from the planes between the classes."""
        return np.asarray(self.ngrams.rows(texts) @ self.weights_FC + self.bias_C, dtype=np.float32)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Returns (N, C) float32 scores, to be read like the logits of a classifier."""
        return np.asarray(self.scale * self.margins(texts) + self.offset, dtype=np.float32)


def fit_classes(
    texts: Sequence[str],
    ids_N: np.ndarray,
    num_classes: int,
    *,
    seed: int,
    balanced: bool = False,
    weights_N: np.ndarray | None = None,
) -> Floor:
    """Fits a floor for texts that have one class each.

    Args:
        texts: the training texts.
        ids_N: (N,) the class of each. Every class has to occur.
        num_classes: C.
        seed: decides which texts are held out to fit the scale.
        balanced: whether every class weighs the same.
        weights_N: (N,) how much each text counts; None for 1. They have no part in which n-grams there are,
            nor in how rare these are: those count texts.

    Raises:
        NoFloorError: if the texts have no n-gram.
    """
    ngrams, matrix = NGrams.learn(texts, num_classes)
    strength = _strength(ngrams)
    weights_FC, bias_C = _machines(matrix, ids_N, num_classes, strength, weights_N, balanced=balanced)
    scale = 1.0
    if len(texts) >= FEW:
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(texts))
        count = min(MOST_HELD_OUT, int(HELD_OUT * len(texts)))
        out, others = np.sort(order[:count]), np.sort(order[count:])
        if len(np.unique(ids_N[others])) > 1:
            w_FC, b_C = _machines(
                matrix[others],
                ids_N[others],
                num_classes,
                strength,
                _of(weights_N, others),
                balanced=balanced,
            )
            scale = _scale_of_classes(np.asarray(matrix[out] @ w_FC + b_C), ids_N[out], _of(weights_N, out))
    return Floor(ngrams, weights_FC, bias_C, scale)


def _of(weights_N: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if weights_N is None else np.asarray(weights_N[rows])


def _strength(ngrams: NGrams) -> float:
    return STRENGTH if len(ngrams.parts) > 1 else STRENGTH_OF_ONE_KIND


def _machines(
    matrix: Any,
    ids_N: np.ndarray,
    num_classes: int,
    strength: float,
    weights_N: np.ndarray | None,
    *,
    balanced: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (F, C) weights and (C,) biases of one machine for each class against the others.

    A class that does not occur has no weights and the margin -1.
    """
    machine = _fitted(matrix, ids_N, strength, weights_N, balanced=balanced)
    coef, intercept = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:  # one machine decides between two classes
        coef, intercept = np.concatenate([-coef, coef]), np.concatenate([-intercept, intercept])
    weights_FC = np.zeros((matrix.shape[1], num_classes), dtype=np.float32)
    bias_C = np.full(num_classes, -1.0, dtype=np.float32)
    weights_FC[:, machine.classes_], bias_C[machine.classes_] = coef.T, intercept
    return weights_FC, bias_C


def _fitted(
    matrix: Any, ids_N: np.ndarray, strength: float, weights_N: np.ndarray | None, *, balanced: bool
) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=strength, random_state=0, class_weight="balanced" if balanced else None)
    with warnings.catch_warnings():  # one that has not converged is a floor as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(matrix, ids_N, weights_N)


def _scale_of_classes(margins_NC: np.ndarray, ids_N: np.ndarray, weights_N: np.ndarray | None) -> float:
    """Returns the scale at which the cross-entropy of the classes is lowest."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(ids_N))

    def loss(exponent: float) -> float:
        log_NC = log_softmax(np.exp(exponent) * margins_NC, axis=1)
        return -float(np.average(log_NC[rows, ids_N], weights=weights_N))

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 4.0), method="bounded").x))


def fit_sets(
    texts: Sequence[str],
    hot_NC: np.ndarray,
    held_out: Sequence[str],
    held_out_hot_NC: np.ndarray,
    *,
    balanced: bool = False,
    weights_N: np.ndarray | None = None,
    held_out_weights_N: np.ndarray | None = None,
) -> tuple[Floor, np.ndarray]:
    """Fits a floor for texts that have any number of classes. Its thresholds are left to the caller.

    Args:
        texts: the training texts.
        hot_NC: (N, C) True for each class of each text.
        held_out: texts that are not among the training texts, to fit scale and offset.
        held_out_hot_NC: their classes.
        balanced: whether the presence and the absence of a class weigh the same.
        weights_N: how much each training text counts; None for 1.
        held_out_weights_N: how much each of the held-out texts counts; None for 1.

    Returns:
        The floor, and the (N, C) float32 scores of the held-out texts.

    Raises:
        NoFloorError: if the texts have no n-gram.
    """
    num_classes = hot_NC.shape[1]
    ngrams, matrix = NGrams.learn(texts, num_classes)
    strength = _strength(ngrams)
    weights_FC = np.zeros((matrix.shape[1], num_classes), dtype=np.float32)
    bias_C = np.empty(num_classes, dtype=np.float32)
    for i in range(num_classes):
        present_N = hot_NC[:, i]
        if present_N.all() or not present_N.any():  # nothing to learn: always, or never
            bias_C[i] = 1.0 if present_N.any() else -1.0
            continue
        machine = _fitted(matrix, present_N, strength, weights_N, balanced=balanced)
        weights_FC[:, i], bias_C[i] = machine.coef_[0], machine.intercept_[0]
    floor = Floor(ngrams, weights_FC, bias_C)
    margins_NC = floor.margins(held_out)
    scale, offset = _scale_of_sets(margins_NC, held_out_hot_NC, held_out_weights_N)
    fitted = Floor(ngrams, weights_FC, bias_C, scale, offset)
    return fitted, np.asarray(scale * margins_NC + offset, dtype=np.float32)


RIDGE = 1.0
"""The strength of the ridge regression, scikit-learn's `alpha`."""

MOST_STEPS = 200
"""The most steps of the solver for each number. A regression that has not converged is a floor as well."""


def fit_numbers(texts: Sequence[str], values_NK: np.ndarray, *, weights_N: np.ndarray | None = None) -> Floor:
    """Fits a floor for texts that have numbers: a ridge regression. Its scores are the numbers.

    Args:
        texts: the training texts.
        values_NK: (N, K) the numbers, each with about the standard deviation 1.
        weights_N: how much each text counts; None for 1.

    Raises:
        NoFloorError: if the texts have no n-gram.
    """
    from sklearn.linear_model import Ridge

    ngrams, matrix = NGrams.learn(texts, values_NK.shape[1])
    machine = Ridge(alpha=RIDGE, solver="sparse_cg", max_iter=MOST_STEPS)
    machine.fit(matrix, values_NK, weights_N)
    weights_KF, bias_K = np.atleast_2d(machine.coef_), np.atleast_1d(machine.intercept_)
    return Floor(ngrams, weights_KF.T.astype(np.float32), bias_K.astype(np.float32))


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
