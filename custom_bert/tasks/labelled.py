"""What the tasks share whose targets are classes of texts: data, rules, the model, and its description.

Such a task adds how label files are read (`reader`), the loss (`objective`), the scorer, and the predictions.

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
from custom_bert.data.cache import Cache
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.labels import labels_by_id
from custom_bert.data.loader import Transform
from custom_bert.data.reading import LabelledLines, data_files, read_dataset
from custom_bert.data.set_aside import NOTHING_ASIDE, Aside
from custom_bert.data.source import Source
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.decoding.decoder import Decoder
from custom_bert.decoding.label_names import read_labels
from custom_bert.errors import ConfigError
from custom_bert.floor.ensemble import Ensemble, has_ensemble, read_ensemble
from custom_bert.floor.linear import Floor
from custom_bert.floor.storage import read_floor
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outline import from_tensors, outline
from custom_bert.presets import EncoderConfig
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.rules import choices
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import unknown_in_table
from custom_bert.tasks.floors import (
    Combined,
    FittedFloor,
    combine,
    drawn_for_measuring,
    drawn_for_training,
    measure_on_test,
)
from custom_bert.tasks.floors import measure as measure_floor
from custom_bert.tasks.parts import Card, CardFacts, HeadName, Learning, Measured, Objective, PhaseName
from custom_bert.tasks.task import Task


@dataclass(frozen=True)
class LabelledTask(Task):
    """A task whose targets are classes of texts.

    Attributes:
        labels: the names of the C classes, in the order of the model's outputs.
        measures: the names of the measures that `optim.metric` may choose; the first is the default.
        model_class: the class of the model.
        card_title: what the model is, for its model card.
        has_thresholds: whether each label has a threshold.
        problem_type: the value of Hugging Face's key `problem_type`, by which transformers picks the loss.
    """

    labels: tuple[str, ...]

    phase: ClassVar[PhaseName] = "train"
    head: ClassVar[HeadName] = "sequence_classification"
    evaluation_share: ClassVar[float] = choices.EVALUATION_SHARE
    pretrained_by_default: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]]
    model_class: ClassVar[type[SequenceClassifier]] = SequenceClassifier
    has_floor: ClassVar[bool] = True
    probes: ClassVar[bool] = True
    combines: ClassVar[bool] = True
    has_thresholds: ClassVar[bool] = False
    card_title: ClassVar[str]
    problem_type: ClassVar[str]

    @abstractmethod
    def decoder(self, thresholds_C: np.ndarray | None) -> Decoder:
        """Returns what turns the outputs into predictions; see `Task.decoder`."""

    @classmethod
    @abstractmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a new reader for the label files of one data set."""

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """Refuses a metric that the task does not measure, and a probe where there is none."""
        metric, start, faults = config.optim.metric, config.optim.head_init, []
        if metric is not None and metric not in cls.measures:
            faults.append(f"optim.metric {metric}: task {cls.name} has {', '.join(cls.measures)}")
        if start not in (None, "random") and not cls.probes:
            faults.append(f"optim.head_init {start}: task {cls.name} has no probe; leave it out")
        return faults

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """A tenth of the training lines validates, and the first of the measures chooses the weights."""
        return {"data.val_fraction": 0.1, "optim.metric": cls.measures[0]}

    @classmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """Reads text files and label files; their lines belong together by number."""
        return cls.read_lines(data_files(config.data), config)

    @classmethod
    def read_lines(cls, lines: LabelledLines, config: TrainConfig, *, divide: bool = True) -> LabelledTexts:
        """Reads and divides labelled lines; see `Task.read_lines`.

        Lines to choose values on are set aside even without `divide`, since they do not train either.
        """
        fraction = config.data.val_fraction if divide else None
        assert fraction is not None or not divide
        aside = cls.aside(config)
        dataset = read_dataset(
            lines, cls.reader(config), val_fraction=fraction, aside=aside, seed=config.seed
        )
        return LabelledTexts(dataset, config.seed, aside.use)

    @classmethod
    def aside(cls, config: TrainConfig) -> Aside:
        """Returns which training lines are set aside to choose values on, such as thresholds."""
        if cls.combines and config.floor and config.ensemble is not False:
            return Aside(choices.ensemble_share, "to combine encoder and floor", choices.ENSEMBLE_LINES)
        return NOTHING_ASIDE

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

    def stored(self) -> dict[str, Any]:
        """Returns the keys of the decoder, which say what the outputs are."""
        return self.decoder(None).stored()

    def store(self, directory: Path) -> None:
        """Writes the files of the decoder, such as labels.json."""
        self.decoder(None).store(directory)

    # Rules

    def token_budget(self, facts: Facts) -> tuple[int, str]:
        """Goes by the number of training tokens; from a pretrained encoder on, by the texts' mean length."""
        if facts.pretrained:
            return choices.finetune_token_budget(facts.mean_tokens, fitting=facts.fitting_rows)
        return choices.token_budget(facts.tokens, fitting=facts.fitting_rows)

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides what is open about learning and about pretraining on the texts before it.

        The order matters: the number of epochs goes by the token dropout, and the learning rate by whether
        there is pretraining.
        """
        if faults := unknown_in_table(todo.config.optim.class_weights, self.labels):
            raise ConfigError([f"config: {fault}" for fault in faults])
        tokens, pretrained, width = facts.tokens, facts.pretrained, facts.encoder.hidden_size
        if todo.config.runtime.shard:
            todo.default("optim.pretrain_epochs", (0, "runtime.shard divides one model, not two"))
        if not facts.can_mask:
            if todo.asked.optim.pretrain_epochs:
                raise ConfigError(
                    ["config: optim.pretrain_epochs: the tokenizer has no [MASK] token; set it to 0"]
                )
            todo.set("optim.pretrain_epochs", 0, "the tokenizer has no [MASK] token")
        start = todo.config.optim.embedding_init or "random"
        todo.default("optim.embedding_lr_factor", choices.embedding_lr_factor(start))
        todo.default("optim.token_dropout", choices.token_dropout(facts.mean_tokens))
        rate = todo.config.optim.token_dropout or 0.0
        todo.default(
            "optim.epochs",
            choices.finetune_epochs(
                tokens, texts=facts.texts, contrast=todo.config.optim.head_init == "contrast"
            )
            if pretrained
            else choices.epochs(tokens, token_dropout=rate),
        )
        todo.default("optim.layer_lr_decay", choices.layer_lr_decay(pretrained=pretrained))
        todo.default("optim.schedule", choices.schedule(pretrained=pretrained))
        _decide_r_drop(todo, facts)
        todo.default("optim.pretrain_epochs", choices.pretrain_epochs(tokens))
        after_pretraining = bool(todo.config.optim.pretrain_epochs)
        if pretrained:
            todo.default("optim.lr", choices.finetune_learning_rate(width))
        todo.default("optim.lr", choices.learning_rate(width, after_pretraining=after_pretraining))

    def eval_every(self, facts: EvaluationFacts) -> tuple[int, str]:
        """Evaluates once an epoch, within limits; see `choices.eval_every`."""
        return choices.eval_every(
            facts.steps_per_epoch,
            facts.epochs,
            pretrained=facts.pretrained,
            training_tokens=facts.training_tokens,
            validation_tokens=facts.validation_tokens,
            validation_texts=facts.validation_texts,
        )

    # Learning

    @property
    def output_names(self) -> tuple[str, ...]:
        """The labels, in the order of the logits."""
        return self.labels

    @property
    def num_outputs(self) -> int:
        """C, the number of classes."""
        return len(self.labels)

    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> SequenceClassifier:
        """Returns a classifier, whose head is drawn where `tensors` lacks a part of it."""
        if tensors is None:
            return self.model_class(config, self.num_outputs)
        return from_tensors(self.model_class, config, self.num_outputs, tensors)

    def outline(self, config: EncoderConfig) -> SequenceClassifier:
        """Returns the classifier on the meta device."""
        return outline(self.model_class, config, self.num_outputs)

    @classmethod
    def keeps(cls, name: str) -> bool:
        """Keeps the layers of the head below the projection.

        The rows of the last projection belong to the earlier run's labels, and so does what stands beside the
        head, such as thresholds.
        """
        return name.startswith(("head.dense.", "head.norm."))

    @abstractmethod
    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: float) -> Objective:
        """Returns the loss.

        Args:
            config: the settings.
            counts_C: (C,) the number of training examples of each class, or the sum of their weights, on the
                device that trains.
            examples: the number of all training examples, or the sum of their weights.
        """

    def _objective(self, config: ResolvedConfig, source: Source, device: torch.device) -> Objective:
        """Returns the loss on the training split. Classes are balanced by the weights of their texts, as in
        scikit-learn: here too, a text with the weight 2 is as two texts."""
        assert isinstance(source, LabelledTexts)
        train = source.dataset.train.targets
        masses_C = torch.from_numpy(train.masses(len(self.labels)))
        examples = len(train) if train.weights_N is None else float(train.weights_N.sum(dtype=np.float64))
        return self.objective(config, masses_C.to(device), examples)

    def learning(
        self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer, device: torch.device
    ) -> Learning:
        """Learns the labels, with token dropout and R-Drop where the settings have them."""
        optim = config.optim
        rate = optim.token_dropout
        return Learning(
            objective=self._objective(config, source, device),
            transform=Transform(
                # R-Drop compares two passes of a text, which stand side by side in the batch
                copies=2 if optim.r_drop else 1,
                token_dropout=TokenDropout(rate, config.seed) if rate else None,
            ),
            lr=optim.lr,
            epochs=optim.epochs,
            seed=config.seed,
            dropout=True,
            layer_lr_decay=optim.layer_lr_decay,
            embedding_lr_factor=optim.embedding_lr_factor,
        )

    def probe_objective(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss of the labels without R-Drop, which compares two passes of a text."""
        plain = replace(config, optim=replace(config.optim, r_drop=0.0))
        return self._objective(plain, source, torch.device("cpu"))

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns the measure that `optim.metric` names. Where texts have weights, it counts them by weight,
        so that the kept weights are the best by what the user calls important."""
        return measured.weighted_numbers[config.optim.metric]

    # The floor

    def fit_floor(self, source: Source, config: ResolvedConfig) -> FittedFloor:
        """Fits a linear model on n-grams; of very much text, on lines that are drawn at random."""
        assert isinstance(source, LabelledTexts)
        data = source.dataset
        rows_N = drawn_for_training(data, config.seed)
        floor = self.floor_of(data, rows_N, config)
        val_N = drawn_for_measuring(data.val, config.seed)
        measured = measure_floor(floor, data.val, val_N, self.scorer(floor.thresholds_C))
        counts = {"texts": len(rows_N), "of": len(data.train)}
        return FittedFloor(floor, measured, {**counts, "val_texts": len(val_N), "val_of": len(data.val)})

    @abstractmethod
    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Floor:
        """Returns a floor that is fitted on some training texts, by their indices within the split.

        Raises:
            NoFloorError: if the data allows none.
        """

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

    def floor_on_test(
        self,
        source: Source,
        floor: Floor,
        ensemble: Ensemble | None,
        outputs_NK: np.ndarray | None,
    ) -> tuple[Measured, Measured | None]:
        """Measures the floor on all test texts and, with an ensemble, encoder and floor together."""
        assert isinstance(source, LabelledTexts) and source.dataset.test is not None
        return measure_on_test(floor, source.dataset.test, self.scorer, ensemble, outputs_NK)

    def read_floor(self, run: Path) -> Floor:
        """Reads the floor of a run directory, which has to have as many outputs as the task."""
        return read_floor(run, self.num_outputs, sets=self.has_thresholds)

    # In other libraries

    def published(self, model: nn.Module) -> dict[str, Any]:
        """Returns Hugging Face's tables of the labels, and the type of the problem."""
        return {
            "id2label": {str(i): label for i, label in enumerate(self.labels)},
            "label2id": {label: i for i, label in enumerate(self.labels)},
            "problem_type": self.problem_type,
        }

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """Lists the labels, and shows a text-classification pipeline."""
        left_out = len(self.labels) - TABLE_ROWS
        more = f" and {left_out:,} more, which `config.json` has" if left_out > 0 else ""
        return Card(
            "text-classification",
            f"{self.card_title} with {len(self.labels):,} labels: {encoder.num_hidden_layers} layers, "
            f"{encoder.hidden_size} wide, {about.texts} of up to {about.max_length} tokens",
            (f"Labels: {', '.join(f'`{label}`' for label in self.labels[:TABLE_ROWS])}{more}.",),
            (
                "from transformers import pipeline",
                "",
                f'pipeline("text-classification", "{about.name}", truncation=True)({about.example})',
            ),
        )

    def amounts(self, record: Mapping[str, Any]) -> str:
        """Returns the numbers of training texts and of their tokens."""
        data = record["data"]
        what = "pairs of texts" if data.get("pairs") else "texts"
        return f"{data['train_examples']:,} {what} ({data['train_tokens']:,} tokens)"

    def summary(self) -> str:
        """Returns the number of labels and the first of them with their ids."""
        return f"{len(self.labels):,} labels; {labels_by_id(self.labels)}"


def _decide_r_drop(todo: Decisions, facts: Facts) -> None:
    dropout = max(facts.encoder.hidden_dropout, facts.encoder.attention_dropout)
    todo.default("optim.r_drop", choices.r_drop(facts.tokens, dropout=dropout))
    if todo.config.optim.r_drop and not dropout:
        raise ConfigError(
            [
                "config: optim.r_drop compares two passes under dropout, and the checkpoint has none; set "
                "model.hidden_dropout, or optim.r_drop to 0"
            ]
        )
