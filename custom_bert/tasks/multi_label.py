"""Multi-label classification: each text has any number of classes, or none.

Each class is a question of its own, which a sigmoid and a threshold answer. The thresholds are chosen before
each evaluation, on lines that were set aside from the training lines. The validation lines have no part in
this, so that the reported scores are not too good.

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
from torch.nn.functional import logsigmoid

from custom_bert.batch import Targets
from custom_bert.config import HeadInit, TrainConfig
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import LabelReader, SetReader, split_labels
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.labels import LabelIds
from custom_bert.data.set_aside import Aside
from custom_bert.data.source import Source
from custom_bert.errors import RunError, shown
from custom_bert.floor.ensemble import Ensemble, fit_ensemble_of_sets
from custom_bert.floor.linear import Floor, fit_sets
from custom_bert.label_metrics import best_thresholds
from custom_bert.models.heads import SequenceClassifier, ThresholdClassifier
from custom_bert.ops.losses import (
    balanced_binary_weights,
    binary_cross_entropy_sum,
    binary_r_drop_sum,
    combined_weights,
)
from custom_bert.presets import EncoderConfig
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.rules import choices
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.classification import pairs_line
from custom_bert.tasks.floors import drawn_for_measuring
from custom_bert.tasks.labelled import LabelledTask
from custom_bert.tasks.parts import Card, CardFacts, Gathering, Objective, UnknownLabelError
from custom_bert.tasks.set_scorer import SetScorer

CHOOSING_SHARE = 0.1
"""The share of the training lines that is set aside to choose thresholds by."""


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Binary cross-entropy of each class of each text, multiplied by the text's weight.

    A step divides by texts times classes, as transformers does for multi-label models.

    Attributes:
        class_weights_2C: (2, C) the weights of each class where it is absent and where it is present; None
            for 1.
        label_smoothing: moves the targets 0 and 1 to half of it and to 1 minus half of it.
        r_drop: the weight of R-Drop's divergence; 0 for none. Otherwise the batch holds each text twice, the
            copies side by side.
    """

    class_weights_2C: Tensor | None = None
    label_smoothing: float = 0.0
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum over texts and classes; `output` is (N, C) logits, the targets zeros and ones."""
        weights_NC = self._weights(targets)
        loss = binary_cross_entropy_sum(
            output, targets.values, weights_NC=weights_NC, label_smoothing=self.label_smoothing
        )
        if self.r_drop:
            loss = loss + self.r_drop / 2 * binary_r_drop_sum(output, weights_NC=weights_NC)
        return loss

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns the number of texts times the number of classes, or the sum of their weights."""
        weights_NC = self._weights(targets)
        return float(targets.values.numel()) if weights_NC is None else weights_NC.sum()

    def _weights(self, targets: Targets) -> Tensor | None:
        of_classes = of_texts = None
        if self.class_weights_2C is not None:
            absent_C, present_C = self.class_weights_2C
            of_classes = torch.where(targets.values > 0, present_C, absent_C)
        if targets.weights_N is not None:
            of_texts = targets.weights_N[:, None].expand_as(targets.values)
        return combined_weights(of_classes, of_texts)


@dataclass(frozen=True)
class LabelsPrediction:
    """The labels that a text is predicted to have.

    Attributes:
        labels: the labels whose probability reaches their threshold, in label order; there may be none.
        names: every label that the model knows, in label order.
        probabilities_C: (C,) fp32 probabilities of `names`.
        every: whether `line` shows all probabilities.
        separator: what stands between labels in a cell of a table.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    probabilities_C: np.ndarray
    every: bool = False
    separator: str = "\t"

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of every label by name, in label order."""
        return dict(zip(self.names, self.probabilities_C.tolist(), strict=True))

    def line(self) -> str:
        """Returns the labels with tabs between them; with `every`, all labels and their probabilities."""
        return pairs_line(self.probabilities) if self.every else "\t".join(self.labels)

    def as_dict(self) -> dict[str, Any]:
        """Returns the labels, and the probability of every label, for JSON."""
        return {"labels": list(self.labels), "probabilities": dict(self.probabilities)}

    def cells(self) -> tuple[str, str | float]:
        """Returns the labels with the separator between them, and their probabilities in the same way."""
        known = self.probabilities
        return self.separator.join(self.labels), self.separator.join(
            f"{known[one]:.6f}" for one in self.labels
        )


@dataclass(frozen=True)
class MultiLabel(LabelledTask):
    """The task in which each text has any number of the classes.

    Attributes:
        separator: the characters between the labels of a line.
    """

    separator: str = "\t"

    name: ClassVar[str] = "multi_label"
    unread: ClassVar[tuple[str, ...]] = ("data.corpus", "data.label_order", "optim.regression_loss")
    measures: ClassVar[tuple[str, ...]] = ("micro_f1", "macro_f1", "exact_match")
    model_class: ClassVar[type[SequenceClassifier]] = ThresholdClassifier
    chooses: ClassVar[bool] = True
    label_sets: ClassVar[bool | None] = True
    card_title: ClassVar[str] = "A multi-label text classifier"
    has_thresholds: ClassVar[bool] = True
    problem_type: ClassVar[str] = "multi_label_classification"

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a reader of label files whose lines hold labels with a separator between them."""
        return SetReader(config.data.label_separator)

    @classmethod
    def aside(cls, config: TrainConfig) -> Aside:
        """A tenth of the lines is set aside, to choose thresholds on and how much encoder and floor count."""
        return Aside(
            lambda texts: CHOOSING_SHARE, "to choose thresholds", purpose="choosing thresholds; add texts"
        )

    @classmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Takes the labels that the training lines have, and the separator of the settings."""
        return cls(source.labels, config.data.label_separator)

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Reads labels.json, and the separator from config.json.

        Raises:
            RunError: if one of the two is missing or damaged.
        """
        separator = stored.get("label_separator")
        if not isinstance(separator, str) or not separator:
            raise RunError(f"{directory / 'config.json'}: label_separator is {shown(separator)}")
        return replace(super().restored(directory, stored), separator=separator)

    def stored(self) -> dict[str, Any]:
        """Returns the number of labels and the separator, by which label files can be read again."""
        return {**super().stored(), "label_separator": self.separator}

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: float) -> Objective:
        """Returns the binary cross-entropy of the classes, weighted and smoothed as the settings say."""
        balanced = config.optim.class_weights == "balanced"
        weights_2C = balanced_binary_weights(counts_C, examples) if balanced else None
        return BinaryCrossEntropy(weights_2C, config.optim.label_smoothing, config.optim.r_drop)

    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Floor:
        """Returns a support vector machine for each class, with thresholds chosen on the choosing rows."""
        assert data.choosing is not None
        aside_N = drawn_for_measuring(data.choosing, config.seed)
        train, aside = data.train.targets, data.choosing.targets
        hot_NC, weights_N = aside.values(aside_N) > 0, aside.weights(aside_N)
        floor, scores_NC = fit_sets(
            list(data.train.texts(rows_N)),
            train.values(rows_N) > 0,
            list(data.choosing.texts(aside_N)),
            hot_NC,
            balanced=config.optim.class_weights == "balanced",
            weights_N=train.weights(rows_N),
            held_out_weights_N=weights_N,
        )
        thresholds_C = best_thresholds(self.probabilities(scores_NC), hot_NC, weights_N)
        return replace(floor, thresholds_C=thresholds_C)

    def ensemble_of(
        self, encoder_NC: np.ndarray, floor_NC: np.ndarray, values: np.ndarray, weights_N: np.ndarray | None
    ) -> Ensemble:
        """Fits the two factors at which the binary cross-entropy is lowest, and thresholds of their own."""
        return fit_ensemble_of_sets(encoder_NC, floor_NC, values, weights_N)

    def head_init(self, texts: int, *, epochs: int) -> tuple[HeadInit, str]:
        """Takes a probe wherever one can be fitted: few texts have a class, so that a random head learns it
        slowly (docs/log/0024)."""
        return choices.head_init_of_sets(texts, classes=len(self.labels))

    def first_biases(self, config: ResolvedConfig, source: Source) -> Tensor | None:
        """Returns the log-odds of each class among the training texts, with which a random head begins.

        Most texts lack most classes. A head that begins by giving each class to half of the texts spends its
        first steps on that alone (Lin et al. 2017, arXiv 1708.02002, section 3.3).
        """
        if config.optim.class_weights == "balanced":  # then presence and absence weigh the same
            return None
        assert isinstance(source, LabelledTexts)
        train = source.dataset.train
        present_C = torch.from_numpy(train.targets.counts(len(self.labels))).double()
        share_C = (present_C + 0.5) / (len(train) + 1)
        return torch.logit(share_C).float()

    def scorer(self, model: nn.Module) -> SetScorer:
        """Returns a scorer that predicts labels by the thresholds that the model has now."""
        return SetScorer(self.labels, _thresholds_of(model))

    def choose(
        self, model: nn.Module, outputs: Iterable[tuple[Tensor, Targets]], gathering: Gathering
    ) -> None:
        """Chooses the threshold of each class and writes it into the model; see `best_thresholds`."""
        width = len(self.labels)
        parts = []
        for logits, targets in outputs:
            weights_N = torch.ones(len(targets)) if targets.weights_N is None else targets.weights_N.cpu()
            parts.append((logits.sigmoid().float().cpu(), targets.values.cpu(), weights_N))
        # one of several processes may have no batch, and there is nothing to concatenate then
        parts.append((torch.empty(0, width), torch.empty(0, width), torch.empty(0)))
        probabilities_NC, hot_NC, weights_N = (
            gathering.joined(torch.cat(part)) for part in zip(*parts, strict=True)
        )
        thresholds_C = best_thresholds(probabilities_NC.numpy(), hot_NC.numpy() > 0, weights_N.numpy())
        _thresholds_of(model).copy_(torch.from_numpy(thresholds_C))

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C), the sigmoids of the logits."""
        return torch.from_numpy(outputs_NK).sigmoid().numpy()

    def log_probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C) fp64, the logarithms of the sigmoids of the logits."""
        return logsigmoid(torch.from_numpy(outputs_NK).double()).numpy()

    def given(self, probabilities_K: np.ndarray, model: nn.Module) -> list[int]:
        """Returns the classes whose probabilities reach their thresholds."""
        return np.flatnonzero(probabilities_K >= _thresholds_of(model).cpu().numpy()).tolist()

    def predictions(
        self, probabilities_NK: np.ndarray, model: nn.Module, *, every: bool
    ) -> Iterator[LabelsPrediction]:
        """Yields for each text the labels whose probabilities reach their thresholds."""
        given_NC = probabilities_NK >= _thresholds_of(model).cpu().numpy()
        for row_C, is_given_C in zip(probabilities_NK, given_NC, strict=True):
            given = tuple(self.labels[i] for i in np.flatnonzero(is_given_C).tolist())
            yield LabelsPrediction(given, self.labels, row_C, every, self.separator)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Yields for each line (C,) fp32 with a 1 for each label that it holds."""
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
        """Returns what every labelled task has, and the thresholds by label; transformers keeps this key."""
        thresholds = _thresholds_of(model).tolist()
        return {**super().published(model), "thresholds": dict(zip(self.labels, thresholds, strict=True))}

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Adds the thresholds, and an example that applies them, since the pipeline does not."""
        card = super().card(encoder, model, about)
        thresholds = _thresholds_of(model).tolist()
        rows = [f"| `{label}` | {value:.3f} |" for label, value in zip(self.labels, thresholds, strict=True)]
        table = "\n".join(["| label | threshold |", "|---|---|", *rows[:TABLE_ROWS]])
        return replace(
            card,
            more=(
                *card.more,
                "A label is given where its probability reaches its threshold (`thresholds` in "
                "`config.json`), chosen on lines that were set aside from the training data:",
                table,
            ),
            example=(
                "from transformers import pipeline",
                "",
                f'classify = pipeline("text-classification", "{about.name}", top_k=None, truncation=True)',
                "thresholds = classify.model.config.thresholds",
                'answers = classify(["a text"])[0]',
                'print([a["label"] for a in answers if a["score"] >= thresholds[a["label"]]])',
            ),
        )

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns micro-F1, macro-F1 and exact match on the validation texts, in a sentence."""
        validation, texts = record["validation"], record["data"]["val_examples"]
        return (
            f"On {texts:,} validation texts: micro-F1 {validation['micro_f1']:.4f}, macro-F1 "
            f"{validation['macro_f1']:.4f}, exact match {validation['exact_match']:.4f}."
        )


def _thresholds_of(model: nn.Module) -> Tensor:
    return model.get_buffer("thresholds_C")
