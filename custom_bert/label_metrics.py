"""Metrics of texts with any number of labels, from counts that grow batch by batch; and thresholds.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.metrics import ClassScores, ratio

FEWEST = 5
"""Texts with a label that its own threshold needs, at least. Rarer labels take the threshold that serves all
labels together: of a few texts the best one is luck."""


class LabelCounts:
    """Counts of given and true labels.

    Args:
        num_labels: C.

    Attributes:
        counts_3C: (3, C) int64 texts with each label given and true, given, true.
        texts: N so far.
        right: texts whose labels are all right.
    """

    def __init__(self, num_labels: int) -> None:
        self.counts_3C = np.zeros((3, num_labels), dtype=np.int64)
        self.texts = self.right = 0

    def add(self, true_NC: np.ndarray, given_NC: np.ndarray) -> None:
        """Counts N texts, by (N, C) bool."""
        self.counts_3C += [(true_NC & given_NC).sum(0), given_NC.sum(0), true_NC.sum(0)]
        self.right += int((true_NC == given_NC).all(axis=1).sum())
        self.texts += len(true_NC)

    def array(self) -> np.ndarray:
        """All counts in one array of int64, which those of other texts may be added to."""
        return np.concatenate([self.counts_3C.ravel(), [self.texts, self.right]])

    def with_array(self, array: np.ndarray) -> LabelCounts:
        """The counts that `array` has made."""
        found = LabelCounts(self.counts_3C.shape[1])
        found.counts_3C = array[:-2].reshape(3, -1).astype(np.int64)
        found.texts, found.right = (int(count) for count in array[-2:])
        return found

    def scores(self) -> LabelScores:
        """The metrics of everything counted so far."""
        both_C, given_C, true_C = self.counts_3C
        precision_C, recall_C = ratio(both_C, given_C), ratio(both_C, true_C)
        f1_C = ratio(2 * both_C, given_C + true_C)
        both, given, true = (int(count) for count in self.counts_3C.sum(1))
        return LabelScores(
            micro_precision=both / given if given else 0.0,
            micro_recall=both / true if true else 0.0,
            micro_f1=2 * both / (given + true) if given + true else 0.0,
            macro_f1=float(f1_C.mean()),
            exact_match=self.right / self.texts if self.texts else 0.0,
            examples=self.texts,
            classes=tuple(
                map(ClassScores, precision_C.tolist(), recall_C.tolist(), f1_C.tolist(), true_C.tolist())
            ),
        )


@dataclass(frozen=True)
class LabelScores:
    """Metrics of sets of labels, as fractions; a ratio with nothing below it is 0.

    Attributes:
        micro_precision, micro_recall, micro_f1: of all labels of all texts together.
        macro_f1: mean F1 of the classes, as scikit-learn's f1_score(average="macro", zero_division=0).
        exact_match: share of the texts whose labels are all right, scikit-learn's accuracy_score.
        examples: how many texts were counted.
        classes: in label order.
    """

    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_f1: float
    exact_match: float
    examples: int
    classes: tuple[ClassScores, ...]

    def as_dict(self, labels: Sequence[str], thresholds: Sequence[float]) -> dict[str, Any]:
        """JSON-ready: the metrics, and per_class by label, with the threshold of each."""
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


def best_thresholds(probabilities_NC: np.ndarray, true_NC: np.ndarray) -> np.ndarray:
    """(C,) fp32: of each class the threshold with the highest F1 on some texts; of rare classes, the one with
    the highest micro-F1 of all classes.

    Args:
        probabilities_NC: (N, C) fp32; a label is given from its threshold on.
        true_NC: (N, C) bool.
    """
    common = _best(probabilities_NC.ravel(), true_NC.ravel())
    found_C = np.full(true_NC.shape[1], common, dtype=np.float32)
    for index in np.flatnonzero(true_NC.sum(0) >= FEWEST).tolist():
        found_C[index] = _best(probabilities_NC[:, index], true_NC[:, index])
    return found_C


def _best(probabilities_N: np.ndarray, true_N: np.ndarray) -> np.float32:
    """The threshold with the highest F1; 0.5 where nothing is true."""
    if not true_N.any():
        return np.float32(0.5)
    order = np.argsort(-probabilities_N, kind="stable")
    sorted_N = probabilities_N[order].astype(np.float32)
    right_N = np.cumsum(true_N[order])
    f1_N = 2 * right_N / (np.arange(1, len(order) + 1) + right_N[-1])
    below_N = np.append(sorted_N[1:], np.float32(-1))  # nothing is below the last
    f1_N[sorted_N == below_N] = -1  # a threshold cannot part equal probabilities
    last = int(f1_N.argmax())
    below = max(0.0, float(below_N[last]))
    middle = np.float32((float(sorted_N[last]) + below) / 2)
    return middle if middle > below_N[last] else sorted_N[last]
