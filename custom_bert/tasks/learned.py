"""What the tasks share that learn targets which people gave: the rules for what the user left open, how the
best weights are chosen, and how much data a run has learned from.

Such a task adds how its data is read, the model, the loss, the scorer and the decoder. Where there is a
target for each text, `tasks.text_task` has more of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from custom_bert.config import TrainConfig
from custom_bert.data.loader import Transform
from custom_bert.errors import ConfigError
from custom_bert.rules import choices, evaluations
from custom_bert.rules.decisions import Decisions, EvaluationFacts, Facts
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.parts import Learning, Measured, Objective, PhaseName
from custom_bert.tasks.task import Task


@dataclass(frozen=True)
class LearnedTask(Task):
    """A task that learns given targets.

    Attributes:
        measures: the names of the measures that `optim.metric` may choose; the first is the default.
    """

    phase: ClassVar[PhaseName] = "train"
    evaluation_share: ClassVar[float] = evaluations.EVALUATION_SHARE
    pretrained_by_default: ClassVar[bool] = True
    measures: ClassVar[tuple[str, ...]]

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
        """A tenth of the training texts validates, the first of the measures chooses the weights, and of a
        long text the beginning is read."""
        return {"data.val_fraction": 0.1, "optim.metric": cls.measures[0], "data.long_texts": "head"}

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

    def learning_of(self, config: ResolvedConfig, objective: Objective, transform: Transform) -> Learning:
        """Returns how the task is learned, given its loss and what becomes of the examples."""
        optim = config.optim
        return Learning(
            objective=objective,
            transform=transform,
            lr=optim.lr,
            epochs=optim.epochs,
            seed=config.seed,
            dropout=True,
            layer_lr_decay=optim.layer_lr_decay,
            embedding_lr_factor=optim.embedding_lr_factor,
        )

    # Measuring, and what people are told

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
