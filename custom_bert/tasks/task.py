"""What a task is: a kind of target, from the label file to the printed prediction.

A task supplies the parts, and `custom_bert.training` and `custom_bert.inference` put them together without
knowing which task it is. So a new kind of target is a file in this folder, and a name in `config.TaskName`
and in `tasks.registry`.

Shapes: N texts, K outputs for each of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.config import TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.loader import Transform
from custom_bert.data.reading import LabelledLines
from custom_bert.data.source import Source
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import ConfigError
from custom_bert.models.encoder import Encoder
from custom_bert.presets import EncoderConfig
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig

PhaseName = Literal["pretrain", "train"]

HeadName = Literal["sequence_classification", "masked_language_model"]
"""The heads that models have; by them a checkpoint of another library is read and written."""


class EncoderModel(nn.Module):
    """Any model of ours: an encoder with a head."""

    encoder: Encoder


class Objective(Protocol):
    """What a step minimises: a sum over targets, and what the whole step's sum is divided by."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """The sum of the losses of a batch's targets, given the model's output."""

    def weight(self, targets: Targets) -> Tensor | float:
        """The batch's part of the divisor."""


@dataclass(frozen=True)
class Gathering:
    """How counts and rows of the processes that evaluate a part each come together; of one, as they are.

    Attributes:
        total: sums tensors of one shape.
        joined: appends the rows of tensors to each other; how many a process has may differ.
    """

    total: Callable[[Tensor], Tensor] = lambda tensor: tensor
    joined: Callable[[Tensor], Tensor] = lambda rows: rows


ALONE = Gathering()
"""One process."""


class Measured(Protocol):
    """An evaluation."""

    @property
    def loss(self) -> float:
        """The mean loss of a target."""

    @property
    def numbers(self) -> dict[str, float]:
        """The measures by name, for metrics.jsonl and run.json."""

    @property
    def scores(self) -> Any:
        """What there is for each class; None where there are no classes."""

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON: the numbers, and what there is for each class."""

    def lines(self) -> list[str]:
        """A table for a terminal."""


class Scorer(Protocol):
    """Collects an evaluation, batch by batch."""

    def add(self, outputs: Tensor, targets: Targets) -> None:
        """Counts a batch.

        Args:
            outputs: of the model in evaluation mode, fp32.
            targets: what they should be.
        """

    def measured(self, gathering: Gathering = ALONE) -> Measured:
        """What was measured, of all processes; all of them have to ask."""


class Prediction(Protocol):
    """What a model says of one text."""

    def line(self) -> str:
        """For a terminal: one line, columns separated by tabs."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How a phase of a run learns.

    Attributes:
        objective: the loss.
        transform: what becomes of the examples before they are a batch.
        lr: peak learning rate.
        epochs: passes over the training data.
        seed: of the order of batches.
        dropout: whether the encoder's dropout is on.
        layer_lr_decay: factor of the learning rate from the head down, layer by layer.
        embedding_lr_factor: share of the learning rate that token vectors have.
        evaluates: whether evaluations choose the weights that the run keeps.
    """

    objective: Objective
    transform: Transform
    lr: float
    epochs: int
    seed: int
    dropout: bool
    layer_lr_decay: float = 1.0
    embedding_lr_factor: float = 1.0
    evaluates: bool = True


class Task(ABC):
    """A kind of target, as it is learned from some data.

    The class methods come before the data is read; the instance knows what the data has told, as the names of
    the classes.

    Attributes:
        name: the value of the setting `task`.
        phase: what its phase of a run is called.
        head: the form of its model's head.
        unread: settings that it does not read.
        keeps_stable: whether the encoder from before the learning rate falls is kept, so that training can go
            on from there.
        predicts_tokens: whether every vector of the token table has a gradient, as its targets are tokens.
        evaluation_share: share of the time that evaluations may take.
    """

    name: ClassVar[str]
    phase: ClassVar[PhaseName]
    head: ClassVar[HeadName]
    unread: ClassVar[tuple[str, ...]]
    keeps_stable: ClassVar[bool] = False
    predicts_tokens: ClassVar[bool] = False
    evaluation_share: ClassVar[float]

    # Before the data is read

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """What is wrong with the settings for this task, one line each."""
        return []

    @classmethod
    @abstractmethod
    def defaults(cls) -> dict[str, Any]:
        """Settings that it decides before the preset does."""

    @classmethod
    @abstractmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """Reads and checks the data that the settings name; those that it uses have values.

        Raises:
            UserError: for the first thing that cannot be used.
        """

    @classmethod
    def read_lines(cls, lines: LabelledLines, config: TrainConfig, *, divide: bool = True) -> LabelledTexts:
        """Reads, checks and divides labelled lines, where the task has some.

        Args:
            lines: texts and labels.
            config: the settings; those that it uses have values.
            divide: whether validation lines are set aside where `lines` has none.

        Raises:
            DataError: for the first thing that cannot be used.
            ConfigError: if the task has no labelled lines.
        """
        raise ConfigError([f"config: task {cls.name}: it learns from files of running text, not from labels"])

    @classmethod
    @abstractmethod
    def of(cls, source: Source, config: TrainConfig) -> Self:
        """The task on some data."""

    @classmethod
    @abstractmethod
    def blank(cls) -> Self:
        """The task on no data, with one output where it has any: for names of tensors."""

    @classmethod
    @abstractmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """The task of a model directory.

        Args:
            directory: with the files that `store` has written.
            stored: what config.json holds for the task.

        Raises:
            RunError: if something is missing or damaged.
        """

    # Rules for what the user left open

    @abstractmethod
    def token_budget(self, facts: Facts) -> tuple[int, str]:
        """Rows of a batch, and the reason."""

    @abstractmethod
    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides what is left open about learning.

        Raises:
            ConfigError: for settings that contradict each other or do not fit the data.
        """

    @abstractmethod
    def eval_every(self, facts: EvaluationFacts) -> tuple[int, str]:
        """Optimizer steps between two evaluations, and the reason."""

    # Learning

    silence: ClassVar[str] = ""
    """Why the model says nothing about texts, and what to do, where it says nothing."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of what it gives probabilities for; none where it says nothing about texts."""
        return ()

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """K, the outputs of the head for a text; 0 where it gives none for texts."""

    @abstractmethod
    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> nn.Module:
        """A model with weights drawn from torch's generator.

        Args:
            config: the architecture.
            tensors: by the names of its state dict, taken over instead; those of the head may be missing.
        """

    @abstractmethod
    def outline(self, config: EncoderConfig) -> nn.Module:
        """The model on the meta device: names and shapes, at no cost."""

    @abstractmethod
    def learning(
        self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer, device: torch.device
    ) -> Learning:
        """How the labels, or the language, are learned.

        Args:
            config: the settings.
            source: what is learned from.
            tokenizer: of the texts.
            device: that trains.
        """

    def measuring(self, config: ResolvedConfig, tokenizer: TextTokenizer) -> Transform:
        """What becomes of the examples of an evaluation."""
        return Transform()

    # Measuring

    @abstractmethod
    def metric(self, config: ResolvedConfig) -> str:
        """The name of the measure by which the best weights are chosen."""

    @abstractmethod
    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """The higher, the better the weights; at least 0."""

    @abstractmethod
    def scorer(self, model: nn.Module) -> Scorer:
        """Collects an evaluation of a model."""

    def choose(  # noqa: B027 (most tasks have nothing to choose)
        self, model: nn.Module, outputs: Iterable[tuple[Tensor, Targets]], gathering: Gathering
    ) -> None:
        """Chooses what the model needs beside its weights, as thresholds, by examples set aside for that.

        Args:
            model: is given what was chosen.
            outputs: of the model, and the targets, batch by batch.
            gathering: brings the processes' parts together.
        """

    # What a trained model says

    @abstractmethod
    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """(N, K) fp32 probabilities of outputs."""

    @abstractmethod
    def predictions(
        self, probabilities_NK: np.ndarray, model: nn.Module, *, every: bool
    ) -> Iterator[Prediction]:
        """What is said of each text.

        Args:
            probabilities_NK: of the texts.
            model: that gave them.
            every: whether a prediction holds the probabilities of all classes too.
        """

    @abstractmethod
    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """The values that `batch.Targets` holds for each line of a label file.

        Raises:
            UnknownLabelError: for a label that the model does not know.
        """

    # On disk, and in other libraries

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """What config.json holds for the task."""

    @abstractmethod
    def store(self, directory: Path) -> None:
        """Writes what does not belong into config.json."""

    @abstractmethod
    def published(self, model: nn.Module) -> dict[str, Any]:
        """Keys of Hugging Face's config.json that say what the outputs mean."""

    @abstractmethod
    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """The parts of a model card that depend on the task."""

    @abstractmethod
    def amounts(self, record: Mapping[str, Any]) -> str:
        """What a run has learned from, in a few words, from run.json.

        Raises:
            KeyError, TypeError, ValueError: if it is not the record of such a run.
        """

    @abstractmethod
    def results(self, record: Mapping[str, Any]) -> str:
        """What a finished run measured, in a sentence, from run.json; see `amounts`."""

    def every_output(self, batch: Batch) -> Batch:
        """The batch with everything to be read that the model can say of it, for comparisons."""
        return batch

    def split_outputs(self, outputs: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
        """The outputs of `every_output`, text by text."""
        return list(outputs)

    def summary(self) -> str:
        """What the outputs are, for a line about an export; empty where there is nothing to say."""
        return ""

    @classmethod
    def keeps(cls, name: str) -> bool:
        """Whether a tensor of an earlier model of the same form is worth keeping as a start."""
        return True


@dataclass(frozen=True)
class CardFacts:
    """What a model card says of any model.

    Attributes:
        name: of the export.
        max_length: tokens of a text, or of a sequence.
        tokenizer: of the model.
    """

    name: str
    max_length: int
    tokenizer: TextTokenizer


@dataclass(frozen=True)
class Card:
    """Parts of a model card.

    Attributes:
        pipeline: Hugging Face's name of the pipeline.
        about: what the model is, without a full stop at the end.
        more: paragraphs about what it says.
        example: lines of Python that use it.
    """

    pipeline: str
    about: str
    more: tuple[str, ...]
    example: tuple[str, ...]


class UnknownLabelError(ValueError):
    """A label that a model does not know.

    Attributes:
        index: of the line, from 0.
        label: as it stands there.
    """

    def __init__(self, index: int, label: str) -> None:
        super().__init__(f"label {index}: {label!r} is not one of this model's labels")
        self.index, self.label = index, label
