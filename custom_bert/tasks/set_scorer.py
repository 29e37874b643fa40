"""How good predicted sets of labels are, for texts with any number of classes.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.label_metrics import LabelCounts, LabelScores
from custom_bert.ops.losses import binary_cross_entropy_sum
from custom_bert.reports.label_tables import label_score_lines
from custom_bert.tasks.parts import ONE_PROCESS, Gathering


@dataclass(frozen=True)
class SetsMeasured:
    """The result of evaluating a multi-label classifier.

    Attributes:
        loss: the mean cross-entropy of a class of a text, without weights and label smoothing.
        scores: how well the sets of labels were predicted, every text counted once.
        labels: the names of the classes.
        thresholds: the threshold of each class.
        by_weight: the scores with each text counted by its weight; None if the texts have no weights.
    """

    loss: float
    scores: LabelScores
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    by_weight: LabelScores | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """Micro- and macro-F1, and the share of texts whose labels are all right."""
        return _numbers(self.scores)

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The numbers with each text counted by its weight."""
        return self.numbers if self.by_weight is None else _numbers(self.by_weight)

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores with names and thresholds; see `LabelScores.as_dict` for the keys."""
        return self.scores.as_dict(self.labels, self.thresholds)

    def lines(self) -> list[str]:
        """Returns a table with a row for each class."""
        return label_score_lines(self.scores, self.labels, self.thresholds)


def _numbers(scores: LabelScores) -> dict[str, float]:
    return {"micro_f1": scores.micro_f1, "macro_f1": scores.macro_f1, "exact_match": scores.exact_match}


class SetScorer:
    """Counts predicted and true labels, and where texts have weights also adds these up.

    Args:
        labels: the names of the classes, in the order of the logits.
        thresholds_C: (C,) the probability from which on each label is predicted.
    """

    def __init__(self, labels: tuple[str, ...], thresholds_C: np.ndarray) -> None:
        self._labels, self._thresholds_C = labels, thresholds_C
        self._counts = LabelCounts(len(labels))
        self._by_weight = LabelCounts(len(labels), weighted=True)
        self._loss = 0.0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of (N, C) logits and (N, C) zeros and ones."""
        self._loss += float(binary_cross_entropy_sum(outputs, targets.values))
        true_NC = targets.values.cpu().numpy() > 0
        predicted_NC = outputs.sigmoid().cpu().numpy() >= self._thresholds_C
        self._counts.add(true_NC, predicted_NC)
        if targets.weights_N is not None:
            self._by_weight.add(true_NC, predicted_NC, targets.weights_N.cpu().double().numpy())

    def measured(self, gathering: Gathering = ONE_PROCESS) -> SetsMeasured:
        """Returns the result over the batches of all processes."""
        loss = float(gathering.total(torch.tensor([self._loss], dtype=torch.float64)))
        counts, by_weight = (
            some.with_array(gathering.total(torch.from_numpy(some.array())).numpy())
            for some in (self._counts, self._by_weight)
        )
        cells = max(1, counts.texts * len(self._labels))
        thresholds = tuple(float(value) for value in self._thresholds_C)
        weighted = by_weight.scores() if by_weight.texts else None
        return SetsMeasured(loss / cells, counts.scores(), self._labels, thresholds, weighted)
