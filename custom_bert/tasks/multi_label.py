"""Multi-label classification: each text has any number of classes, or none.

Each class is a question of its own, which a sigmoid and a threshold answer. The thresholds are chosen before
each evaluation, on lines that were set aside from the training lines. The validation lines have no part in
this, so that the reported scores are not too good.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Targets
from custom_bert.config import HeadInit, TrainConfig
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import LabelReader, SetReader, split_labels
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.labels import LabelIds
from custom_bert.data.set_aside import Aside
from custom_bert.data.source import Source
from custom_bert.decoding.sets import SetDecoder
from custom_bert.floor.aside import Fit
from custom_bert.floor.ensemble import Ensemble, fit_ensemble_of_sets
from custom_bert.floor.linear_sets import fit_sets
from custom_bert.label_metrics import best_thresholds
from custom_bert.models.heads import (
    FIRST_THRESHOLD,
    SequenceClassifier,
    ThresholdClassifier,
    thresholds_of,
)
from custom_bert.ops.losses import (
    binary_cross_entropy_sum,
    binary_r_drop_sum,
    combined_weights,
)
from custom_bert.presets import EncoderConfig
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.rules import choices
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import Copies, binary_class_weights
from custom_bert.tasks.floors import drawn_for_measuring
from custom_bert.tasks.parts import Card, CardFacts, Gathering, Objective, UnknownLabelError
from custom_bert.tasks.separated import SeparatedTask
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

    @cached_property
    def _copies(self) -> Copies | None:
        return None if self.class_weights_2C is None else Copies(self.class_weights_2C)

    def _weights(self, targets: Targets) -> Tensor | None:
        of_classes = of_texts = None
        if self._copies is not None:
            absent_C, present_C = self._copies.beside(targets.values)
            of_classes = torch.where(targets.values > 0, present_C, absent_C)
        if targets.weights_N is not None:
            of_texts = targets.weights_N[:, None].expand_as(targets.values)
        return combined_weights(of_classes, of_texts)


@dataclass(frozen=True)
class MultiLabel(SeparatedTask):
    """The task in which each text has any number of the classes."""

    name: ClassVar[str] = "multi_label"
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

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: float) -> Objective:
        """Returns the binary cross-entropy of the classes, weighted and smoothed as the settings say."""
        setting = config.optim.class_weights
        weights_2C = binary_class_weights(setting, self.labels, counts_C, examples)
        return BinaryCrossEntropy(weights_2C, config.optim.label_smoothing, config.optim.r_drop)

    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Fit:
        """Returns a support vector machine for each class, with thresholds chosen on the choosing rows."""
        assert data.choosing is not None
        aside_N = drawn_for_measuring(data.choosing, config.seed)
        train, aside = data.train.targets, data.choosing.targets
        hot_NC, weights_N = aside.values(aside_N) > 0, aside.weights(aside_N)
        setting, masses_C = config.optim.class_weights, torch.from_numpy(train.masses(len(self.labels)))
        examples = len(train) if train.weights_N is None else float(train.weights_N.sum(dtype=np.float64))
        # scikit-learn balances by itself, of the texts that are drawn
        weights_2C = (
            None if setting == "balanced" else binary_class_weights(setting, self.labels, masses_C, examples)
        )
        return partial(
            fit_sets,
            list(data.train.texts(rows_N)),
            train.values(rows_N) > 0,
            list(data.choosing.texts(aside_N)),
            hot_NC,
            balanced=setting == "balanced",
            class_weights_2C=None if weights_2C is None else weights_2C.numpy(),
            weights_N=train.weights(rows_N),
            held_out_weights_N=weights_N,
        )

    def ensemble_of(
        self, encoder_NC: np.ndarray, floor_NC: np.ndarray, values: np.ndarray, weights_N: np.ndarray | None
    ) -> Ensemble:
        """Fits the two factors at which the binary cross-entropy is lowest, and thresholds of their own."""
        return fit_ensemble_of_sets(encoder_NC, floor_NC, values, weights_N)

    def head_init(self, texts: int, *, epochs: int) -> tuple[HeadInit, str]:
        """Takes a probe wherever one can be fitted: few texts have a class, so that a random head learns it
        slowly (docs/log/0024)."""
        return choices.head_init_of_sets(texts, classes=len(self.labels))

    def probe_texts(self, texts: int) -> int:
        """Takes as many as a probe may have, since few texts have a class."""
        return min(texts, choices.PROBE_TEXTS)

    def first_biases(self, config: ResolvedConfig, source: Source) -> Tensor | None:
        """Returns the log-odds of each class among the training texts, with which a random head begins.

        Most texts lack most classes. A head that begins by giving each class to half of the texts spends its
        first steps on that alone (Lin et al. 2017, arXiv 1708.02002, section 3.3).
        """
        setting = config.optim.class_weights
        if setting == "balanced":  # then presence and absence weigh the same
            return None
        assert isinstance(source, LabelledTexts)
        train, labels = source.dataset.train, self.labels
        present_C = torch.from_numpy(train.targets.counts(len(labels))).double()
        share_C = (present_C + 0.5) / (len(train) + 1)
        weights_2C = binary_class_weights(setting, labels, present_C, float(len(train)))
        odds = torch.logit(share_C)
        return (odds if weights_2C is None else odds + (weights_2C[1] / weights_2C[0]).log()).float()

    def scorer(self, thresholds_C: np.ndarray | None) -> SetScorer:
        """Returns a scorer that predicts labels by thresholds."""
        return SetScorer(self.labels, self.decoder(thresholds_C).thresholds_C)

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
        model.get_buffer("thresholds_C").copy_(torch.from_numpy(thresholds_C))

    def decoder(self, thresholds_C: np.ndarray | None) -> SetDecoder:
        """Returns the decoder of the labels whose probabilities reach their thresholds; before these are
        chosen, `FIRST_THRESHOLD`."""
        if thresholds_C is None:
            thresholds_C = np.full(len(self.labels), FIRST_THRESHOLD, dtype=np.float32)
        return SetDecoder(self.labels, self.separator, thresholds_C)

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
        """Returns what every labelled task has, the thresholds by label, and what stands between the labels
        of a line; transformers keeps these two keys."""
        return {
            **super().published(model),
            "thresholds": dict(zip(self.labels, self._thresholds(model), strict=True)),
            "label_separator": self.separator,
        }

    @staticmethod
    def _thresholds(model: nn.Module) -> list[float]:
        thresholds_C = thresholds_of(model)
        assert thresholds_C is not None, "a model for sets of labels has thresholds"
        return [float(one) for one in thresholds_C]

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Adds the thresholds, and an example that applies them, since the pipeline does not."""
        card = super().card(encoder, model, about)
        thresholds = self._thresholds(model)
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
                f"answers = classify([{about.example}])[0]",
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
