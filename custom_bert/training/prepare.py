"""Before the first step: everything that is decided, read and tokenised, each choice with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from custom_bert import machine
from custom_bert.batch import round_up
from custom_bert.checkpoints.families import inexpressible
from custom_bert.checkpoints.pretrained import Pretrained
from custom_bert.config import LongTexts, Plan, TrainConfig, require
from custom_bert.data.batching import ROW_MULTIPLE, plan_batches
from custom_bert.data.dataset import Dataset
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.store import StoreInfo
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.openmp import about_to_compute
from custom_bert.precision import doubts
from custom_bert.presets import EncoderConfig
from custom_bert.training import choices
from custom_bert.training.choices import Choice
from custom_bert.training.decisions import (
    Decisions,
    decide_defaults,
    decide_machine,
    decide_model,
    decide_start,
    decide_training,
    unread,
)
from custom_bert.training.ranks import Ranks
from custom_bert.training.schedule import Evaluations
from custom_bert.training.sources import Source, read


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, decided and read.

    Attributes:
        asked: the configuration with None where a rule decides.
        config: with every field set that a run uses.
        encoder: the architecture.
        device: where to train.
        source: the checked data.
        tokenizer: trained or loaded.
        train, val: batch builders of the two splits.
        choices: what was decided, in order.
        warnings: about the data, one line each.
        truncation: how many texts were cut, and by how much, by split.
        pretrained: the trained encoder that is the start, if any; `build` empties its `state`.
        ranks: the processes that train.
    """

    asked: TrainConfig
    config: TrainConfig
    encoder: EncoderConfig
    device: torch.device
    source: Source
    tokenizer: TextTokenizer
    train: BatchBuilder
    val: BatchBuilder
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    truncation: dict[str, StoreInfo]
    pretrained: Pretrained | None
    ranks: Ranks = field(default_factory=Ranks)

    @property
    def plan(self) -> Plan:
        """The batching plan, resolved."""
        plan = self.config.batch.plan
        assert plan is not None
        return plan

    @property
    def max_length(self) -> int:
        """Tokens kept of a text, resolved."""
        length = self.config.data.max_length
        assert length is not None
        return length

    @property
    def token_dropout(self) -> TokenDropout | None:
        """What learning the labels leaves out of the texts, resolved."""
        rate = self.config.optim.token_dropout
        return TokenDropout(rate, self.config.seed) if rate else None

    @property
    def training_tokens(self) -> int:
        """Of a pass over the training split."""
        return int(self.train.kept_lengths(self.token_dropout, 0).sum())

    @property
    def validation_tokens(self) -> int:
        """Of the validation split."""
        return int(self.val.lengths_N.sum())

    @property
    def evaluates_by_time(self) -> bool:
        """Whether the time, and no number of steps, says when to evaluate."""
        return self.config.optim.max_minutes is not None and self.config.optim.eval_every is None

    def epoch_plan(self, seed: int, epoch: int, dropout: TokenDropout | None) -> list[np.ndarray]:
        """The training batches of an epoch: indices into the training split."""
        batch = self.config.batch
        return plan_batches(
            self.train.kept_lengths(dropout, epoch),
            self.plan,
            token_budget=batch.token_budget or 1,
            batch_size=batch.batch_size,
            seed=seed,
            epoch=epoch,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The label strings; none of running text."""
        return self.source.labels

    @property
    def dataset(self) -> Dataset:
        """The labelled texts."""
        assert isinstance(self.source, Dataset), "running text has no labels"
        return self.source

    def description(self) -> dict[str, Any]:
        """Sizes, hashes and label counts, for run.json."""
        return {
            **self.source.description(),
            "train_tokens": int(self.train.lengths_N.sum()),
            "val_tokens": self.validation_tokens,
            "truncation": {
                split: {
                    "texts": info.truncated,
                    "share_of_tokens_lost": info.lost_tokens / (info.tokens + info.lost_tokens),
                }
                for split, info in self.truncation.items()
            },
            "warnings": list(self.warnings),
        }


def prepare(config: TrainConfig, say: Callable[[str], None]) -> Prepared:
    """Reads the data and decides everything.

    Args:
        config: checked, with None where a rule decides.
        say: told what takes time.

    Raises:
        UserError: for anything that the user has to mend.
    """
    todo = Decisions(config, config)
    lost = about_to_compute()  # a checkpoint is checked by threads
    todo.warnings += [lost] if lost else []
    pretrained = decide_start(todo, say)
    decide_defaults(todo, pretrained)
    device = decide_machine(todo)

    found = read(todo, pretrained, device, say)
    tokenizer, train, val = found.tokenizer, found.train, found.val
    encoder = decide_model(todo, tokenizer, train, pretrained)
    begun_at = pretrained.lr if pretrained else None
    decide_training(todo, train, encoder, tokenizer, device, begun_at=begun_at)
    prepared = Prepared(
        config,
        todo.config,
        encoder,
        device,
        found.source,
        tokenizer,
        train,
        val,
        (),
        (
            *found.warnings,
            *todo.warnings,
            *doubts(require(todo.config.runtime.precision), device),
            *_unfilled(config, tokenizer),
            *_filler(config),
            *_not_exported(encoder, config.data.long_texts),
            *_too_long(todo.config, encoder, train, device),
            *unread(config, todo.config, found.source),
        ),
        found.truncation,
        pretrained,
    )
    if prepared.evaluates_by_time:  # then it stays None
        todo.log.append(Choice("optim.eval_every", "by time", _evaluations_in_time(prepared)[1]))
    else:
        todo.default("optim.eval_every", _eval_every(prepared))
    return dataclasses.replace(prepared, config=todo.config, choices=tuple(todo.log))


def _eval_every(prepared: Prepared) -> tuple[int, str]:
    config, validation = prepared.config, prepared.validation_tokens
    if config.objective == "masked_lm":
        budget = config.batch.token_budget or (config.batch.batch_size or 1) * prepared.max_length
        return choices.corpus_eval_every(budget, config.batch.accumulation, validation)
    batches = len(prepared.epoch_plan(config.seed, 0, prepared.token_dropout))
    return choices.eval_every(
        -(-batches // config.batch.accumulation),
        config.optim.epochs or 1,
        trained=prepared.pretrained is not None,
        training_tokens=prepared.training_tokens,
        validation_tokens=validation,
    )


def evaluations(prepared: Prepared) -> Evaluations:
    """When the phase whose weights are kept is evaluated."""
    return (
        _evaluations_in_time(prepared)[0]
        if prepared.evaluates_by_time
        else Evaluations(prepared.config.optim.eval_every)
    )


def _evaluations_in_time(prepared: Prepared) -> tuple[Evaluations, str]:
    masked = prepared.config.objective == "masked_lm"
    return choices.evaluations_in_time(
        prepared.config.optim.epochs or 1,
        trained=prepared.pretrained is not None and not masked,
        training_tokens=prepared.training_tokens,
        validation_tokens=prepared.validation_tokens,
        share=choices.CORPUS_EVALUATION_SHARE if masked else choices.EVALUATION_SHARE,
    )


def _too_long(
    config: TrainConfig, encoder: EncoderConfig, train: BatchBuilder, device: torch.device
) -> list[str]:
    """A text with all of its windows shares a step, which no token budget bounds."""
    if train.window is None or not len(train.rows_N):
        return []
    texts = (config.batch.batch_size or 1) if config.batch.plan == "padded" else 1
    copies = 2 if config.optim.r_drop else 1
    rows = int(np.sort(train.windows_of_texts())[-texts:].sum()) * train.window * copies
    fitting = choices.fitting_rows(encoder.bytes_per_row, machine.memory_of(device))
    if rows <= fitting:
        return []
    return [
        f"the longest texts make steps of up to {rows:,} rows, and {fitting:,} fit into "
        f"{choices.MEMORY_SHARE:.0%} of the memory; a smaller data.max_length or batch.batch_size helps"
    ]


def _unfilled(config: TrainConfig, tokenizer: TextTokenizer) -> list[str]:
    """A vocabulary is no larger than the words and pieces that the text has."""
    wanted = config.model.vocab_size
    if wanted is None or wanted <= tokenizer.vocab_size:
        return []
    return [f"model.vocab_size {wanted:,}: the texts hold no more than {tokenizer.vocab_size:,} entries"]


def _filler(config: TrainConfig) -> list[str]:
    """Batches end at a multiple of some rows."""
    budget = config.batch.token_budget
    if budget is None or budget % ROW_MULTIPLE == 0:
        return []
    full = round_up(budget, ROW_MULTIPLE)
    return [
        f"batch.token_budget {budget:,}: batches are filled up to {full:,} rows; a multiple of 64 is better"
    ]


def _not_exported(encoder: EncoderConfig, long_texts: LongTexts) -> list[str]:
    fault = inexpressible(encoder, long_texts)
    return [f"custom-bert export will refuse this run: {fault}"] if fault else []
