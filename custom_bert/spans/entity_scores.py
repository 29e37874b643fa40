"""How well spans are found: precision, recall and F1 of whole entities, and which types are confused.

A predicted span is right if a true one has the same place and the same type. The scores equal those of
seqeval 1.2.2, whose `mode="strict"` is a comparison with the spans of `SpannedTexts.strict`. Counts of parts
of the texts add up to those of all.

Shapes: X types.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.metrics import ClassScores, ratio
from custom_bert.spans.entity import Span

NO_SPAN = "(none)"
"""The name in records of what stands in the place of a type where the other side has no span."""


class EntityCounts:
    """Counts true and predicted spans.

    Args:
        types: the X types, in order.

    Attributes:
        types: the X types.
        pairs: (X + 1, X + 1) int64: how often a true span of a type (row) was met by a predicted one of some
            type (column). The last column counts the true spans that nothing met, and the last row the
            predicted ones that met nothing. Spans meet if they have the same place, and of those that are
            left over, if they share characters.
        exact: (X, X) int64: those of the pairs that have the same place.
        texts: the number of texts.
        right: the number of texts whose spans are all right, and that have no other.
    """

    def __init__(self, types: Sequence[str]) -> None:
        self.types, size = tuple(types), len(types)
        self._index = {name: i for i, name in enumerate(self.types)}
        self.pairs = np.zeros((size + 1, size + 1), dtype=np.int64)
        self.exact = np.zeros((size, size), dtype=np.int64)
        self.texts = self.right = 0

    def add(self, true: Sequence[Span], predicted: Sequence[Span]) -> None:
        """Counts a text.

        Args:
            true, predicted: its spans. Those of each side do not overlap, and are in order.
        """
        self.texts += 1
        self.right += list(true) == list(predicted)
        none = len(self.types)
        for a, b in met(true, predicted):
            row, column = (
                none if a is None else self._index[a.label],
                none if b is None else self._index[b.label],
            )
            self.pairs[row, column] += 1
            if a is not None and b is not None and (a.start, a.end) == (b.start, b.end):
                self.exact[row, column] += 1

    def array(self) -> np.ndarray:
        """Returns all counts in one int64 array. The sum of such arrays has the counts of all their texts."""
        return np.concatenate([self.pairs.ravel(), self.exact.ravel(), [self.texts, self.right]])

    def with_array(self, array: np.ndarray) -> EntityCounts:
        """Returns the counts that are in an array of the form that `array` returns."""
        counts = EntityCounts(self.types)
        pairs, exact = self.pairs.size, self.exact.size
        counts.pairs = array[:pairs].reshape(self.pairs.shape).astype(np.int64)
        counts.exact = array[pairs : pairs + exact].reshape(self.exact.shape).astype(np.int64)
        counts.texts, counts.right = array[-2:].astype(np.int64).tolist()
        return counts

    def scores(self) -> EntityScores:
        """Returns the metrics of everything that was counted so far."""
        right_X = self.exact.diagonal()
        true_X, predicted_X = self.pairs[:-1].sum(1), self.pairs[:, :-1].sum(0)
        precision_X, recall_X = ratio(right_X, predicted_X), ratio(right_X, true_X)
        # as seqeval does, from the rounded quotients, so that the two agree to the last digit
        f1_X = ratio(2 * precision_X * recall_X, precision_X + recall_X)
        occurs_X = (true_X + predicted_X) > 0
        right, true, predicted = (int(some.sum()) for some in (right_X, true_X, predicted_X))
        precision, recall = right / predicted if predicted else 0.0, right / true if true else 0.0
        return EntityScores(
            types=self.types,
            precision=precision,
            recall=recall,
            f1=2 * precision * recall / (precision + recall) if right else 0.0,
            macro_f1=float(f1_X[occurs_X].mean()) if occurs_X.any() else 0.0,
            by_type=tuple(
                map(ClassScores, precision_X.tolist(), recall_X.tolist(), f1_X.tolist(), true_X.tolist())
            ),
            predicted=tuple(predicted_X.tolist()),
            pairs=self.pairs.copy(),
            exact=self.exact.copy(),
            texts=self.texts,
            exact_match=self.right / self.texts if self.texts else 0.0,
        )


@dataclass(frozen=True)
class EntityScores:
    """The metrics of predicted spans, as fractions. A ratio whose divisor is 0 counts as 0.

    Attributes:
        types: the X types.
        precision: the share of the predicted spans that are right.
        recall: the share of the true spans that were predicted.
        f1: the harmonic mean of precision and recall.
        macro_f1: the mean F1 of the types that occur among true or predicted spans.
        by_type: the metrics of each type; `support` counts its true spans.
        predicted: the number of predicted spans of each type.
        pairs, exact: who met whom; see `EntityCounts`.
        texts: the number of texts.
        exact_match: the share of the texts whose spans are all right, without any other.
    """

    types: tuple[str, ...]
    precision: float
    recall: float
    f1: float
    macro_f1: float
    by_type: tuple[ClassScores, ...]
    predicted: tuple[int, ...]
    pairs: np.ndarray
    exact: np.ndarray
    texts: int
    exact_match: float

    @property
    def entities(self) -> int:
        """The number of true spans."""
        return sum(one.support for one in self.by_type)

    def faults(self) -> dict[str, int]:
        """Returns how many spans went wrong in which way.

        `type`: the place is right and the type is not. `place`: the type is right and the place is not.
        `both`: they share characters, and no more. `missed`: no predicted span met the true one. `spurious`:
        the predicted one met no true span.
        """
        met_XX = self.pairs[:-1, :-1]
        other = met_XX - self.exact
        same_place = int(self.exact.sum() - self.exact.trace())
        same_type = int(other.trace())
        return {
            "type": same_place,
            "place": same_type,
            "both": int(other.sum()) - same_type,
            "missed": int(self.pairs[:-1, -1].sum()),
            "spurious": int(self.pairs[-1, :-1].sum()),
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns the metrics, `per_type`, `faults` and `confusion`, for JSON.

        `confusion` is the matrix of `EntityCounts.pairs`, whose rows and columns are `confusion_labels`.
        """
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "macro_f1": self.macro_f1,
            "exact_match": self.exact_match,
            "examples": self.texts,
            "entities": self.entities,
            "per_type": {
                name: {**vars(one), "predicted": count}
                for name, one, count in zip(self.types, self.by_type, self.predicted, strict=True)
            },
            "faults": self.faults(),
            "confusion_labels": [*self.types, NO_SPAN],
            "confusion": self.pairs.tolist(),
        }


def met(true: Sequence[Span], predicted: Sequence[Span]) -> list[tuple[Span | None, Span | None]]:
    """Returns each true span with the predicted one that it met, and None where there is no other.

    Spans with the same place meet first. Of the others, those meet that share characters, in the order of the
    text, each with one other at most.

    Args:
        true, predicted: the spans of a text. Those of each side do not overlap, and are in order.
    """
    for side in (true, predicted):
        assert all(a.end <= b.start for a, b in itertools.pairwise(side)), "spans overlap"
    at_place = {(span.start, span.end): span for span in predicted}
    exact = [(span, at_place[span.start, span.end]) for span in true if (span.start, span.end) in at_place]
    pairs: list[tuple[Span | None, Span | None]] = list(exact)
    done = {(span.start, span.end) for span, _ in exact}
    rest = [span for span in predicted if (span.start, span.end) not in done]
    at = 0
    for span in true:
        if (span.start, span.end) in done:
            continue
        while at < len(rest) and rest[at].end <= span.start:
            pairs.append((None, rest[at]))
            at += 1
        if at < len(rest) and rest[at].start < span.end:
            pairs.append((span, rest[at]))
            at += 1
        else:
            pairs.append((span, None))
    return [*pairs, *((None, span) for span in rest[at:])]
