"""What the tasks share whose targets are classes of texts: the names of the classes, their weights, the
ensemble of encoder and floor, and the description of the model.

Such a task adds how label files are read (`reader`), the loss (`objective`), the scorer and the decoder.

Shapes: C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.config import TrainConfig
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.labels import labels_by_id
from custom_bert.data.set_aside import Aside
from custom_bert.data.source import Source
from custom_bert.decoding.label_names import read_labels
from custom_bert.errors import ConfigError
from custom_bert.floor.ensemble import Ensemble, has_ensemble, read_ensemble
from custom_bert.floor.linear import Floor
from custom_bert.presets import EncoderConfig
from custom_bert.rules import choices
from custom_bert.rules.decisions import Decisions, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import unknown_in_table
from custom_bert.tasks.floors import Combined, combine
from custom_bert.tasks.names import first_names, tables_of_names
from custom_bert.tasks.parts import Card, CardFacts, Objective
from custom_bert.tasks.text_task import TextTask


@dataclass(frozen=True)
class LabelledTask(TextTask):
    """A task whose targets are classes of texts.

    Attributes:
        labels: the names of the C classes, in the order of the model's outputs.
    """

    labels: tuple[str, ...]

    probes: ClassVar[bool] = True
    combines: ClassVar[bool] = True

    @classmethod
    def aside(cls, config: TrainConfig) -> Aside:
        """Returns which training lines are set aside to choose values on, such as thresholds."""
        if cls.combines and config.floor and config.ensemble is not False:
            return Aside(choices.ensemble_share, "to combine encoder and floor", choices.ENSEMBLE_LINES)
        return super().aside(config)

    @classmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Takes the labels that the training lines have."""
        return cls(source.labels)

    @classmethod
    def blank(cls) -> Self:
        """Has one class without a name."""
        return cls(("",))

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Reads labels.json, which has to hold as many different labels as config.json says.

        Raises:
            RunError: if labels.json is missing or damaged, or the two files disagree.
        """
        return cls(read_labels(directory, stored))

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides what is open about learning; a table of class weights may only name labels of the data."""
        if faults := unknown_in_table(todo.config.optim.class_weights, self.labels):
            raise ConfigError([f"config: {fault}" for fault in faults])
        super().decide(todo, facts)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The labels, in the order of the logits."""
        return self.labels

    @property
    def num_outputs(self) -> int:
        """C, the number of classes."""
        return len(self.labels)

    @abstractmethod
    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: float) -> Objective:
        """Returns the loss.

        Args:
            config: the settings.
            counts_C: (C,) the number of training examples of each class, or the sum of their weights.
            examples: the number of all training examples, or the sum of their weights.
        """

    def loss(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss on the training split. Classes are balanced by the weights of their texts, as in
        scikit-learn: here too, a text with the weight 2 is as two texts."""
        assert isinstance(source, LabelledTexts)
        train = source.dataset.train.targets
        masses_C = torch.from_numpy(train.masses(len(self.labels)))
        examples = len(train) if train.weights_N is None else float(train.weights_N.sum(dtype=np.float64))
        return self.objective(config, masses_C, examples)

    def probe_objective(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss of the labels without R-Drop, which compares two passes of a text."""
        plain = replace(config, optim=replace(config.optim, r_drop=0.0))
        return self.loss(plain, source)

    def combine(
        self, source: Source, floor: Floor, chosen_NK: np.ndarray | None, val_NK: np.ndarray
    ) -> Combined:
        """Fits the two factors at which the cross-entropy of the labels is lowest, or takes the floor
        alone."""
        assert isinstance(source, LabelledTexts)
        return combine(self.ensemble_of, source.dataset, floor, self.scorer, chosen_NK, val_NK)

    @abstractmethod
    def ensemble_of(
        self, encoder_NC: np.ndarray, floor_NC: np.ndarray, values: np.ndarray, weights_N: np.ndarray | None
    ) -> Ensemble:
        """Fits an ensemble.

        Args:
            encoder_NC: the scores of the encoder for texts that it has not learned from.
            floor_NC: the scores of the floor, which has not learned from these texts either.
            values: the values of these texts' targets, as `batch.Targets` holds them.
            weights_N: (N,) how much each text counts; None for the same.
        """

    def read_ensemble(self, run: Path) -> Ensemble | None:
        """Reads the ensemble of a run directory; None if the encoder predicts alone."""
        if not has_ensemble(run):
            return None
        return read_ensemble(run, self.num_outputs, sets=self.has_thresholds)

    # In other libraries

    def published(self, model: nn.Module) -> dict[str, Any]:
        """Returns Hugging Face's tables of the labels, and the type of the problem."""
        return {
            **tables_of_names(self.labels),
            "problem_type": self.problem_type,
        }

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Lists the labels, and shows a text-classification pipeline."""
        return Card(
            "text-classification",
            f"{self.card_title} with {len(self.labels):,} labels: {encoder.num_hidden_layers} layers, "
            f"{encoder.hidden_size} wide, {about.texts} of up to {about.max_length} tokens",
            (f"Labels: {first_names(self.labels)}.",),
            (
                "from transformers import pipeline",
                "",
                f'pipeline("text-classification", "{about.name}", truncation=True)({about.example})',
            ),
        )

    def summary(self) -> str:
        """Returns the number of labels and the first of them with their ids."""
        return f"{len(self.labels):,} labels; {labels_by_id(self.labels)}"
