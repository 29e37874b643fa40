"""What the tasks with labelled texts share: reading, the rules about learning, the model, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from custom_bert import files
from custom_bert.config import TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.labels import is_label, labels_by_id, short_label
from custom_bert.data.loader import Transform
from custom_bert.data.reading import LabelledLines, data_files, read_dataset
from custom_bert.data.source import Source
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import ConfigError, RunError
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outline import from_tensors, outline
from custom_bert.presets import EncoderConfig
from custom_bert.reports.tables import TABLE_ROWS
from custom_bert.rules import choices
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.task import Card, CardFacts, HeadName, Learning, Objective, PhaseName, Task

MOST_LABELS = 1 << 24
"""Labels that config.json may speak of."""


@dataclass(frozen=True)
class LabelledTask(Task):
    """A task whose targets are classes.

    Attributes:
        labels: the names of the C classes, in the order of the outputs.
    """

    labels: tuple[str, ...]

    phase: ClassVar[PhaseName] = "train"
    head: ClassVar[HeadName] = "sequence_classification"
    evaluation_share: ClassVar[float] = choices.EVALUATION_SHARE
    measures: ClassVar[tuple[str, ...]]
    """Names of the measures that `optim.metric` may choose; the first is the default."""
    classifier: ClassVar[type[SequenceClassifier]] = SequenceClassifier
    choosing: ClassVar[float] = 0.0
    """Share of the training lines by which something is chosen after each evaluation."""
    kind: ClassVar[str]
    """What the model is, for its card."""
    problem_type: ClassVar[str]
    """Hugging Face's name."""

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Reads the label files."""
        raise NotImplementedError

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """See `Task`."""
        metric = config.optim.metric
        if metric is None or metric in cls.measures:
            return []
        return [f"optim.metric {metric}: task {cls.name} has {', '.join(cls.measures)}"]

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """See `Task`."""
        return {"data.val_fraction": 0.1, "optim.metric": cls.measures[0]}

    @classmethod
    def read(cls, config: TrainConfig, cache: Cache) -> Source:
        """See `Task`."""
        return cls.read_lines(data_files(config.data), config)

    @classmethod
    def read_lines(cls, lines: LabelledLines, config: TrainConfig, *, divide: bool = True) -> LabelledTexts:
        """See `Task`."""
        fraction = config.data.val_fraction if divide else 0.0
        assert fraction is not None
        dataset = read_dataset(
            lines, cls.reader(config), val_fraction=fraction, choosing=cls.choosing, seed=config.seed
        )
        return LabelledTexts(dataset, config.seed)

    @classmethod
    def of(cls, source: Source, config: TrainConfig) -> Self:
        """See `Task`."""
        return cls(source.labels)

    @classmethod
    def blank(cls) -> Self:
        """See `Task`."""
        return cls(("",))

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """See `Task`."""
        count, path = stored.get("num_labels"), directory / "labels.json"
        if type(count) is not int or not 1 <= count <= MOST_LABELS:
            raise RunError(f"{directory / 'config.json'}: num_labels is {count}")
        labels = files.read_run_json(directory, "labels.json")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise RunError(f"{path}: expected a list of strings")
        for label in labels:
            if not is_label(label):
                raise RunError(f"{path}: {short_label(label)} cannot be a label")
        if len(labels) != count:
            raise RunError(f"{path}: expected {count} labels, got {len(labels)}")
        seen = set[str]()
        for label in labels:
            if label in seen:
                raise RunError(f"{path}: the label {short_label(label)} stands there twice")
            seen.add(label)
        return cls(tuple(labels))

    def stored(self) -> dict[str, Any]:
        """See `Task`."""
        return {"num_labels": len(self.labels)}

    def store(self, directory: Path) -> None:
        """See `Task`."""
        files.write_json(directory / "labels.json", list(self.labels))

    # Rules

    def token_budget(self, facts: Facts) -> tuple[int, str]:
        """See `Task`."""
        if facts.trained:
            return choices.finetune_token_budget(facts.mean_tokens, fitting=facts.fitting_rows)
        return choices.token_budget(facts.tokens, fitting=facts.fitting_rows)

    def decide(self, todo: Decisions, facts: Facts) -> None:
        """See `Task`."""
        tokens, trained, width = facts.tokens, facts.trained, facts.encoder.hidden_size
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
            choices.finetune_epochs(tokens, texts=facts.texts)
            if trained
            else choices.epochs(tokens, token_dropout=rate),
        )
        todo.default("optim.layer_lr_decay", choices.layer_lr_decay(trained=trained))
        todo.default("optim.schedule", choices.schedule(trained=trained))
        _decide_r_drop(todo, facts)
        todo.default("optim.pretrain_epochs", choices.pretrain_epochs(tokens))
        pretrained = bool(todo.config.optim.pretrain_epochs)
        if trained:
            todo.default("optim.lr", choices.finetune_learning_rate(width))
        todo.default("optim.lr", choices.learning_rate(width, pretrained=pretrained))

    def eval_every(self, facts: EvaluationFacts) -> tuple[int, str]:
        """See `Task`."""
        return choices.eval_every(
            facts.steps_per_epoch,
            facts.epochs,
            trained=facts.trained,
            training_tokens=facts.training_tokens,
            validation_tokens=facts.validation_tokens,
        )

    # Learning

    @property
    def output_names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    @property
    def num_outputs(self) -> int:
        """C, the number of classes."""
        return len(self.labels)

    def model(self, config: EncoderConfig, tensors: dict[str, Tensor] | None = None) -> SequenceClassifier:
        """See `Task`."""
        if tensors is None:
            return self.classifier(config, len(self.labels))
        return from_tensors(self.classifier, config, len(self.labels), tensors)

    def outline(self, config: EncoderConfig) -> SequenceClassifier:
        """See `Task`."""
        return outline(self.classifier, config, len(self.labels))

    @classmethod
    def keeps(cls, name: str) -> bool:
        """The last projection belongs to the labels of the earlier model."""
        return not name.startswith("head.projection")

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: int) -> Objective:
        """The loss.

        Args:
            config: the settings.
            counts_C: (C,) training examples of each class, on the device that trains.
            examples: all training examples.
        """
        raise NotImplementedError

    def learning(
        self, config: ResolvedConfig, source: Source, tokenizer: TextTokenizer, device: torch.device
    ) -> Learning:
        """See `Task`."""
        optim = config.optim
        assert isinstance(source, LabelledTexts)
        train = source.dataset.train
        counts_C = torch.from_numpy(train.targets.counts(len(self.labels)))
        rate = optim.token_dropout
        return Learning(
            objective=self.objective(config, counts_C.to(device), len(train)),
            transform=Transform(
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

    def metric(self, config: ResolvedConfig) -> str:
        """See `Task`."""
        return config.optim.metric

    # In other libraries

    def names(self) -> dict[str, Any]:
        """Hugging Face's tables of the labels."""
        return {
            "id2label": {str(i): label for i, label in enumerate(self.labels)},
            "label2id": {label: i for i, label in enumerate(self.labels)},
            "problem_type": self.problem_type,
        }

    def card(self, encoder: EncoderConfig, model: nn.Module, about: CardFacts) -> Card:
        """See `Task`."""
        left_out = len(self.labels) - TABLE_ROWS
        more = f" and {left_out:,} more, which `config.json` has" if left_out > 0 else ""
        return Card(
            "text-classification",
            f"{self.kind} with {len(self.labels):,} labels: {encoder.num_hidden_layers} layers, "
            f"{encoder.hidden_size} wide, texts of up to {about.max_length} tokens",
            (f"Labels: {', '.join(f'`{label}`' for label in self.labels[:TABLE_ROWS])}{more}.",),
            (
                "from transformers import pipeline",
                "",
                f'pipeline("text-classification", "{about.name}", truncation=True)("a text")',
            ),
        )

    def amounts(self, record: Mapping[str, Any]) -> str:
        """See `Task`."""
        data = record["data"]
        return f"{data['train_examples']:,} texts ({data['train_tokens']:,} tokens)"

    def summary(self) -> str:
        """The labels, for a line about an export."""
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
