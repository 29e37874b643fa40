"""The record of what is decided about a configuration, one setting after the other, and the facts that rules
read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.presets import EncoderConfig
from custom_bert.rules.choices import Choice


@dataclass
class Decisions:
    """A configuration in which one setting after the other is decided.

    Attributes:
        asked: the configuration as the user wrote it, with None for what is left open.
        config: the configuration with what is decided so far.
        log: the decisions in order, with the reasons.
        warnings: what the user should know, one line each.
    """

    asked: TrainConfig
    config: TrainConfig
    log: list[Choice] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def set(self, name: str, value: Any, reason: str) -> None:
        """Sets a field, and records that with the reason."""
        self.config = configuration.replace(self.config, {name: value})
        self.log.append(Choice(name, value, reason))

    def default(self, name: str, value_and_reason: tuple[Any, str]) -> None:
        """Sets a field, unless the user or an earlier decision has set it.

        Args:
            name: the dotted name of the field.
            value_and_reason: the value, and the reason for it.
        """
        if configuration.to_flat(self.config)[name] is None:
            self.set(name, *value_and_reason)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts that rules about training read.

    Attributes:
        tokens: the number of tokens in the training texts.
        texts: the number of training texts, at least 1.
        encoder: the architecture.
        pretrained: whether training starts from a pretrained encoder.
        can_mask: whether the tokenizer has a mask token.
        fitting_rows: the number of rows of a step that fit into memory.
        device: the kind of device that trains, "cpu" or "cuda".
        earlier_lr: the peak learning rate of the run whose optimizer moments are taken over; None if there is
            none.
    """

    tokens: int
    texts: int
    encoder: EncoderConfig
    pretrained: bool
    can_mask: bool
    fitting_rows: int
    earlier_lr: float | None = None
    device: str = "cpu"

    @property
    def mean_tokens(self) -> float:
        """The mean number of tokens in a training text."""
        return self.tokens / self.texts


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts:
    """The facts that rules about evaluations read.

    Attributes:
        steps_per_epoch: the number of optimizer steps in an epoch.
        epochs: the number of epochs that are planned.
        tokens_per_step: the number of tokens that a step reads at most.
        pretrained: whether training starts from a pretrained encoder.
        training_tokens: the number of tokens that an epoch reads.
        validation_tokens: the number of tokens that an evaluation reads.
        validation_texts: the number of validation texts.
    """

    steps_per_epoch: int
    epochs: int
    tokens_per_step: int
    pretrained: bool
    training_tokens: int
    validation_tokens: int
    validation_texts: int
