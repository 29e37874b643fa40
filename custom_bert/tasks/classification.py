"""Classification: each text has one of several classes.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Targets
from custom_bert.config import TrainConfig
from custom_bert.data.label_files import ClassReader, LabelReader
from custom_bert.data.labels import LabelIds
from custom_bert.metrics import ConfusionMatrix, Scores
from custom_bert.ops.losses import balanced_weights, cross_entropy_sum, r_drop_sum, target_weight
from custom_bert.reports.tables import score_lines
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.labelled import LabelledTask
from custom_bert.tasks.task import ALONE, Gathering, Measured, Objective, UnknownLabelError


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of the class of each text.

    Attributes:
        class_weights_C: weight of each class's texts; None for 1.
        label_smoothing: probability that is spread over all classes.
        r_drop: weight of R-Drop's divergence, as the paper has it; 0 for none. Otherwise the batch holds
            each text twice, the copies side by side.
    """

    class_weights_C: Tensor | None = None
    label_smoothing: float = 0.0
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """`output` is logits, (N, C); the targets are (N,) classes."""
        loss = cross_entropy_sum(
            output,
            targets.values,
            class_weights_C=self.class_weights_C,
            label_smoothing=self.label_smoothing,
        )
        if self.r_drop:
            apart = r_drop_sum(output, targets.values, class_weights_C=self.class_weights_C)
            loss = loss + self.r_drop / 2 * apart
        return loss

    def weight(self, targets: Targets) -> Tensor | float:
        """Texts, or the sum of their classes' weights."""
        return target_weight(targets.values, self.class_weights_C)


@dataclass(frozen=True)
class ClassMeasured:
    """An evaluation of a classifier.

    Attributes:
        loss: mean cross-entropy, without weights and smoothing.
        scores: of the predicted classes.
        labels: their names.
    """

    loss: float
    scores: Scores
    labels: tuple[str, ...]

    @property
    def numbers(self) -> dict[str, float]:
        """Accuracy and macro-F1."""
        return {"accuracy": self.scores.accuracy, "macro_f1": self.scores.macro_f1}

    def as_dict(self) -> dict[str, Any]:
        """See `Scores.as_dict`."""
        return self.scores.as_dict(list(self.labels))

    def lines(self) -> list[str]:
        """A row for each class."""
        return score_lines(self.scores, list(self.labels))


class ClassScorer:
    """Counts predicted and true classes; see `tasks.task.Scorer`.

    Args:
        labels: the names of the classes.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels, self._matrix = labels, ConfusionMatrix(len(labels))
        self._loss, self._texts = 0.0, 0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of logits, (N, C), and classes, (N,)."""
        self._loss += float(cross_entropy_sum(outputs, targets.values))
        self._texts += len(targets)
        self._matrix.add(targets.values.cpu().numpy(), outputs.argmax(-1).cpu().numpy())

    def measured(self, gathering: Gathering = ALONE) -> ClassMeasured:
        """What was measured, of all processes."""
        sums = torch.tensor([self._loss, self._texts], dtype=torch.float64)
        loss, texts = gathering.total(sums).tolist()
        of_all = ConfusionMatrix(len(self._labels))
        of_all.add(*gathering.joined(torch.from_numpy(self._matrix.pairs())).numpy().T)
        return ClassMeasured(loss / max(texts, 1), of_all.scores(), self._labels)


@dataclass(frozen=True)
class Prediction:
    """The most probable label of a text.

    Attributes:
        label: as it stood in the label file.
        probability: of that label.
        probabilities: of every label by name, in label order, where they were asked for; otherwise None.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float] | None = None

    def line(self) -> str:
        """Label and probability with a tab between them; with all probabilities such pairs, best first."""
        if self.probabilities is None:
            return f"{self.label}\t{self.probability:.6f}"
        return pairs_line(self.probabilities)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {"label": self.label, "probability": self.probability}
        if self.probabilities is not None:
            found["probabilities"] = dict(self.probabilities)
        return found


def pairs_line(probabilities: Mapping[str, float]) -> str:
    """Labels and probabilities with tabs between them, the most probable first."""
    ordered = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return "\t".join(f"{label}\t{probability:.6f}" for label, probability in ordered)


@dataclass(frozen=True)
class Classification(LabelledTask):
    """One label a text."""

    name: ClassVar[str] = "classification"
    unread: ClassVar[tuple[str, ...]] = ("data.corpus", "data.label_separator")
    measures: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")
    kind: ClassVar[str] = "A text classifier"
    problem_type: ClassVar[str] = "single_label_classification"

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Reads one label a line."""
        return ClassReader()

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: int) -> Objective:
        """See `LabelledTask`."""
        balanced = config.optim.class_weights == "balanced"
        weights_C = balanced_weights(counts_C) if balanced else None
        return CrossEntropy(weights_C, config.optim.label_smoothing, config.optim.r_drop)

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """The measure that `optim.metric` names."""
        return measured.numbers[config.optim.metric]

    def scorer(self, model: nn.Module) -> ClassScorer:
        """See `Task`."""
        return ClassScorer(self.labels)

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """(N, C), the softmax of logits."""
        return torch.from_numpy(outputs_NK).softmax(-1).numpy()

    def predictions(
        self, probabilities_NK: np.ndarray, model: nn.Module, *, every: bool
    ) -> Iterator[Prediction]:
        """The most probable class of each text."""
        best_N, most_N = probabilities_NK.argmax(axis=1), probabilities_NK.max(axis=1)
        for i, (label, probability) in enumerate(zip(best_N.tolist(), most_N.tolist(), strict=True)):
            everything = None
            if every:
                everything = dict(zip(self.labels, probabilities_NK[i].tolist(), strict=True))
            yield Prediction(self.labels[label], probability, everything)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """The class of each label."""
        known = LabelIds(self.labels)
        for i, label in enumerate(lines):
            found = known.get(label)
            if found is None:
                raise UnknownLabelError(i, label)
            yield np.array(found, dtype=np.int64)

    def published(self, model: nn.Module) -> dict[str, Any]:
        """See `Task`."""
        return self.names()

    def results(self, record: Mapping[str, Any]) -> str:
        """See `Task`."""
        validation, texts = record["validation"], record["data"]["val_examples"]
        return (
            f"On {texts:,} validation texts: accuracy {validation['accuracy']:.4f}, macro-F1 "
            f"{validation['macro_f1']:.4f}."
        )
