"""What a task is: one kind of target, from the label file to the printed prediction.

A `Task` supplies the parts (`tasks.parts`), and `custom_bert.training` and `custom_bert.inference` put them
together without knowing which task it is. A new task is a file in this folder, a name in `config.TaskName`
and in `tasks.registry`, and its measures in `config.Metric` and `reports.measures`. A task that learns a
target for each text inherits most of it from `tasks.text_task`, and classes from `tasks.labelled`.

The methods of `Task` stand in the order in which a run calls them: settings, data, rules, learning,
measuring; then what a trained model predicts, and what is written to disk.

Shapes: N texts, K outputs of the model for each text. Where there are classes, K is their number C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.config import HeadInit, LongTexts, TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.loader import Transform
from custom_bert.data.reading import LabelledLines
from custom_bert.data.source import Source
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.decoding.decoder import Decoder
from custom_bert.errors import ConfigError, RunError
from custom_bert.floor.ensemble import Ensemble
from custom_bert.floor.linear import Floor
from custom_bert.presets import EncoderConfig
from custom_bert.rules import choices
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.floors import Combined, FittedFloor
from custom_bert.tasks.parts import (
    Card,
    CardFacts,
    Gathering,
    HeadName,
    Learning,
    Measured,
    Objective,
    PhaseName,
    Scorer,
)


class Task(ABC):
    """A kind of target.

    The class answers what is asked before the data is read. An instance also knows what the data has shown,
    such as the names of the classes; it is made by `from_source` in training and by `restored` from disk.

    Attributes:
        name: the value of the setting `task`.
        phase: the name of the phase in which the task is learned.
        head: the kind of the model's head.
        unread: the names of the settings that the task does not read. A run warns if one of them is set.
        keeps_stable: whether a run with the wsd schedule keeps the encoder from before the learning rate
            falls, so that training can continue from there.
        predicts_tokens: whether the model predicts tokens. Then all token vectors are trained, also those of
            tokens that no text has, and `optim.mask_rate` is used.
        evaluation_share: the share of a run's time that evaluations may take.
        has_floor: whether a linear model on n-grams can do the task too (`fit_floor`).
        combines: whether encoder and floor can predict together (`combine`).
        probes: whether the head of the model may start from a linear probe (`probe_objective`).
        contrasts: whether each text has one class, so that the encoder may first learn by contrast.
        chooses: whether the model has something that is chosen before each evaluation (`choose`).
        pretrained_by_default: whether training starts from the default checkpoint, if that is at hand and the
            user leaves the start open.
        label_sets: whether a text may have several labels; None if labels never tell that this is the task.
        takes_shares: whether a text is divided among labels by shares.
        labels_units: whether the outputs belong to the units of a text, its words and signs, and not to the
            whole text (`data.encoded.units_of`). K is the number of outputs of each unit then.
    """

    name: ClassVar[str]
    phase: ClassVar[PhaseName]
    head: ClassVar[HeadName]
    unread: ClassVar[tuple[str, ...]]
    keeps_stable: ClassVar[bool] = False
    predicts_tokens: ClassVar[bool] = False
    evaluation_share: ClassVar[float]
    has_floor: ClassVar[bool] = False
    combines: ClassVar[bool] = False
    probes: ClassVar[bool] = False
    contrasts: ClassVar[bool] = False
    chooses: ClassVar[bool] = False
    pretrained_by_default: ClassVar[bool] = False
    label_sets: ClassVar[bool | None] = None
    takes_shares: ClassVar[bool] = False
    labels_units: ClassVar[bool] = False

    # Settings, before the data is read

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """Returns what is wrong with the user's settings for this task, one line each."""
        return []

    @classmethod
    @abstractmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the settings that the task fills where the user left them open, by dotted name.

        They come before those of the preset. `data.val_fraction` and `optim.metric` have to be among them.
        """

    # Data

    @classmethod
    @abstractmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """Reads and checks the data that the settings name.

        Args:
            config: the settings; `defaults` are filled in.
            cache: keeps what is computed from the data between runs.

        Raises:
            UserError: for the first thing in the data that cannot be used.
        """

    @classmethod
    def read_lines(cls, lines: LabelledLines, config: TrainConfig, *, divide: bool = True) -> LabelledTexts:
        """Reads, checks and divides labelled lines, for `check-data` and `evaluate`.

        Only tasks with label files have this; they call it in `read` too.

        Args:
            lines: the texts and the labels.
            config: the settings; `defaults` are filled in.
            divide: whether validation lines are set aside where `lines` has none.

        Raises:
            DataError: for the first thing in the data that cannot be used.
            ConfigError: if the task has no labelled lines.
        """
        raise ConfigError([f"config: task {cls.name}: it learns from files of running text, not from labels"])

    @classmethod
    @abstractmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Returns the task for data that was read, from which it takes the names of its classes."""

    @classmethod
    @abstractmethod
    def blank(cls) -> Self:
        """Returns a task without data and with at most one output.

        Its model has the same names of tensors as any other of this task. A checkpoint that is read has to
        have these names.
        """

    # Rules for what the user left open

    @abstractmethod
    def token_budget(self, facts: Facts) -> tuple[int, str]:
        """Returns the number of rows of a batch, and the reason in a few words."""

    @abstractmethod
    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides the settings of learning that are still open, each with its reason.

        Afterwards no setting of `rules.resolved.ResolvedOptim` may be None.

        Raises:
            ConfigError: for settings that contradict each other or do not fit the data.
        """

    @abstractmethod
    def eval_every(self, facts: EvaluationFacts) -> tuple[int, str]:
        """Returns the number of optimizer steps between two evaluations, and the reason in a few words."""

    # Learning

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """K, the number of outputs that the model has for a text.

        0 means that the model predicts nothing for whole texts. Such a model cannot be loaded as a
        `Classifier`, and `no_predictions` says why.
        """

    no_predictions: ClassVar[str] = ""
    """For a task without outputs for texts: what the model is instead, and what the user can do with it. The
    words `{directory}` stand for the run directory."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The K names of the outputs, for a task whose outputs are classes; otherwise none."""
        return ()

    @abstractmethod
    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> nn.Module:
        """Returns a new model.

        Args:
            config: the architecture.
            tensors: values by the names of the model's state dict. Tensors of the head may be missing; these,
                and all of them without `tensors`, are drawn from torch's generator.
        """

    @abstractmethod
    def outline(self, config: EncoderConfig) -> nn.Module:
        """Returns the model on the meta device: its names and shapes, without memory for its weights."""

    @classmethod
    def keeps(cls, name: str) -> bool:
        """Returns whether a new run that starts from an earlier one takes over this tensor of its head.

        A projection to classes is not worth keeping, since its rows belong to the earlier run's labels.
        """
        return True

    @abstractmethod
    def learning(self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer) -> Learning:
        """Returns how the phase of this task learns.

        Args:
            config: the settings.
            source: the data, as `read` returned it.
            tokenizer: the tokenizer of the texts.
        """

    def probe_objective(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss of a linear probe, from which the head of the model may start (`probes`)."""
        raise AssertionError(f"{self.name} has no probe")

    def head_init(self, texts: int, *, epochs: int) -> tuple[HeadInit, str]:
        """Returns how the head of the model begins from a checkpoint that was made for mean vectors, and the
        reason. Only a task that `probes` is asked.

        Args:
            texts: the number of training texts.
            epochs: the number of epochs.
        """
        return choices.head_init(texts, epochs=epochs, classes=self.num_outputs)

    def probe_texts(self, texts: int) -> int:
        """Returns how many of the training texts a probe is fitted on."""
        return choices.probe_texts(texts, classes=self.num_outputs)

    def first_biases(self, config: ResolvedConfig, source: Source) -> Tensor | None:
        """Returns (K,) the first biases of a random head's last layer; None for zeros."""
        return None

    def measuring(self, config: ResolvedConfig, tokenizer: TextTokenizer) -> Transform:
        """Returns how examples change before they form a batch of an evaluation; only its masker is used."""
        return Transform()

    # Measuring

    def kept_by(self, config: ResolvedConfig) -> str:
        """Returns what `worth` is, in words; run.json holds it."""
        return config.optim.metric

    @abstractmethod
    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns the number by which the best weights are chosen: the higher, the better, and at least 0.

        A measure that should be low has to be turned round, as 1 / perplexity.
        """

    @abstractmethod
    def scorer(self, thresholds_C: np.ndarray | None) -> Scorer:
        """Returns a scorer for one evaluation of a model.

        Args:
            thresholds_C: (C,) float32 what `choose` has chosen for it; None where it has chosen nothing.
        """

    def choose(  # noqa: B027 (most tasks have nothing to choose)
        self, model: nn.Module, outputs: Iterable[tuple[Tensor, Targets]], gathering: Gathering
    ) -> None:
        """Chooses what the model needs beside its weights, such as thresholds, before each evaluation.

        Only a task that `chooses` is asked to, on lines that were set aside for it (`Dataset.choosing`).
        The choice is kept in a buffer of the model, so that it is saved with the weights.

        Args:
            model: the model, which is changed.
            outputs: the model's outputs and the targets of these lines, batch by batch.
            gathering: brings the parts of several processes together.
        """

    # The floor, a linear model on n-grams that is ready before the encoder

    def fit_floor(self, source: Source, config: ResolvedConfig) -> FittedFloor:
        """Fits a floor on the training texts, and measures it on the validation texts.

        Only a task with `has_floor` is asked for one.

        Raises:
            NoFloorError: if the data allows none.
        """
        raise AssertionError(f"{self.name} has no floor")

    def read_floor(self, run: Path) -> Floor:
        """Reads the floor of a run directory.

        Raises:
            RunError: if there is none, or it is damaged or of another model.
        """
        raise RunError(f"{run}: task {self.name} has no floor")

    def read_ensemble(self, run: Path) -> Ensemble | None:
        """Reads the ensemble of a run directory; None if the encoder predicts alone.

        Raises:
            RunError: if it is damaged or of another model.
        """
        return None

    def combine(
        self, source: Source, floor: Floor, chosen_NK: np.ndarray | None, val_NK: np.ndarray
    ) -> Combined:
        """Fits an ensemble of encoder and floor, and measures it on the validation texts.

        Only a task that `combines` is asked to.

        Args:
            source: the data.
            floor: the floor.
            chosen_NK: the outputs of the encoder for the lines that were set aside (`Dataset.choosing`). None
                if these are too few; then the ensemble is the floor alone.
            val_NK: the outputs of the encoder for the validation texts.
        """
        raise AssertionError(f"{self.name} has no ensemble")

    def floor_on_test(
        self,
        source: Source,
        floor: Floor,
        ensemble: Ensemble | None,
        outputs_NK: np.ndarray | None,
    ) -> tuple[Measured, Measured | None]:
        """Measures a floor on the test texts, alone and together with the encoder.

        Only a task with `has_floor` is asked to.

        Args:
            source: the data, with test texts.
            floor: the floor.
            ensemble: the factors with which both predict; None if the encoder predicts alone.
            outputs_NK: the outputs of the encoder for the test texts, if there is an ensemble.

        Returns:
            What was measured of the floor and, with an ensemble, of both together.

        Raises:
            DataError: if the file of the texts has changed since it was checked.
        """
        raise AssertionError(f"{self.name} has no floor")

    # What a trained model predicts

    def decoder(self, thresholds_C: np.ndarray | None) -> Decoder:
        """Returns what turns the outputs of the model into predictions; only a task with outputs for texts is
        asked for it.

        Args:
            thresholds_C: (C,) float32 what `choose` has chosen; None where it has chosen nothing.
        """
        raise AssertionError(f"{self.name} predicts nothing for texts")

    @abstractmethod
    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Yields for each line of a label file what `batch.Targets.values` holds for its text.

        Raises:
            UnknownLabelError: for a label that the model does not know.
            LabelLineError: for a line that has not the form that the task reads.
        """

    def holds_votes(self, line: str) -> bool:
        """Returns whether a line of a label file, which `targets_of` can read, holds numbers that are divided
        by their sum. Whoever reads label files has to say so."""
        return False

    # On disk

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """Returns the task's own keys of a run's config.json. Any other key there is refused."""

    @abstractmethod
    def store(self, directory: Path) -> None:
        """Writes what is too large for config.json into files of its own."""

    @classmethod
    @abstractmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Returns the task of a model directory.

        Args:
            directory: the directory, with the files that `store` has written.
            stored: the content of config.json, the keys of `stored` among it.

        Raises:
            RunError: if something is missing or damaged.
        """

    # In other libraries, and for people

    @classmethod
    def published_long_texts(cls, long_texts: LongTexts | None) -> LongTexts:
        """Returns how an export has to read long texts, to be what the model is."""
        return long_texts or "head"

    def in_transformers(self) -> Task:
        """Returns the task as a class of transformers expresses it, whose outputs are linear in the vector of
        a text. What is published is asked of that one."""
        return self

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors of an export, from those of the model, by our names. A task whose head
        transformers does not have turns it into one that transformers has."""
        return dict(state)

    def published_outputs(self, outputs: Tensor) -> Tensor:
        """Returns what an export computes for a text, from what our model computes for it."""
        return outputs

    def published_task(self) -> Task:
        """Returns the task of a model whose outputs are those of `published_outputs`."""
        return self

    @abstractmethod
    def published(self, model: nn.Module) -> dict[str, Any]:
        """Returns the keys of Hugging Face's config.json that say what the outputs mean."""

    @abstractmethod
    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Returns the parts of a model card that depend on the task."""

    @abstractmethod
    def amounts(self, record: Mapping[str, Any]) -> str:
        """Returns from run.json how much data a run has learned from, in a few words.

        Raises:
            KeyError, TypeError, ValueError: if it is not the record of a run of this task.
        """

    @abstractmethod
    def results(self, record: Mapping[str, Any]) -> str:
        """Returns from run.json what a finished run measured, in a sentence. It raises as `amounts` does."""

    def every_output(self, batch: Batch) -> Batch:
        """Returns the batch with targets that make the model compute every output that it can.

        An export is verified on such batches.
        """
        return batch

    def split_outputs(self, outputs: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
        """Returns the outputs for a batch of `every_output`, text by text.

        Args:
            outputs: what the model returned.
            lengths: the number of tokens of each text.
        """
        return list(outputs)

    def summary(self) -> str:
        """Returns what the outputs are, for a line about an export; empty where there is nothing to say."""
        return ""
