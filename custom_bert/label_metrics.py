"""Metrics of multi-label classification, from counts that are added batch by batch; and the thresholds.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.metrics import ClassScores, ratio

FEWEST = 5
"""The least number of texts with a label from which a threshold of its own is chosen. Rarer labels share one
threshold, since the best threshold for a few texts is luck."""


class LabelCounts:
    """Counts predicted and true labels.

    Args:
        num_labels: C, the number of classes.
        weighted: whether it adds up weights of texts, which are float64, in the place of counts.

    Attributes:
        counts_3C: (3, C) int64: for each label the number of texts where it is both predicted and true, where
            it is predicted, and where it is true.
        texts: the number of texts.
        right: the number of texts whose labels are all predicted right.
    """

    def __init__(self, num_labels: int, *, weighted: bool = False) -> None:
        self.counts_3C = np.zeros((3, num_labels), dtype=np.float64 if weighted else np.int64)
        self.texts = self.right = self.counts_3C.sum().item()

    def add(self, true_NC: np.ndarray, predicted_NC: np.ndarray, weights_N: np.ndarray | None = None) -> None:
        """Counts texts.

        Args:
            true_NC: (N, C) bool, whether each text has each label.
            predicted_NC: (N, C) bool, whether it is predicted to have it.
            weights_N: (N,) the weight of each text; None for 1.
        """
        times_N = np.ones(len(true_NC), dtype=np.int64) if weights_N is None else weights_N
        right_N = (true_NC == predicted_NC).all(axis=1)
        self.counts_3C += [times_N @ (true_NC & predicted_NC), times_N @ predicted_NC, times_N @ true_NC]
        self.right += (times_N @ right_N).item()
        self.texts += times_N.sum().item()

    def array(self) -> np.ndarray:
        """Returns all counts in one int64 array. The sum of such arrays has the counts of all their texts."""
        return np.concatenate([self.counts_3C.ravel(), [self.texts, self.right]])

    def with_array(self, array: np.ndarray) -> LabelCounts:
        """Returns the counts that are in an array of the form that `array` returns."""
        counts = LabelCounts(self.counts_3C.shape[1])
        counts.counts_3C = array[:-2].reshape(3, -1).astype(self.counts_3C.dtype)
        counts.texts, counts.right = array[-2:].tolist()
        return counts

    def scores(self) -> LabelScores:
        """Returns the metrics of everything that was counted so far."""
        both_C, predicted_C, true_C = self.counts_3C
        precision_C, recall_C = ratio(both_C, predicted_C), ratio(both_C, true_C)
        f1_C = ratio(2 * both_C, predicted_C + true_C)
        both, predicted, true = self.counts_3C.sum(1).tolist()
        return LabelScores(
            micro_precision=both / predicted if predicted else 0.0,
            micro_recall=both / true if true else 0.0,
            micro_f1=2 * both / (predicted + true) if predicted + true else 0.0,
            macro_f1=float(f1_C.mean()),
            exact_match=self.right / self.texts if self.texts else 0.0,
            examples=self.texts,
            classes=tuple(
                map(ClassScores, precision_C.tolist(), recall_C.tolist(), f1_C.tolist(), true_C.tolist())
            ),
        )


@dataclass(frozen=True)
class LabelScores:
    """The metrics of predicted sets of labels, as fractions. A ratio whose divisor is 0 counts as 0.

    Attributes:
        micro_precision, micro_recall, micro_f1: the metrics of all decisions about all labels together.
        macro_f1: the mean F1 of the classes, which equals scikit-learn's f1_score(average="macro",
            zero_division=0).
        exact_match: the share of the texts whose labels are all predicted right, which equals scikit-learn's
            accuracy_score.
        examples: the number of texts.
        classes: the metrics of each class, in label order.
    """

    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_f1: float
    exact_match: float
    examples: int
    classes: tuple[ClassScores, ...]

    def as_dict(self, labels: Sequence[str], thresholds: Sequence[float]) -> dict[str, Any]:
        """Returns the metrics, and per_class by label with the threshold of each, for JSON.

        Args:
            labels: the names of the classes, in the order of their indices.
            thresholds: the threshold of each class.
        """
        rows = zip(labels, self.classes, thresholds, strict=True)
        return {
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "exact_match": self.exact_match,
            "micro_precision": self.micro_precision,
            "micro_recall": self.micro_recall,
            "examples": self.examples,
            "per_class": {
                label: {**vars(scores), "threshold": threshold} for label, scores, threshold in rows
            },
            "labels": list(labels),
        }


def best_thresholds(
    probabilities_NC: np.ndarray, true_NC: np.ndarray, weights_N: np.ndarray | None = None
) -> np.ndarray:
    """Returns (C,) fp32: for each class the threshold with the highest F1 on some texts.

    Classes with fewer than `FEWEST` true texts share the threshold with the highest micro-F1 of all classes.

    Args:
        probabilities_NC: (N, C) fp32. A label is predicted if its probability is at least its threshold.
        true_NC: (N, C) bool, whether each text has each label.
        weights_N: (N,) how much each text counts in F1, above 0; None for 1. `FEWEST` counts texts all the
            same: a weight does not make one text more reliable.
    """
    weights_N = np.ones(len(true_NC)) if weights_N is None else weights_N.astype(np.float64)
    common = _best(probabilities_NC.ravel(), true_NC.ravel(), np.repeat(weights_N, true_NC.shape[1]))
    thresholds_C = np.full(true_NC.shape[1], common, dtype=np.float32)
    for index in np.flatnonzero(true_NC.sum(0) >= FEWEST).tolist():
        thresholds_C[index] = _best(probabilities_NC[:, index], true_NC[:, index], weights_N)
    return thresholds_C


def _best(probabilities_N: np.ndarray, true_N: np.ndarray, weights_N: np.ndarray) -> np.float32:
    """Returns the threshold with the highest F1, half way to the next lower probability; 0.5 if none is true.

    All thresholds are tried in one pass over falling probabilities: with the first n examples predicted, F1
    is 2 x (true ones among them) / (n + all true ones).
    """
    if not true_N.any():
        return np.float32(0.5)
    order = np.argsort(-probabilities_N, kind="stable")
    sorted_N = probabilities_N[order].astype(np.float32)
    right_N = np.cumsum(true_N[order] * weights_N[order])
    f1_N = 2 * right_N / (np.cumsum(weights_N[order]) + right_N[-1])
    below_N = np.append(sorted_N[1:], np.float32(-1))  # nothing is below the last
    f1_N[sorted_N == below_N] = -1  # no threshold is between two equal probabilities
    last = int(f1_N.argmax())
    below = max(0.0, float(below_N[last]))
    # between two neighbouring floats there is none, and rounding may give the lower one
    middle = np.float32((float(sorted_N[last]) + below) / 2)
    return middle if middle > below_N[last] else sorted_N[last]
