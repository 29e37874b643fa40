"""What is decided of a configuration, one setting after the other, and who decided it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.presets import EncoderConfig
from custom_bert.rules.choices import Choice


@dataclass
class Decisions:
    """A configuration that fills up.

    Attributes:
        asked: as the user wrote it, with None for what is left open.
        config: as it fills up.
        log: what was decided, in order, with the reasons.
        warnings: what the user has to be told, one line each.
    """

    asked: TrainConfig
    config: TrainConfig
    log: list[Choice] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def set(self, name: str, value: Any, reason: str) -> None:
        """Sets a field and records it."""
        self.config = configuration.replace(self.config, {name: value})
        self.log.append(Choice(name, value, reason))

    def default(self, name: str, value_and_reason: tuple[Any, str]) -> None:
        """Sets a field that nobody has set.

        Args:
            name: of the field, dotted.
            value_and_reason: its value and the reason.
        """
        if configuration.to_flat(self.config)[name] is None:
            self.set(name, *value_and_reason)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What rules about training go by.

    Attributes:
        tokens: of the training texts.
        texts: how many training texts there are, at least 1.
        encoder: the architecture.
        trained: whether a trained encoder is the start.
        can_mask: whether the tokenizer has a mask token.
        fitting_rows: rows of a step that fit into memory.
        begun_at: the peak learning rate of the run whose optimizer moments are taken over; None if there is
            none.
    """

    tokens: int
    texts: int
    encoder: EncoderConfig
    trained: bool
    can_mask: bool
    fitting_rows: int
    begun_at: float | None = None

    @property
    def mean_tokens(self) -> float:
        """Tokens of a training text, in the mean."""
        return self.tokens / self.texts


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts:
    """What rules about evaluations go by.

    Attributes:
        steps_per_epoch: optimizer steps of a pass.
        epochs: passes that are planned.
        tokens_per_step: that a step reads.
        trained: whether a trained encoder is the start.
        training_tokens: of a pass.
        validation_tokens: of an evaluation.
    """

    steps_per_epoch: int
    epochs: int
    tokens_per_step: int
    trained: bool
    training_tokens: int
    validation_tokens: int
