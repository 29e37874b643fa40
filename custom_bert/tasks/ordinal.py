"""Ordinal classification: each text has one of several labels that have an order, such as stars.

The model computes one score for a text, and thresholds that divide the scores into ranks (`ops.ranks`). Its
outputs are the logarithms of the ranks' probabilities, so that everything reads them like the logits of a
classifier.

The middle rank is predicted (`decoding.ranks`). It is the one between whose thresholds the score lies.

Shapes: N texts, C ranks, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.config import TrainConfig
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.labels import labels_by_id
from custom_bert.data.rank_files import RankReader, parsed_order
from custom_bert.data.source import Source
from custom_bert.decoding.ranks import RankDecoder, middle_ranks
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.ranks import RankClassifier
from custom_bert.ops.ranks import logits_above, ordered_thresholds
from custom_bert.presets import EncoderConfig
from custom_bert.rank_metrics import RankScores
from custom_bert.reports.measures import in_words
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import class_weights
from custom_bert.tasks.classification import Classification, ClassMeasured, ClassScorer
from custom_bert.tasks.parts import ONE_PROCESS, Card, CardFacts, Gathering, Measured
from custom_bert.tasks.task import Task
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

    def in_transformers(self) -> Task:
        """Returns the task for two ranks, which are two classes. The probabilities of more ranks are no
        softmax of linear scores, which is all that a class of transformers computes."""
        return self if len(self.labels) <= 2 else RanksAbove(self.labels)

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors with a plain projection for two ranks: the logit of the lower one is 0, that of
        the higher one the score minus the threshold."""
        weights, biases = _above(state)
        both = {"weight": torch.cat([torch.zeros_like(weights), weights]), "bias": F.pad(biases, (1, 0))}
        return _with_projection(state, both)

    def published_outputs(self, outputs: Tensor) -> Tensor:
        """Returns the log-probabilities of the ranks as logits of which the first is 0."""
        return outputs - outputs[..., :1]

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns the measures on the validation texts, in a sentence."""
        return f"On {record['data']['val_examples']:,} validation texts: {in_words(record['validation'])}."


@dataclass(frozen=True)
class RanksAbove(Ordinal):
    """Three ranks or more as a class of transformers has them: an output says whether a text is above a rank,
    for each rank but the highest. Its logit is the score minus a threshold."""

    problem_type: ClassVar[str] = "multi_label_classification"

    @property
    def names(self) -> list[str]:
        """The names of the outputs: "> 1" and "> 2" for the ranks 1, 2 and 3."""
        return [f"> {label}" for label in self.labels[:-1]]

    def published(self, model: nn.Module) -> dict[str, Any]:
        """Returns the names of the outputs with the threshold of a half, and the `ranks` from the lowest
        on."""
        return {
            "id2label": {str(i): name for i, name in enumerate(self.names)},
            "label2id": {name: i for i, name in enumerate(self.names)},
            "problem_type": self.problem_type,
            "thresholds": dict.fromkeys(self.names, 0.5),
            "ranks": list(self.labels),
        }

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors with a projection that repeats the one row, with a bias for each output."""
        weights, biases = _above(state)
        return _with_projection(state, {"weight": weights, "bias": biases})

    def published_outputs(self, outputs: Tensor) -> Tensor:
        """Returns the log-odds of being above each rank, from the log-probabilities of the ranks."""
        return logits_above(outputs)

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Says what the outputs are, and shows how the rank and the probability of each rank follow."""
        card = super().card(encoder, model, about)
        return replace(
            card,
            more=(
                f"The ranks, from the lowest to the highest: {card.more[0].removeprefix('Labels: ')} "
                f"`config.json` lists them as `ranks`.",
                f"An output is the probability that a text is above a rank: `{self.names[0]}`, up to "
                f"`{self.names[-1]}`. The predicted rank is the middle one: as many ranks lie below it as "
                f"outputs are above a half. The probability of a rank is the difference of two outputs that "
                f"are neighbours.",
            ),
            example=(
                "from transformers import pipeline",
                "",
                f'classify = pipeline("text-classification", "{about.name}", top_k=None, truncation=True)',
                "ranks = classify.model.config.ranks",
                f"answers = classify([{about.example}])[0]",
                'above = {a["label"]: a["score"] for a in answers}',
                'above = [1.0, *(above[f"> {rank}"] for rank in ranks[:-1]), 0.0]',
                "print(ranks[sum(share > 0.5 for share in above) - 1])",
                "print({rank: above[i] - above[i + 1] for i, rank in enumerate(ranks)})",
            ),
        )

    def summary(self) -> str:
        """Returns what the outputs are."""
        return (
            f"{len(self.labels):,} ranks; an output is the probability of being above a rank, and README.md "
            f"shows how the rank follows from them; {labels_by_id(self.names)}"
        )


def _above(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns (C - 1, D) weights and (C - 1,) biases of a projection to the score minus each threshold."""
    thresholds = ordered_thresholds(state["head.raw_thresholds"])
    weight, bias = (state[f"head.projection.{name}"] for name in ("weight", "bias"))
    return weight.expand(len(thresholds), -1).contiguous(), bias - thresholds


def _with_projection(state: Mapping[str, Tensor], projection: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors with another projection, and without thresholds."""
    others = {name: tensor for name, tensor in state.items() if name != "head.raw_thresholds"}
    return {**others, **{f"head.projection.{name}": tensor for name, tensor in projection.items()}}
