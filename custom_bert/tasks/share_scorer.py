"""How good predicted distributions over classes are, and the loss that they are learned with.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.metrics import ConfusionMatrix, Scores
from custom_bert.ops.losses import r_drop_sum, soft_cross_entropy_sum
from custom_bert.reports.share_tables import share_lines
from custom_bert.share_metrics import ShareScores, ShareSums, majority
from custom_bert.tasks.class_weights import Copies
from custom_bert.tasks.parts import ONE_PROCESS, Gathering


@dataclass(frozen=True)
class SoftCrossEntropy:
    """Cross-entropy of the given distribution of each text and the predicted one.

    A step divides by the sum of all shares, each times the weights of its class and of its text. So a text
    with one class is learned as in classification, and a divided text as if it stood there once for each of
    its classes, with the share as its weight.

    Attributes:
        class_weights_C: the weight of each class; None for 1.
        label_smoothing: the part of the shares that is spread evenly over all classes.
        r_drop: the weight of R-Drop's divergence; 0 for none. Otherwise the batch holds each text twice, the
            copies side by side.
    """

    class_weights_C: Tensor | None = None
    label_smoothing: float = 0.0
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum over texts; `output` is (N, C) logits, and the targets are (N, C) shares."""
        masses_NC = self._masses(targets)
        loss = soft_cross_entropy_sum(output, masses_NC, label_smoothing=self.label_smoothing)
        if self.r_drop:
            loss = loss + self.r_drop / 2 * r_drop_sum(output, weights_N=masses_NC.sum(-1))
        return loss

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns the number of texts, or the sum of their shares with all weights."""
        if self.class_weights_C is None and targets.weights_N is None:
            return float(len(targets))
        return self._masses(targets).sum()

    @cached_property
    def _copies(self) -> Copies | None:
        return None if self.class_weights_C is None else Copies(self.class_weights_C)

    def _masses(self, targets: Targets) -> Tensor:
        masses_NC = targets.values
        if self._copies is not None:
            masses_NC = masses_NC * self._copies.beside(masses_NC)
        return masses_NC if targets.weights_N is None else masses_NC * targets.weights_N[:, None]


@dataclass(frozen=True)
class SharesMeasured:
    """The result of evaluating a classifier on distributions.

    Attributes:
        loss: the mean cross-entropy of a text, without weights and label smoothing.
        scores: how well the majority labels were predicted, every text counted once.
        shares: how near the predicted distributions are to the given ones.
        labels: the names of the classes.
        by_weight: both with each text counted by its weight; None if the texts have no weights.
    """

    loss: float
    scores: Scores
    shares: ShareScores
    labels: tuple[str, ...]
    by_weight: tuple[Scores, ShareScores] | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """Accuracy and macro-F1 of the majority labels, divergence and calibration error."""
        return _numbers(self.scores, self.shares)

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The numbers with each text counted by its weight."""
        return self.numbers if self.by_weight is None else _numbers(*self.by_weight)

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores with the names of the classes; see `Scores.as_dict` and `ShareScores.as_dict`
        for the keys."""
        return {**self.scores.as_dict(list(self.labels)), **self.shares.as_dict()}

    def lines(self) -> list[str]:
        """Returns a table with a row for each class, and lines about the distributions."""
        return share_lines(self.scores, self.shares, self.labels)


def _numbers(scores: Scores, shares: ShareScores) -> dict[str, float]:
    return {
        "accuracy": scores.accuracy,
        "macro_f1": scores.macro_f1,
        "divergence": shares.divergence,
        "calibration_error": shares.calibration_error,
    }


class ShareScorer:
    """Compares predicted distributions with the given ones, and the most probable class with the majority.

    Args:
        labels: the names of the classes, in the order of the logits.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._matrices = [ConfusionMatrix(len(labels), weighted=weighted) for weighted in (False, True)]
        self._sums = [ShareSums(), ShareSums()]
        self._loss = 0.0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of (N, C) logits and (N, C) given shares."""
        self._loss += float(soft_cross_entropy_sum(outputs.double(), targets.values))
        log_NC = outputs.double().log_softmax(-1).cpu().numpy()
        shares_NC, predicted_N = targets.values.cpu().numpy(), outputs.argmax(-1).cpu().numpy()
        true_N = majority(shares_NC, predicted_N)
        for i, weighted in enumerate((False, True)):
            weights_N = None
            if weighted:
                if targets.weights_N is None:
                    continue
                weights_N = targets.weights_N.cpu().double().numpy()
            self._matrices[i].add(true_N, predicted_N, weights_N)
            self._sums[i].add(log_NC, shares_NC, weights_N)

    def measured(self, gathering: Gathering = ONE_PROCESS) -> SharesMeasured:
        """Returns the result over the batches of all processes."""
        loss = float(gathering.total(torch.tensor([self._loss], dtype=torch.float64)))
        (scores, sums), (weighted, by_weight) = (
            (
                matrix.with_pairs(gathering.joined(torch.from_numpy(matrix.pairs())).numpy()).scores(),
                ShareSums(gathering.total(torch.from_numpy(sums.array())).numpy()),
            )
            for matrix, sums in zip(self._matrices, self._sums, strict=True)
        )
        return SharesMeasured(
            loss / max(1.0, sums.weight),
            scores,
            sums.scores(),
            self._labels,
            (weighted, by_weight.scores()) if by_weight.weight else None,
        )
