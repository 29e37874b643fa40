"""What is known of a run before its first step: the decisions, and the data and tokenizer to learn from.

Shapes: N examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from custom_bert.config import TrainConfig
from custom_bert.data.batching import plan_batches
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.source import Source
from custom_bert.data.store import StoreInfo
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.model_files.pretrained import Pretrained
from custom_bert.presets import EncoderConfig
from custom_bert.rules.choices import Choice, weighs
from custom_bert.rules.evaluations import evaluations_in_time
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.rules.schedule import Evaluations
from custom_bert.tasks.task import Task


@dataclass(frozen=True)
class RunPlan:
    """Everything that is decided about a run.

    Attributes:
        asked: the configuration as the user wrote it.
        config: the configuration in which every setting is decided.
        encoder: the architecture.
        device: the device that trains.
        task: the task, which knows the names of the classes.
        choices: the decisions that rules made, in order, with their reasons.
    """

    asked: TrainConfig
    config: ResolvedConfig
    encoder: EncoderConfig
    device: torch.device
    task: Task
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Material:
    """The data, the tokenizer and the pretrained encoder that a run learns from.

    Attributes:
        source: the checked data.
        tokenizer: the tokenizer, trained or loaded.
        train, val: what builds the batches of the two splits.
        choosing: what builds the batches of the examples on which thresholds or the factors of an ensemble
            are chosen; None if nothing is chosen.
        test: what builds the batches of the test examples, which decide nothing; None if there are none.
        truncation: how many texts were cut, and by how much, for each split.
        pretrained: the pretrained encoder to start from; None for random weights. Building the model empties
            its `state`.
        warnings: what the user should know of the data and of the settings, one line each.
    """

    source: Source
    tokenizer: TextTokenizer
    train: BatchBuilder
    val: BatchBuilder
    choosing: BatchBuilder | None
    test: BatchBuilder | None
    truncation: dict[str, StoreInfo]
    pretrained: Pretrained | None
    warnings: tuple[str, ...]

    @property
    def weighs(self) -> bool:
        """Whether enough examples are set aside to weigh encoder and floor on."""
        return self.choosing is not None and weighs(len(self.choosing.rows_N))

    @property
    def validation_texts(self) -> int:
        """The number of validation examples that do not train, by which something may be chosen."""
        return len(self.val.rows_N) if self.source.validates else 0

    def validation_tokens(self, task: type[Task] | Task) -> int:
        """Returns the number of tokens that an evaluation reads, those on which the task chooses included."""
        choosing = int(self.choosing.lengths_N.sum()) if task.chooses and self.choosing else 0
        return int(self.val.lengths_N.sum()) + choosing

    def description(self) -> dict[str, Any]:
        """Returns sizes, hashes and label counts, for run.json."""
        return {
            **self.source.description(),
            "train_tokens": int(self.train.lengths_N.sum()),
            "val_tokens": int(self.val.lengths_N.sum()),
            **({} if self.test is None else {"test_tokens": int(self.test.lengths_N.sum())}),
            "truncation": {
                split: {
                    "texts": info.truncated,
                    "share_of_tokens_lost": info.lost_tokens / (info.tokens + info.lost_tokens),
                }
                for split, info in self.truncation.items()
            },
            "warnings": list(self.warnings),
        }


def token_dropout(rate: float | None, seed: int) -> TokenDropout | None:
    """Returns what leaves tokens out of the training texts; None if the rate is 0 or not decided."""
    return TokenDropout(rate, seed) if rate else None


def epoch_batches(
    train: BatchBuilder, config: TrainConfig, seed: int, epoch: int, dropout: TokenDropout | None
) -> list[np.ndarray]:
    """Returns the training batches of an epoch, each as indices into the training split.

    Args:
        train: what builds the batches of the training split.
        config: the configuration; its batching is decided.
        seed: the seed of the batches' order.
        epoch: the number of the epoch, from 0.
        dropout: what leaves tokens out, so that more examples fit into a batch; None for nothing.
    """
    batch = config.batch
    assert batch.plan is not None and batch.token_budget is not None
    return plan_batches(
        train.kept_lengths(dropout, epoch),
        batch.plan,
        token_budget=batch.token_budget,
        batch_size=batch.batch_size,
        seed=seed,
        epoch=epoch,
    )


def evaluations(config: TrainConfig, task: type[Task] | Task, material: Material) -> tuple[Evaluations, str]:
    """Returns when the phase whose weights are kept is evaluated, and the reason."""
    if config.optim.eval_every is not None or config.optim.max_minutes is None:
        return Evaluations(config.optim.eval_every), "by the number of steps"
    assert config.optim.epochs is not None
    dropout = token_dropout(config.optim.token_dropout, config.seed)
    return evaluations_in_time(
        config.optim.epochs,
        pretrained=config.model.is_pretrained and not task.predicts_tokens,
        training_tokens=int(material.train.kept_lengths(dropout, 0).sum()),
        validation_tokens=material.validation_tokens(task),
        validation_texts=material.validation_texts,
        share=task.evaluation_share,
    )
