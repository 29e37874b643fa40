"""Classification: each text has one of several classes.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.config import TrainConfig
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import ClassReader, LabelReader
from custom_bert.data.labels import LabelIds
from custom_bert.decoding.classes import ClassDecoder
from custom_bert.floor.aside import Fit
from custom_bert.floor.ensemble import Ensemble, fit_ensemble
from custom_bert.floor.linear import fit_classes
from custom_bert.metrics import ConfusionMatrix, Scores
from custom_bert.ops.losses import combined_weights, cross_entropy_sum, r_drop_sum
from custom_bert.reports.tables import score_lines
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import Copies, class_weights
from custom_bert.tasks.labelled import LabelledTask
from custom_bert.tasks.parts import ONE_PROCESS, Gathering, Objective, UnknownLabelError


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of the class of each text. A text's weight is the product of its own and its class's.

    Attributes:
        class_weights_C: the weight of the texts of each class, on the host; None weights every text with 1.
        label_smoothing: the share of the target's probability that is spread over all classes.
        r_drop: the weight of R-Drop's divergence (Liang et al. 2021, arXiv 2106.14448); 0 for none. Otherwise
            the batch holds each text twice, the copies side by side.
    """

    class_weights_C: Tensor | None = None
    label_smoothing: float = 0.0
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum over texts; `output` is (N, C) logits, and the targets are (N,) classes."""
        weights_N = self._weights(targets)
        loss = cross_entropy_sum(
            output, targets.values, weights_N=weights_N, label_smoothing=self.label_smoothing
        )
        if self.r_drop:
            # half, because the paper's divergence is the mean of both directions
            loss = loss + self.r_drop / 2 * r_drop_sum(output, weights_N=weights_N)
        return loss

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns the number of texts, or the sum of their weights."""
        weights_N = self._weights(targets)
        return float(len(targets)) if weights_N is None else weights_N.sum()

    @cached_property
    def _copies(self) -> Copies | None:
        return None if self.class_weights_C is None else Copies(self.class_weights_C)

    def _weights(self, targets: Targets) -> Tensor | None:
        copies = self._copies
        of_classes = None if copies is None else copies.beside(targets.values)[targets.values]
        return combined_weights(of_classes, targets.weights_N)


@dataclass(frozen=True)
class ClassMeasured:
    """The result of evaluating a classifier.

    Attributes:
        loss: the mean cross-entropy of a text, without weights and label smoothing.
        scores: how well the classes were predicted, every text counted once.
        labels: the names of the classes.
        by_weight: the same with each text counted by its weight; None if the texts have no weights.
    """

    loss: float
    scores: Scores
    labels: tuple[str, ...]
    by_weight: Scores | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """Accuracy and macro-F1, as fractions."""
        return _numbers(self.scores)

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The numbers with each text counted by its weight."""
        return self.numbers if self.by_weight is None else _numbers(self.by_weight)

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores with the names of the classes; see `Scores.as_dict` for the keys."""
        return self.scores.as_dict(list(self.labels))

    def lines(self) -> list[str]:
        """Returns a table with a row for each class, and for few classes the confusion matrix."""
        return score_lines(self.scores, list(self.labels))


def _numbers(scores: Scores) -> dict[str, float]:
    return {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}


class ClassScorer:
    """Counts the pairs of true and predicted classes, and where texts have weights also adds these up.

    Args:
        labels: the names of the classes, in the order of the logits.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels, self._matrix = labels, ConfusionMatrix(len(labels))
        self._by_weight = ConfusionMatrix(len(labels), weighted=True)
        self._loss, self._texts = 0.0, 0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of (N, C) logits and (N,) true classes."""
        self._loss += float(cross_entropy_sum(outputs, targets.values))
        self._texts += len(targets)
        true_N, predicted_N = targets.values.cpu().numpy(), self.predicted(outputs)
        self._matrix.add(true_N, predicted_N)
        if targets.weights_N is not None:
            self._by_weight.add(true_N, predicted_N, targets.weights_N.cpu().double().numpy())

    def predicted(self, outputs: Tensor) -> np.ndarray:
        """Returns (N,) the classes that (N, C) logits predict."""
        return np.asarray(outputs.argmax(-1).cpu().numpy())

    def measured(self, gathering: Gathering = ONE_PROCESS) -> ClassMeasured:
        """Returns the result over the batches of all processes."""
        sums = torch.tensor([self._loss, self._texts], dtype=torch.float64)
        loss, texts = gathering.total(sums).tolist()
        # pairs that occur, and not the matrix: with many classes that would be too large to add up
        of_all, by_weight = (
            matrix.with_pairs(gathering.joined(torch.from_numpy(matrix.pairs())).numpy())
            for matrix in (self._matrix, self._by_weight)
        )
        weighted = by_weight.scores() if len(by_weight.pairs()) else None
        return ClassMeasured(loss / max(texts, 1), of_all.scores(), self._labels, weighted)


@dataclass(frozen=True)
class Classification(LabelledTask):
    """The task in which each text has exactly one of the classes."""

    name: ClassVar[str] = "classification"
    unread: ClassVar[tuple[str, ...]] = (
        *("data.corpus", "data.label_separator", "data.label_order", "optim.regression_loss"),
    )
    measures: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    label_sets: ClassVar[bool | None] = False
    contrasts: ClassVar[bool] = True
    card_title: ClassVar[str] = "A text classifier"
    problem_type: ClassVar[str] = "single_label_classification"

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a reader of label files with one label a line."""
        return ClassReader()

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: float) -> Objective:
        """Returns the cross-entropy of the classes, weighted and smoothed as the settings say."""
        weights_C = class_weights(config.optim.class_weights, self.labels, counts_C)
        return CrossEntropy(weights_C, config.optim.label_smoothing, config.optim.r_drop)

    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Fit:
        """Returns a support vector machine for each class against the others."""
        targets, setting = data.train.targets, config.optim.class_weights
        masses_C = torch.from_numpy(targets.masses(len(self.labels)))
        # scikit-learn balances by itself, of the texts that are drawn
        weights_C = None if setting == "balanced" else class_weights(setting, self.labels, masses_C)
        return partial(
            fit_classes,
            list(data.train.texts(rows_N)),
            targets.values(rows_N),
            len(self.labels),
            seed=config.seed,
            balanced=setting == "balanced",
            class_weights_C=None if weights_C is None else weights_C.numpy(),
            weights_N=targets.weights(rows_N),
        )

    def ensemble_of(
        self, encoder_NC: np.ndarray, floor_NC: np.ndarray, values: np.ndarray, weights_N: np.ndarray | None
    ) -> Ensemble:
        """Fits the two factors at which the cross-entropy of the classes is lowest."""
        return fit_ensemble(encoder_NC, floor_NC, values, weights_N)

    def scorer(self, thresholds_C: np.ndarray | None) -> ClassScorer:
        """Returns a scorer that takes the most probable class of each text as predicted."""
        return ClassScorer(self.labels)

    def decoder(self, thresholds_C: np.ndarray | None) -> ClassDecoder:
        """Returns the decoder of the most probable class."""
        return ClassDecoder(self.labels)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Yields the index of the class that each line names."""
        known = LabelIds(self.labels)
        for i, label in enumerate(lines):
            class_id = known.get(label)
            if class_id is None:
                raise UnknownLabelError(i, label)
            yield np.array(class_id, dtype=np.int64)

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns accuracy and macro-F1 on the validation texts, in a sentence."""
        validation, texts = record["validation"], record["data"]["val_examples"]
        return (
            f"On {texts:,} validation texts: accuracy {validation['accuracy']:.4f}, macro-F1 "
            f"{validation['macro_f1']:.4f}."
        )
