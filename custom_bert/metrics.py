"""Metrics of classification, from counts of (true class, predicted class) that are added batch by batch.

Only pairs that occur are kept. So memory grows with the number of classes and of such pairs, and never with
the square of the number of classes.

Shapes: N examples, C classes, P pairs that occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

MATRIX_UP_TO = 256
"""The largest number of classes whose confusion matrix is written into records. It has as many cells as there
can be labels (`data.labels.MAX_LABELS`)."""

MOST_CONFUSIONS = 1_000
"""The number of pairs of different classes, the most frequent ones, that records have instead of a larger
matrix."""

MERGED_AT = 1 << 16
"""The least number of examples that are collected before they are sorted into the counts."""


class ConfusionMatrix:
    """Counts pairs of (true class, predicted class).

    Args:
        num_labels: C, the number of classes.
        weighted: whether it adds up weights of examples, which are float64, in the place of counts.
    """

    def __init__(self, num_labels: int, *, weighted: bool = False) -> None:
        self.num_labels = num_labels
        self._type: type = np.float64 if weighted else np.int64
        self._codes_P = np.empty(0, dtype=np.int64)
        """true * C + predicted of each distinct pair, ascending."""
        self._counts_P = np.empty(0, dtype=self._type)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_waiting = 0

    def add(self, true_N: np.ndarray, predicted_N: np.ndarray, times_N: np.ndarray | None = None) -> None:
        """Counts examples.

        Args:
            true_N: (N,) indices of the true classes.
            predicted_N: (N,) indices of the predicted classes.
            times_N: (N,) how often each example counts, or its weight; None for once.
        """
        classes_2N = np.stack([true_N, predicted_N]).astype(np.int64)
        assert not classes_2N.size or 0 <= classes_2N.min() <= classes_2N.max() < self.num_labels
        codes_N = classes_2N[0] * self.num_labels + classes_2N[1]
        self._waiting.append((codes_N, np.ones_like(codes_N) if times_N is None else times_N))
        self._num_waiting += len(codes_N)
        # merging sorts all pairs, a cost that at least as many new examples share
        if self._num_waiting >= max(MERGED_AT, len(self._codes_P)):
            self._merge()

    def _merge(self) -> None:
        codes, counts = zip((self._codes_P, self._counts_P), *self._waiting, strict=True)
        self._codes_P, pair_N = np.unique(np.concatenate(codes), return_inverse=True)
        self._counts_P = np.zeros(len(self._codes_P), dtype=self._type)
        np.add.at(self._counts_P, pair_N, np.concatenate(counts))
        self._waiting, self._num_waiting = [], 0

    def pairs(self) -> np.ndarray:
        """Returns (P, 3) int64, or float64 with weights: true class, predicted class and count of every pair
        that occurs.

        The pairs are in the order of true class, then predicted class.
        """
        self._merge()
        return np.stack([*np.divmod(self._codes_P, self.num_labels), self._counts_P], axis=1)

    def with_pairs(self, pairs_P3: np.ndarray) -> ConfusionMatrix:
        """Returns a matrix of the same kind with other pairs, of which one may occur several times."""
        matrix = ConfusionMatrix(self.num_labels, weighted=self._type is np.float64)
        matrix.add(*pairs_P3.T)
        return matrix

    def scores(self) -> Scores:
        """Returns the metrics of everything that was counted so far."""
        return Scores.of_pairs(self.pairs(), self.num_labels)


@dataclass(frozen=True)
class ClassScores:
    """The metrics of one class, as fractions.

    Attributes:
        precision: the share of the examples with this predicted class that have it as true class.
        recall: the share of the examples with this true class that have it as predicted class.
        f1: the harmonic mean of precision and recall.
        support: the number of examples with this true class.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """The metrics of a set of predictions, as fractions.

    Attributes:
        accuracy: the share of the examples whose class was predicted right.
        macro_f1: the mean F1 of the classes that occur among the true or predicted ones, which equals
            scikit-learn's f1_score(average="macro").
        examples: the number of examples.
        classes: the metrics of each class, in label order.
        pairs_P3: (P, 3) int64: true class, predicted class and count of every pair that occurs, in the order
            of true class, then predicted class.
        counts_CC: (C, C) int64, the same counts as a matrix, with a row for each true class and a column for
            each predicted one. It is made when it is asked for, and for more than 256 classes raises
            ValueError.
    """

    accuracy: float
    macro_f1: float
    examples: int
    classes: tuple[ClassScores, ...]
    pairs_P3: np.ndarray

    @staticmethod
    def of(counts_CC: np.ndarray) -> Scores:
        """Returns the metrics of a (C, C) confusion matrix. A ratio whose divisor is 0 counts as 0."""
        pairs_P2 = np.argwhere(counts_CC)
        counts_P = counts_CC[tuple(pairs_P2.T)]
        return Scores.of_pairs(np.column_stack([pairs_P2, counts_P]).astype(np.int64), len(counts_CC))

    @staticmethod
    def of_pairs(pairs_P3: np.ndarray, num_labels: int) -> Scores:
        """Returns the metrics of the pairs that occur.

        Args:
            pairs_P3: (P, 3) int64: true class, predicted class and count of different pairs, in the order of
                true class, then predicted class. Weights in the place of counts are float64.
            num_labels: C, the number of classes.
        """
        true_P, predicted_P = pairs_P3[:, :2].T.astype(np.int64)
        counts_P = pairs_P3[:, 2]
        right_P = true_P == predicted_P
        hits_C, true_C, predicted_C = (np.zeros(num_labels, dtype=counts_P.dtype) for _ in range(3))
        hits_C[true_P[right_P]] = counts_P[right_P]
        np.add.at(true_C, true_P, counts_P)
        np.add.at(predicted_C, predicted_P, counts_P)
        precision_C = ratio(hits_C, predicted_C)
        recall_C = ratio(hits_C, true_C)
        f1_C = ratio(2 * hits_C, true_C + predicted_C)
        occurs_C = (true_C + predicted_C) > 0
        examples = counts_P.sum().item()
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
        """(C, C) counts, with a row for each true class and a column for each predicted one.

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
        """Returns the rows of `pairs_P3` whose two classes differ, the most frequent first."""
        wrong_Q3 = self.pairs_P3[self.pairs_P3[:, 0] != self.pairs_P3[:, 1]]
        return np.asarray(wrong_Q3[np.argsort(-wrong_Q3[:, 2], kind="stable")])

    def as_dict(self, labels: list[str]) -> dict[str, Any]:
        """Returns accuracy, macro_f1, examples, per_class by label, labels, and confusion_matrix, for JSON.

        With more than 256 classes there is no matrix. Instead, `confusions` has the 1,000 most frequent of
        [true label, predicted label, count], and `confusions_left_out` the number of further such pairs.

        Args:
            labels: the names of the classes, in the order of their indices.
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
    """Returns `above` divided by `below`, element by element; 0 where the divisor is 0."""
    out: np.ndarray = np.zeros(len(above))
    np.divide(above, below, out=out, where=below > 0)
    return out
