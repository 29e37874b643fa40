"""Multi-label classification: each text has any number of classes, or none.

Each class is a question of its own, answered by a sigmoid and a threshold. Thresholds are chosen after each
evaluation, on lines that were set aside from the training lines: never on those that are reported.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Targets
from custom_bert.config import TrainConfig
from custom_bert.data.label_files import LabelReader, SetReader, split_labels
from custom_bert.data.labels import LabelIds
from custom_bert.data.source import Source
from custom_bert.errors import RunError, shown
from custom_bert.label_metrics import LabelCounts, LabelScores, best_thresholds
from custom_bert.models.heads import SequenceClassifier, ThresholdClassifier
from custom_bert.ops.losses import balanced_binary_weights, binary_cross_entropy_sum, binary_r_drop_sum
from custom_bert.presets import EncoderConfig
from custom_bert.reports.label_tables import label_score_lines
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.classification import pairs_line
from custom_bert.tasks.labelled import LabelledTask
from custom_bert.tasks.task import ALONE, Card, CardFacts, Gathering, Measured, Objective, UnknownLabelError

CHOOSING = 0.1
"""Share of the training lines that is set aside to choose thresholds by."""


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Cross-entropy of each class of each text, divided by their number, as transformers has it.

    Attributes:
        class_weights_2C: (2, C) weight of a class's absence and of its presence; None for 1.
        label_smoothing: how far the targets 0 and 1 are drawn together.
        r_drop: weight of R-Drop's divergence; 0 for none. Otherwise the batch holds each text twice, the
            copies side by side.
    """

    class_weights_2C: Tensor | None = None
    label_smoothing: float = 0.0
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """`output` is logits, (N, C); the targets are (N, C) zeros and ones."""
        weights_NC = self._weights(targets.values)
        loss = binary_cross_entropy_sum(
            output, targets.values, weights_NC=weights_NC, label_smoothing=self.label_smoothing
        )
        if self.r_drop:
            loss = loss + self.r_drop / 2 * binary_r_drop_sum(output, weights_NC=weights_NC)
        return loss

    def weight(self, targets: Targets) -> Tensor | float:
        """Texts times classes, or the sum of their weights."""
        weights_NC = self._weights(targets.values)
        return float(targets.values.numel()) if weights_NC is None else weights_NC.sum()

    def _weights(self, hot_NC: Tensor) -> Tensor | None:
        if self.class_weights_2C is None:
            return None
        absent_C, present_C = self.class_weights_2C
        return torch.where(hot_NC > 0, present_C, absent_C)


@dataclass(frozen=True)
class SetsMeasured:
    """An evaluation of a multi-label classifier.

    Attributes:
        loss: mean cross-entropy of a class of a text, without weights and smoothing.
        scores: of the labels that were given.
        labels: the names of the classes.
        thresholds: of the classes.
    """

    loss: float
    scores: LabelScores
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]

    @property
    def numbers(self) -> dict[str, float]:
        """Micro- and macro-F1, and the share of texts whose labels are all right."""
        scores = self.scores
        return {"micro_f1": scores.micro_f1, "macro_f1": scores.macro_f1, "exact_match": scores.exact_match}

    def as_dict(self) -> dict[str, Any]:
        """See `LabelScores.as_dict`."""
        return self.scores.as_dict(self.labels, self.thresholds)

    def lines(self) -> list[str]:
        """A row for each class."""
        return label_score_lines(self.scores, self.labels, self.thresholds)


class SetScorer:
    """Counts given and true labels; see `tasks.task.Scorer`.

    Args:
        labels: the names of the classes.
        thresholds_C: (C,) the probability from which on each is given.
    """

    def __init__(self, labels: tuple[str, ...], thresholds_C: Tensor) -> None:
        self._labels, self._thresholds_C = labels, thresholds_C.detach().float().cpu().numpy()
        self._counts = LabelCounts(len(labels))
        self._loss = 0.0

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch of logits, (N, C), and zeros and ones, (N, C)."""
        self._loss += float(binary_cross_entropy_sum(outputs, targets.values))
        probabilities_NC = outputs.sigmoid().cpu().numpy()
        self._counts.add(targets.values.cpu().numpy() > 0, probabilities_NC >= self._thresholds_C)

    def measured(self, gathering: Gathering = ALONE) -> SetsMeasured:
        """What was measured, of all processes."""
        loss = float(gathering.total(torch.tensor([self._loss], dtype=torch.float64)))
        counts = self._counts.with_array(gathering.total(torch.from_numpy(self._counts.array())).numpy())
        cells = max(1, counts.texts * len(self._labels))
        thresholds = tuple(float(value) for value in self._thresholds_C)
        return SetsMeasured(loss / cells, counts.scores(), self._labels, thresholds)


@dataclass(frozen=True)
class LabelsPrediction:
    """The labels of a text.

    Attributes:
        labels: those whose probability reaches their threshold, in label order; there may be none.
        names: every label, in label order.
        probabilities_C: (C,) fp32 of every label.
        every: whether a line shows them all.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    probabilities_C: np.ndarray
    every: bool = False

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of every label by name, in label order."""
        return dict(zip(self.names, self.probabilities_C.tolist(), strict=True))

    def line(self) -> str:
        """The labels with tabs between them; with all probabilities pairs of both, best first."""
        return pairs_line(self.probabilities) if self.every else "\t".join(self.labels)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"labels": list(self.labels), "probabilities": dict(self.probabilities)}


@dataclass(frozen=True)
class MultiLabel(LabelledTask):
    """Any number of labels a text.

    Attributes:
        separator: of the labels in a line.
    """

    separator: str = "\t"

    name: ClassVar[str] = "multi_label"
    unread: ClassVar[tuple[str, ...]] = ("data.corpus",)
    measures: ClassVar[tuple[str, ...]] = ("micro_f1", "macro_f1", "exact_match")
    classifier: ClassVar[type[SequenceClassifier]] = ThresholdClassifier
    choosing: ClassVar[float] = CHOOSING
    kind: ClassVar[str] = "A text classifier that gives any number of labels"
    problem_type: ClassVar[str] = "multi_label_classification"

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Reads labels with a separator between them."""
        return SetReader(config.data.label_separator)

    @classmethod
    def of(cls, source: Source, config: TrainConfig) -> Self:
        """See `Task`."""
        return cls(source.labels, config.data.label_separator)

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """See `Task`."""
        separator = stored.get("label_separator")
        if not isinstance(separator, str) or not separator:
            raise RunError(f"{directory / 'config.json'}: label_separator is {shown(separator)}")
        return replace(super().restored(directory, stored), separator=separator)

    def stored(self) -> dict[str, Any]:
        """See `Task`."""
        return {**super().stored(), "label_separator": self.separator}

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: int) -> Objective:
        """See `LabelledTask`."""
        balanced = config.optim.class_weights == "balanced"
        weights_2C = balanced_binary_weights(counts_C, examples) if balanced else None
        return BinaryCrossEntropy(weights_2C, config.optim.label_smoothing, config.optim.r_drop)

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """The measure that `optim.metric` names."""
        return measured.numbers[config.optim.metric]

    def scorer(self, model: nn.Module) -> SetScorer:
        """See `Task`."""
        return SetScorer(self.labels, _thresholds_of(model))

    def choose(
        self, model: nn.Module, outputs: Iterable[tuple[Tensor, Targets]], gathering: Gathering
    ) -> None:
        """Chooses the thresholds."""
        width = len(self.labels)
        parts = [(logits.sigmoid().float().cpu(), targets.values.cpu()) for logits, targets in outputs]
        parts.append((torch.empty(0, width), torch.empty(0, width)))
        probabilities_NC, hot_NC = (gathering.joined(torch.cat(part)) for part in zip(*parts, strict=True))
        thresholds_C = best_thresholds(probabilities_NC.numpy(), hot_NC.numpy() > 0)
        _thresholds_of(model).copy_(torch.from_numpy(thresholds_C))

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """(N, C), the sigmoid of logits."""
        return torch.from_numpy(outputs_NK).sigmoid().numpy()

    def predictions(
        self, probabilities_NK: np.ndarray, model: nn.Module, *, every: bool
    ) -> Iterator[LabelsPrediction]:
        """The labels whose probabilities reach their thresholds."""
        given_NC = probabilities_NK >= _thresholds_of(model).cpu().numpy()
        for row_C, is_given_C in zip(probabilities_NK, given_NC, strict=True):
            given = tuple(self.labels[i] for i in np.flatnonzero(is_given_C).tolist())
            yield LabelsPrediction(given, self.labels, row_C, every)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """(C,) zeros and ones of each line."""
        known = LabelIds(self.labels)
        for i, line in enumerate(lines):
            hot_C = np.zeros(len(self.labels), dtype=np.float32)
            for label in split_labels(line, self.separator):
                index = known.get(label)
                if index is None:
                    raise UnknownLabelError(i, label)
                hot_C[index] = 1
            yield hot_C

    def published(self, model: nn.Module) -> dict[str, Any]:
        """See `Task`."""
        thresholds = _thresholds_of(model).tolist()
        return {**self.names(), "thresholds": dict(zip(self.labels, thresholds, strict=True))}

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """See `Task`."""
        found = super().card(encoder, model, about)
        thresholds = _thresholds_of(model).tolist()
        rows = [f"| `{label}` | {value:.3f} |" for label, value in zip(self.labels, thresholds, strict=True)]
        table = "\n".join(["| label | threshold |", "|---|---|", *rows[:TABLE_ROWS]])
        return replace(
            found,
            more=(
                *found.more,
                "A label is given where its probability reaches its threshold (`thresholds` in "
                "`config.json`), chosen on lines that were set aside from the training data:",
                table,
            ),
            example=(
                "from transformers import pipeline",
                "",
                f'classify = pipeline("text-classification", "{about.name}", top_k=None, truncation=True)',
                "thresholds = classify.model.config.thresholds",
                'answers = classify("a text")',
                'print([a["label"] for a in answers if a["score"] >= thresholds[a["label"]]])',
            ),
        )

    def results(self, record: Mapping[str, Any]) -> str:
        """See `Task`."""
        validation, texts = record["validation"], record["data"]["val_examples"]
        return (
            f"On {texts:,} validation texts: micro-F1 {validation['micro_f1']:.4f}, macro-F1 "
            f"{validation['macro_f1']:.4f}, exact match {validation['exact_match']:.4f}."
        )


def _thresholds_of(model: nn.Module) -> Tensor:
    return model.get_buffer("thresholds_C")
