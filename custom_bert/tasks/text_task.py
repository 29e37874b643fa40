"""What the tasks share that learn a target for each text: reading line-aligned files, the rules for what the
user left open, the model, and how it learns.

Such a task adds how label files are read (`reader`), the loss (`loss`), the scorer and the decoder. Where the
targets are classes, `tasks.labelled` has more of it.

Shapes: C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from custom_bert.config import TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.loader import Transform
from custom_bert.data.reading import LabelledLines, data_files, read_dataset
from custom_bert.data.set_aside import NOTHING_ASIDE, Aside
from custom_bert.data.source import Source
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.decoding.decoder import Decoder
from custom_bert.errors import ConfigError
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outline import from_tensors, outline
from custom_bert.presets import EncoderConfig
from custom_bert.rules import choices, evaluations
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.floored import FlooredTask
from custom_bert.tasks.parts import HeadName, Learning, Measured, Objective, PhaseName


@dataclass(frozen=True)
class TextTask(FlooredTask):
    """A task that learns a target for each text.

    Attributes:
        measures: the names of the measures that `optim.metric` may choose; the first is the default.
        model_class: the class of the model.
        card_title: what the model is, for its model card.
        problem_type: the value of Hugging Face's key `problem_type`, by which transformers picks the loss.
    """

    phase: ClassVar[PhaseName] = "train"
    head: ClassVar[HeadName] = "sequence_classification"
    evaluation_share: ClassVar[float] = evaluations.EVALUATION_SHARE
    pretrained_by_default: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]]
    model_class: ClassVar[type[SequenceClassifier]] = SequenceClassifier
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
        return NOTHING_ASIDE

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
        return choices.token_budget(facts.tokens, fitting=facts.fitting_rows, device=facts.device)

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """Decides what is open about learning and about pretraining on the texts before it.

        The order matters: the number of epochs goes by the token dropout, and the learning rate by whether
        there is pretraining.
        """
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
        """Evaluates once an epoch, within limits; see `evaluations.eval_every`."""
        return evaluations.eval_every(
            facts.steps_per_epoch,
            facts.epochs,
            pretrained=facts.pretrained,
            training_tokens=facts.training_tokens,
            validation_tokens=facts.validation_tokens,
            validation_texts=facts.validation_texts,
        )

    # Learning

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
    def loss(self, config: ResolvedConfig, source: Source) -> Objective:
        """Returns the loss on the training split.

        Args:
            config: the settings.
            source: the data, as `read` returned it.
        """

    def learning(self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer) -> Learning:
        """Learns the targets, with token dropout and R-Drop where the settings have them."""
        optim = config.optim
        rate = optim.token_dropout
        return Learning(
            objective=self.loss(config, source),
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

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns the measure that `optim.metric` names. Where texts have weights, it counts them by weight,
        so that the kept weights are the best by what the user calls important."""
        return measured.weighted_numbers[config.optim.metric]

    def amounts(self, record: Mapping[str, Any]) -> str:
        """Returns the numbers of training texts and of their tokens."""
        data = record["data"]
        what = "pairs of texts" if data.get("pairs") else "texts"
        return f"{data['train_examples']:,} {what} ({data['train_tokens']:,} tokens)"


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
