"""Ordinal classification: each text has one of several labels that have an order, such as stars.

The model computes one score for a text, and thresholds that divide the scores into ranks (`ops.ranks`). Its
outputs are the logarithms of the ranks' probabilities, so that everything reads them like the logits of a
classifier.

The middle rank is predicted (`decoding.ranks`). It is the one between whose thresholds the score lies.

Shapes: N texts, C ranks, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from custom_bert.config import TrainConfig
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.rank_files import RankReader, parsed_order
from custom_bert.data.source import Source
from custom_bert.decoding.ranks import RankDecoder, middle_ranks
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.ranks import RankClassifier
from custom_bert.ops.ranks import ordered_thresholds
from custom_bert.rank_metrics import RankScores
from custom_bert.reports.measures import in_words
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import class_weights
from custom_bert.tasks.classification import Classification, ClassMeasured, ClassScorer
from custom_bert.tasks.parts import ONE_PROCESS, Gathering, Measured
from custom_bert.tasks.worth import worth_in_words, worth_of


@dataclass(frozen=True)
class RanksMeasured(ClassMeasured):
    """The result of evaluating a classifier of ranks: what `ClassMeasured` has, and how far off it is."""

    @property
    def ranks(self) -> RankScores:
        """How well the ranks were predicted, every text counted once."""
        return RankScores.of_classes(self.scores)

    @property
    def numbers(self) -> dict[str, float]:
        """Kappa, accuracy, adjacent accuracy, the mean error in ranks, and macro-F1."""
        return self.ranks.numbers

    @property
    def weighted_numbers(self) -> dict[str, float]:
        """The numbers with each text counted by its weight."""
        return self.numbers if self.by_weight is None else RankScores.of_classes(self.by_weight).numbers

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores with the names of the ranks; see `RankScores.as_dict` for the keys."""
        return self.ranks.as_dict(list(self.labels))

    def lines(self) -> list[str]:
        """Returns a table with a row for each rank, for few ranks the confusion matrix, and the measures."""
        return [*super().lines(), "", in_words(self.numbers)]


class RankScorer(ClassScorer):
    """Counts the pairs of true and predicted ranks."""

    def predicted(self, outputs: Tensor) -> np.ndarray:
        """Returns (N,) the middle rank of each text."""
        return middle_ranks(outputs.softmax(-1).cpu().numpy())

    def measured(self, gathering: Gathering = ONE_PROCESS) -> RanksMeasured:
        """Returns the result over the batches of all processes."""
        found = super().measured(gathering)
        return RanksMeasured(found.loss, RankScores.of_classes(found.scores), found.labels, found.by_weight)


@dataclass(frozen=True)
class Ordinal(Classification):
    """The task in which each text has exactly one of the labels, and these have an order."""

    name: ClassVar[str] = "ordinal"
    unread: ClassVar[tuple[str, ...]] = ("data.corpus", "data.label_separator", "optim.regression_loss")
    measures: ClassVar[tuple[str, ...]] = ("kappa", "accuracy", "adjacent_accuracy", "mae_ranks", "macro_f1")
    model_class: ClassVar[type[SequenceClassifier]] = RankClassifier
    contrasts: ClassVar[bool] = False
    probes: ClassVar[bool] = False  # a probe has a score for each class, and the head one for all
    card_title: ClassVar[str] = "A text classifier for ranks"

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """Refuses an order that is none."""
        faults = super().faults(config)
        if config.data.label_order is not None:
            order = parsed_order(config.data.label_order)
            twice = [label for i, label in enumerate(order) if label in order[:i]]
            if len(order) < 2 or not all(order):
                faults.append(
                    "data.label_order: expected two labels or more with commas or tabs between them, and no "
                    "empty one"
                )
            elif twice:
                faults.append(f"data.label_order: the label {twice[0]!r} stands there twice")
        return faults

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a reader of label files with one label a line, in the order of the settings."""
        order = config.data.label_order
        return RankReader(None if order is None else parsed_order(order))

    def first_biases(self, config: ResolvedConfig, source: Source) -> Tensor | None:
        """Returns (C - 1,) the thresholds at which a text with the score 0 has each rank with the share that
        the rank has of the training texts, by their class weights."""
        assert isinstance(source, LabelledTexts)
        targets = source.dataset.train.targets
        counts_C = torch.from_numpy(targets.counts(len(self.labels))).double() + 0.5
        weights_C = class_weights(config.optim.class_weights, self.labels, counts_C)
        if weights_C is not None:
            counts_C = counts_C * weights_C
        return torch.logit(counts_C.cumsum(0)[:-1] / counts_C.sum()).float()

    def kept_by(self, config: ResolvedConfig) -> str:
        """Returns the measure, as a number that is higher where the model is better."""
        return worth_in_words(config.optim.metric)

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns the measure that `optim.metric` names, turned round if it should be low."""
        return worth_of(config.optim.metric, super().worth(measured, config))

    def scorer(self, thresholds_C: np.ndarray | None) -> RankScorer:
        """Returns a scorer that takes the middle rank of each text as predicted."""
        return RankScorer(self.labels)

    def decoder(self, thresholds_C: np.ndarray | None) -> RankDecoder:
        """Returns the decoder of the middle rank."""
        return RankDecoder(self.labels)

    def unpublishable(self) -> str:
        """Says that three ranks or more have no place in a class of transformers.

        Its classes compute logits as a linear map of a text's vector, whose softmax are the probabilities.
        For two ranks that is what the model computes. For more, a probability is a difference of two sigmoids
        of one score, whose logarithm is not linear in the vector.
        """
        if len(self.labels) < 3:
            return ""
        return (
            f"the probabilities of {len(self.labels):,} ranks are no softmax of linear scores, which is all "
            f"that a class of transformers computes; predict with Classifier.load, or train the same data "
            f"with --task classification or --task regression, which can be exported"
        )

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors with a plain projection for two ranks: the logit of the lower one is 0, that of
        the higher one the score minus the threshold."""
        tensors = dict(state)
        threshold = ordered_thresholds(tensors.pop("head.raw_thresholds"))
        weight, bias = (tensors[f"head.projection.{name}"] for name in ("weight", "bias"))
        tensors["head.projection.weight"] = torch.cat([torch.zeros_like(weight), weight])
        tensors["head.projection.bias"] = torch.cat([torch.zeros_like(bias), bias - threshold])
        return tensors

    def published_outputs(self, outputs: Tensor) -> Tensor:
        """Returns the logits of two ranks, of which the first is 0, from their log-probabilities."""
        return outputs - outputs[..., :1]

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns the measures on the validation texts, in a sentence."""
        return f"On {record['data']['val_examples']:,} validation texts: {in_words(record['validation'])}."
