"""Before the first step: everything that is decided, read and tokenised, each choice with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from custom_bert import machine
from custom_bert.checkpoints.families import inexpressible
from custom_bert.checkpoints.pretrained import Pretrained
from custom_bert.config import LongTexts, Plan, TrainConfig
from custom_bert.data.batching import plan_batches
from custom_bert.data.dataset import Dataset, read_dataset
from custom_bert.data.findings import counted
from custom_bert.data.labels import label_counts
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.masking import MASK_RATE
from custom_bert.data.store import StoreInfo, TokenStore, cache_root, open_store
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.windows import MOST
from custom_bert.presets import EncoderConfig
from custom_bert.training import choices
from custom_bert.training.choices import Choice
from custom_bert.training.decisions import (
    Decisions,
    decide_defaults,
    decide_machine,
    decide_model,
    decide_start,
    decide_tokenizer,
    decide_training,
    unread,
)


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, decided and read.

    Attributes:
        asked: the configuration with None where a rule decides.
        config: with every field set that a run uses.
        encoder: the architecture.
        device: where to train.
        dataset: the checked data.
        tokenizer: trained or loaded.
        train, val: batch builders of the two splits.
        choices: what was decided, in order.
        warnings: about the data, one line each.
        truncation: how many texts were cut, and by how much, by split.
        pretrained: the trained encoder that is the start, if any; `build` empties its `state`.
    """

    asked: TrainConfig
    config: TrainConfig
    encoder: EncoderConfig
    device: torch.device
    dataset: Dataset
    tokenizer: TextTokenizer
    train: BatchBuilder
    val: BatchBuilder
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    truncation: dict[str, StoreInfo]
    pretrained: Pretrained | None

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

    def description(self) -> dict[str, Any]:
        """Sizes, hashes and label counts, for run.json."""
        data = self.dataset
        return {
            "train_examples": len(data.train_rows),
            "val_examples": len(data.val_rows),
            "val_set_aside_from_train": data.was_divided,
            "train_tokens": int(self.train.lengths_N.sum()),
            "files": {
                path: sha
                for split in (data.train_file, data.val_file)
                for path, sha in (
                    (split.texts_path, split.texts_sha256),
                    (split.labels_path, split.labels_sha256),
                )
            },
            "labels": label_counts(data.train_label_ids, data.labels),
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
    pretrained = decide_start(todo, say)
    decide_defaults(todo, pretrained)
    device = decide_machine(todo)

    dataset = read_dataset(config.data, seed=config.seed)
    tokenizer = pretrained.tokenizer if pretrained else decide_tokenizer(todo, dataset, say)
    max_length, cache = todo.config.data.max_length, cache_root(config.data.cache_dir)
    assert max_length is not None

    def store(file_texts: str, sha256: str) -> TokenStore:
        return open_store(
            file_texts,
            sha256,
            tokenizer,
            max_length=max_length,
            long_texts=config.data.long_texts,
            cache=cache,
        )

    train_store = store(dataset.train_file.texts_path, dataset.train_file.texts_sha256)
    val_store = (
        train_store
        if dataset.was_divided
        else store(dataset.val_file.texts_path, dataset.val_file.texts_sha256)
    )
    pin = device.type == "cuda"
    window = max_length if config.data.long_texts == "windows" else None
    train, val = (
        BatchBuilder(store, rows, labels, tokenizer.pad_id, pin, window)
        for store, rows, labels in (
            (train_store, dataset.train_rows, dataset.train_label_ids),
            (val_store, dataset.val_rows, dataset.val_label_ids),
        )
    )
    encoder = decide_model(todo, tokenizer, train, pretrained)
    decide_training(todo, train, encoder, tokenizer, device)
    truncation = {"train": train_store.info} | ({} if dataset.was_divided else {"val": val_store.info})
    prepared = Prepared(
        config,
        todo.config,
        encoder,
        device,
        dataset,
        tokenizer,
        train,
        val,
        (),
        (
            *dataset.warnings,
            *_more_warnings(dataset, truncation, max_length, config.data.long_texts),
            *_not_exported(encoder, config.data.long_texts),
            *_too_long(todo.config, encoder, train, device),
            *unread(config, todo.config, dataset),
        ),
        truncation,
        pretrained,
    )
    batches = len(prepared.epoch_plan(config.seed, 0, prepared.token_dropout))
    steps = -(-batches // todo.config.batch.accumulation)
    every = choices.eval_every(
        steps,
        todo.config.optim.epochs or 1,
        trained=pretrained is not None,
        training_tokens=int(train.kept_lengths(prepared.token_dropout, 0).sum()),
        validation_tokens=int(val.lengths_N.sum()),
    )
    todo.default("optim.eval_every", every)
    return dataclasses.replace(prepared, config=todo.config, choices=tuple(todo.log))


def _too_long(
    config: TrainConfig, encoder: EncoderConfig, train: BatchBuilder, device: torch.device
) -> list[str]:
    """A text with all of its windows shares a step, which no token budget bounds."""
    if train.window is None or not len(train.rows_N):
        return []
    texts = (config.batch.batch_size or 1) if config.batch.plan == "padded" else 1
    copies = 2 if config.optim.r_drop else 1
    rows = int(np.sort(train.windows_of_texts())[-texts:].sum()) * train.window * copies
    fitting = choices.fitting_rows(encoder.bytes_per_row(MASK_RATE), machine.memory_of(device))
    if rows <= fitting:
        return []
    return [
        f"the longest texts make steps of up to {rows:,} rows, and {fitting:,} fit into "
        f"{choices.MEMORY_SHARE:.0%} of the memory; a smaller data.max_length or batch.batch_size helps"
    ]


def _not_exported(encoder: EncoderConfig, long_texts: LongTexts) -> list[str]:
    fault = inexpressible(encoder, long_texts)
    return [f"custom-bert export will refuse this run: {fault}"] if fault else []


KEPT: dict[LongTexts, str] = {
    "head": "{max_length} tokens",
    "head_tail": "{max_length} tokens, a quarter from the head and the rest from the end",
    "windows": f"{MOST} windows of {{max_length}} tokens",
}


def _more_warnings(
    dataset: Dataset, truncation: dict[str, StoreInfo], max_length: int, long_texts: LongTexts
) -> list[str]:
    warnings = []
    kept = KEPT[long_texts].format(max_length=max_length)
    for split, info in truncation.items():
        path = (dataset.train_file if split == "train" else dataset.val_file).texts_path
        if info.truncated:
            share = info.lost_tokens / (info.tokens + info.lost_tokens)
            warnings.append(
                f"{path}: {counted(info.truncated, 'text')} of {info.texts:,} cut to "
                f"{kept}, {share:.1%} of all tokens lost"
            )
        if info.unknown > 0.05 * info.tokens:
            warnings.append(
                f"{path}: {info.unknown / info.tokens:.0%} of the tokens are unknown to the vocabulary"
            )
    counts = np.bincount(dataset.train_label_ids, minlength=len(dataset.labels))
    if counts.max() > 10 * max(1, int(counts.min())):
        warnings.append(
            f"{dataset.train_file.labels_path}: the largest class has {counts.max():,} examples, the "
            f"smallest {counts.min():,}; optim.class_weights balanced and optim.metric macro_f1 may help"
        )
    return warnings
