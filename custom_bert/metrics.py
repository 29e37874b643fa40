"""Classification metrics from a confusion matrix that grows batch by batch: memory is C x C, not N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


class ConfusionMatrix:
    """Counts of (true class, predicted class).

    Args:
        num_labels: C.
    """

    def __init__(self, num_labels: int) -> None:
        self.counts_CC = np.zeros((num_labels, num_labels), dtype=np.int64)

    def add(self, true_N: np.ndarray, predicted_N: np.ndarray) -> None:
        """Counts N examples, given as class indices."""
        np.add.at(self.counts_CC, (true_N, predicted_N), 1)

    def scores(self) -> Scores:
        """The metrics of everything counted so far."""
        return Scores.of(self.counts_CC)


@dataclass(frozen=True)
class ClassScores:
    """One class: precision, recall and their harmonic mean as fractions, and its true examples."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """Metrics of a set of predictions, as fractions.

    Attributes:
        accuracy: correct / examples.
        macro_f1: mean F1 of the classes that occur among the true or predicted labels, as
            scikit-learn's f1_score(average="macro").
        examples: how many were counted.
        classes: in label order.
        counts_CC: rows are true classes, columns predicted ones.
    """

    accuracy: float
    macro_f1: float
    examples: int
    classes: tuple[ClassScores, ...]
    counts_CC: np.ndarray

    @staticmethod
    def of(counts_CC: np.ndarray) -> Scores:
        """The metrics of a confusion matrix; a ratio with nothing below it is 0."""
        hits_C = counts_CC.diagonal().astype(np.float64)
        true_C, predicted_C = counts_CC.sum(axis=1), counts_CC.sum(axis=0)
        precision_C = _ratio(hits_C, predicted_C)
        recall_C = _ratio(hits_C, true_C)
        f1_C = _ratio(2 * hits_C, true_C + predicted_C)
        occurs_C = (true_C + predicted_C) > 0
        examples = int(counts_CC.sum())
        return Scores(
            accuracy=float(hits_C.sum() / examples) if examples else 0.0,
            macro_f1=float(f1_C[occurs_C].mean()) if examples else 0.0,
            examples=examples,
            classes=tuple(
                ClassScores(float(p), float(r), float(f), int(n))
                for p, r, f, n in zip(precision_C, recall_C, f1_C, true_C, strict=True)
            ),
            counts_CC=counts_CC.copy(),
        )

    def as_dict(self, labels: list[str]) -> dict[str, Any]:
        """JSON-ready: accuracy, macro_f1, examples, per_class by label, labels, confusion_matrix."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "examples": self.examples,
            "per_class": {label: vars(scores) for label, scores in zip(labels, self.classes, strict=True)},
            "labels": labels,
            "confusion_matrix": self.counts_CC.tolist(),
        }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    out: np.ndarray = np.zeros(len(above))
    np.divide(above, below, out=out, where=below > 0)
    return out
