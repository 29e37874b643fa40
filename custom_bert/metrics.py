"""Classification metrics from counts of (true class, predicted class) that grow batch by batch.

Only pairs that occur are kept, so that memory grows with the classes and with the distinct pairs among the
examples, never with the square of the classes. P stands for such pairs, C for classes, N for examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

MATRIX_UP_TO = 256
"""Classes up to which the confusion matrix is written out: it then has no more cells than the largest set
of labels has labels (`data.labels.MAX_LABELS`)."""

MOST_CONFUSIONS = 1_000
"""Pairs of different classes that stand in the place of a larger matrix, the most frequent ones."""

MERGED_AT = 1 << 16
"""Examples that wait, at least, before they are counted together with those before."""


class ConfusionMatrix:
    """Counts of (true class, predicted class).

    Args:
        num_labels: C.
    """

    def __init__(self, num_labels: int) -> None:
        self.num_labels = num_labels
        self._codes_P = np.empty(0, dtype=np.int64)
        """true * C + predicted of each distinct pair, ascending."""
        self._counts_P = np.empty(0, dtype=np.int64)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_waiting = 0

    def add(self, true_N: np.ndarray, predicted_N: np.ndarray, times_N: np.ndarray | None = None) -> None:
        """Counts N examples, given as class indices; `times_N` is how often each counts, once by default."""
        classes_2N = np.stack([true_N, predicted_N]).astype(np.int64)
        assert not classes_2N.size or 0 <= classes_2N.min() <= classes_2N.max() < self.num_labels
        codes_N = classes_2N[0] * self.num_labels + classes_2N[1]
        self._waiting.append((codes_N, np.ones_like(codes_N) if times_N is None else times_N))
        self._num_waiting += len(codes_N)
        # as many as there are pairs, so that sorting costs each example a logarithm
        if self._num_waiting >= max(MERGED_AT, len(self._codes_P)):
            self._merge()

    def _merge(self) -> None:
        codes, counts = zip((self._codes_P, self._counts_P), *self._waiting, strict=True)
        self._codes_P, pair_N = np.unique(np.concatenate(codes), return_inverse=True)
        self._counts_P = np.zeros_like(self._codes_P)
        np.add.at(self._counts_P, pair_N, np.concatenate(counts))
        self._waiting, self._num_waiting = [], 0

    def pairs(self) -> np.ndarray:
        """(P, 3) int64: true class, predicted class and count of every pair that occurs, by true, then
        predicted class."""
        self._merge()
        return np.stack([*np.divmod(self._codes_P, self.num_labels), self._counts_P], axis=1)

    def scores(self) -> Scores:
        """The metrics of everything counted so far."""
        return Scores.of_pairs(self.pairs(), self.num_labels)


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
        pairs_P3: (true class, predicted class, count) of every pair that occurs, by true, then predicted
            class.
        counts_CC: the same as a matrix, whose rows are true classes and columns predicted ones. It is made
            when it is asked for; for more than 256 classes that is a ValueError.
    """

    accuracy: float
    macro_f1: float
    examples: int
    classes: tuple[ClassScores, ...]
    pairs_P3: np.ndarray

    @staticmethod
    def of(counts_CC: np.ndarray) -> Scores:
        """The metrics of a confusion matrix; a ratio with nothing below it is 0."""
        pairs_P2 = np.argwhere(counts_CC)
        counts_P = counts_CC[tuple(pairs_P2.T)]
        return Scores.of_pairs(np.column_stack([pairs_P2, counts_P]).astype(np.int64), len(counts_CC))

    @staticmethod
    def of_pairs(pairs_P3: np.ndarray, num_labels: int) -> Scores:
        """The metrics of distinct pairs and their counts, ordered as in `pairs_P3`."""
        true_P, predicted_P, counts_P = pairs_P3.T
        right_P = true_P == predicted_P
        hits_C, true_C, predicted_C = (np.zeros(num_labels, dtype=np.int64) for _ in range(3))
        hits_C[true_P[right_P]] = counts_P[right_P]
        np.add.at(true_C, true_P, counts_P)
        np.add.at(predicted_C, predicted_P, counts_P)
        precision_C = ratio(hits_C, predicted_C)
        recall_C = ratio(hits_C, true_C)
        f1_C = ratio(2 * hits_C, true_C + predicted_C)
        occurs_C = (true_C + predicted_C) > 0
        examples = int(counts_P.sum())
        return Scores(
            accuracy=float(hits_C.sum() / examples) if examples else 0.0,
            macro_f1=float(f1_C[occurs_C].mean()) if examples else 0.0,
            examples=examples,
            classes=tuple(
                map(ClassScores, precision_C.tolist(), recall_C.tolist(), f1_C.tolist(), true_C.tolist())
            ),
            pairs_P3=pairs_P3,
        )

    @property
    def counts_CC(self) -> np.ndarray:
        """(C, C) counts; rows are true classes, columns predicted ones.

        Raises:
            ValueError: for more than `MATRIX_UP_TO` classes.
        """
        size = len(self.classes)
        if size > MATRIX_UP_TO:
            raise ValueError(
                f"{size:,} classes: a matrix is made of up to {MATRIX_UP_TO}; pairs_P3 has its cells"
            )
        counts_CC = np.zeros((size, size), dtype=np.int64)
        counts_CC[self.pairs_P3[:, 0], self.pairs_P3[:, 1]] = self.pairs_P3[:, 2]
        return counts_CC

    def confusions(self) -> np.ndarray:
        """(Q, 3) pairs of different classes as in `pairs_P3`, the most frequent first."""
        wrong_Q3 = self.pairs_P3[self.pairs_P3[:, 0] != self.pairs_P3[:, 1]]
        return np.asarray(wrong_Q3[np.argsort(-wrong_Q3[:, 2], kind="stable")])

    def as_dict(self, labels: list[str]) -> dict[str, Any]:
        """JSON-ready: accuracy, macro_f1, examples, per_class by label, labels, and confusion_matrix.

        For more than 256 classes there are in the matrix's place `confusions`, the 1,000 most frequent of
        [true label, predicted label, count], and `confusions_left_out`, how many more such pairs there are.
        """
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "examples": self.examples,
            "per_class": {label: vars(scores) for label, scores in zip(labels, self.classes, strict=True)},
            "labels": labels,
            **self._pairs_as_dict(labels),
        }

    def _pairs_as_dict(self, labels: list[str]) -> dict[str, Any]:
        if len(labels) <= MATRIX_UP_TO:
            return {"confusion_matrix": self.counts_CC.tolist()}
        wrong = self.confusions()
        kept = wrong[:MOST_CONFUSIONS].tolist()
        return {
            "confusions": [[labels[true], labels[predicted], count] for true, predicted, count in kept],
            "confusions_left_out": len(wrong) - len(kept),
        }


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotients; 0 where nothing is below."""
    out: np.ndarray = np.zeros(len(above))
    np.divide(above, below, out=out, where=below > 0)
    return out
