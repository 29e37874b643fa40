"""The floor: a linear support vector machine for each class, on n-grams.

Its margins become scores that can be read like the logits of a classifier: they are multiplied by a scale
that is fitted on texts which the machine was not fitted on.

scikit-learn and scipy take a second to import, so they are imported where they are used.

Shapes: N texts, F features, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from custom_bert.floor.ngrams import NGrams, NoFloorError

STRENGTH = 0.3
"""C of the machines on words and short n-grams of characters, the best of a search on six sets
(docs/log/0023)."""

STRENGTH_OF_ONE_KIND = 1.0
"""C where texts are long or have no words, and n-grams of one kind are counted."""

HELD_OUT = 0.2
"""The share of the texts that are held out to fit the scale, up to `MOST_HELD_OUT`."""

MOST_HELD_OUT = 5_000

CHUNK = 4096
"""The number of texts that are scored at a time."""

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

    def scored(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Yields (n, C) float32 scores of `CHUNK` texts at a time."""
        iterator = iter(texts)
        while chunk := list(islice(iterator, CHUNK)):
            yield self.scores(chunk)


@dataclass(frozen=True)
class _Examples:
    """What the machines for classes are fitted on: texts with one class each. A text may stand there several
    times, with other classes and weights.

    Attributes:
        rows_E: (E,) the text of each example, ascending; None if these are all texts, once each.
        ids_E: (E,) the class of each.
        weights_E: (E,) how much each counts; None for 1.
    """

    rows_E: np.ndarray | None
    ids_E: np.ndarray
    weights_E: np.ndarray | None

    def of_texts(self, chosen: np.ndarray) -> _Examples:
        """Returns the examples of some texts, by the indices of these, ascending."""
        rows_E = np.arange(len(self.ids_E)) if self.rows_E is None else self.rows_E
        kept = np.flatnonzero(np.isin(rows_E, chosen))
        return _Examples(rows_E[kept], self.ids_E[kept], _of(self.weights_E, kept))

    def matrix(self, matrix_NF: Any) -> Any:
        """Returns (E, F) the rows of the examples, from those of the texts."""
        return matrix_NF if self.rows_E is None else matrix_NF[self.rows_E]


def fit_classes(
    texts: Sequence[str],
    ids_N: np.ndarray,
    num_classes: int,
    *,
    seed: int,
    balanced: bool = False,
    class_weights_C: np.ndarray | None = None,
    weights_N: np.ndarray | None = None,
) -> Floor:
    """Fits a floor for texts that have one class each.

    Args:
        texts: the training texts.
        ids_N: (N,) the class of each. Every class has to occur.
        num_classes: C.
        seed: decides which texts are held out to fit the scale.
        balanced: whether every class weighs the same.
        class_weights_C: (C,) how much the texts of each class weigh; None for 1. liblinear's own weights of
            classes would count only where a class is the one against the others.
        weights_N: (N,) how much each text counts; None for 1. They have no part in which n-grams there are,
            nor in how rare these are: those count texts.

    Raises:
        NoFloorError: if the texts have no n-gram.
    """
    examples = _Examples(None, ids_N, weights_N)
    return _fit(texts, examples, num_classes, class_weights_C, seed=seed, balanced=balanced)


LEAST_SHARE = 0.01
"""A floor leaves out smaller shares. A model that gives every class a little would otherwise make as many
examples of a text as there are classes."""


def fit_shares(
    texts: Sequence[str],
    shares_NC: np.ndarray,
    *,
    seed: int,
    class_weights_C: np.ndarray | None = None,
    weights_N: np.ndarray | None = None,
) -> Floor:
    """Fits a floor for texts that are divided among classes. Each text is learned once for each class with at
    least `LEAST_SHARE` of it, with the share as its weight.

    For the further arguments and what is raised see `fit_classes`.

    Args:
        texts: the training texts.
        shares_NC: (N, C) the share of each class.

    Raises:
        NoFloorError: if only one class has a share that counts, too.
    """
    rows_E, ids_E = np.nonzero(shares_NC >= LEAST_SHARE)
    weights_E = shares_NC[rows_E, ids_E].astype(np.float64)
    if weights_N is not None:
        weights_E *= weights_N[rows_E]
    if len(np.unique(ids_E)) < 2:
        raise NoFloorError(f"all shares of {LEAST_SHARE} and more are those of one label")
    examples = _Examples(rows_E, ids_E, weights_E)
    return _fit(texts, examples, shares_NC.shape[1], class_weights_C, seed=seed, balanced=False)


def _fit(
    texts: Sequence[str],
    examples: _Examples,
    num_classes: int,
    class_weights_C: np.ndarray | None,
    *,
    seed: int,
    balanced: bool,
) -> Floor:
    """Fits the machines, and their scale on texts that are held out from others."""
    ngrams, matrix = NGrams.learn(texts, num_classes)
    machines = partial(
        _machines,
        num_classes=num_classes,
        strength=strength_for(ngrams),
        class_weights_C=class_weights_C,
        balanced=balanced,
    )
    weights_FC, bias_C = machines(examples.matrix(matrix), examples)
    scale = 1.0
    if len(texts) >= FEW:
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(texts))
        count = min(MOST_HELD_OUT, int(HELD_OUT * len(texts)))
        out, others = (examples.of_texts(np.sort(some)) for some in (order[:count], order[count:]))
        if len(np.unique(others.ids_E)) > 1:
            w_FC, b_C = machines(others.matrix(matrix), others)
            margins_EC = np.asarray(out.matrix(matrix) @ w_FC + b_C)
            scale = _scale_of_classes(margins_EC, out.ids_E, out.weights_E)
    return Floor(ngrams, weights_FC, bias_C, scale)


def _of(weights_N: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if weights_N is None else np.asarray(weights_N[rows])


def strength_for(ngrams: NGrams) -> float:
    """Returns C of the machines, which goes by the kinds of n-grams."""
    return STRENGTH if len(ngrams.parts) > 1 else STRENGTH_OF_ONE_KIND


def _machines(
    matrix: Any,
    examples: _Examples,
    *,
    num_classes: int,
    strength: float,
    class_weights_C: np.ndarray | None,
    balanced: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (F, C) weights and (C,) biases of one machine for each class against the others.

    A class that does not occur has no weights and the margin -1.
    """
    weights_E = examples.weights_E
    if class_weights_C is not None:
        weights_E = class_weights_C[examples.ids_E] * (1.0 if weights_E is None else weights_E)
    machine = fitted_machine(matrix, examples.ids_E, strength, weights_E, balanced=balanced)
    coef, intercept = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:  # one machine decides between two classes
        coef, intercept = np.concatenate([-coef, coef]), np.concatenate([-intercept, intercept])
    weights_FC = np.zeros((matrix.shape[1], num_classes), dtype=np.float32)
    bias_C = np.full(num_classes, -1.0, dtype=np.float32)
    weights_FC[:, machine.classes_], bias_C[machine.classes_] = coef.T, intercept
    return weights_FC, bias_C


def fitted_machine(
    matrix: Any, ids_N: np.ndarray, strength: float, weights_N: np.ndarray | None, *, balanced: bool
) -> Any:
    """Returns a fitted machine.

    Args:
        matrix: (N, F) the rows of the texts.
        ids_N: (N,) the class of each.
        strength: C of the machine.
        weights_N: (N,) how much each text counts; None for 1.
        balanced: whether scikit-learn balances the classes.
    """
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
