"""Before the first step: everything that is decided, read and tokenised, each choice with its reason."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from custom_bert import config as configuration
from custom_bert import files, machine
from custom_bert.config import KERNELS_WITH_DROPOUT, Plan, TrainConfig
from custom_bert.data.batching import plan_batches
from custom_bert.data.dataset import Dataset, read_dataset
from custom_bert.data.findings import counted
from custom_bert.data.labels import label_counts
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.masking import MASK_RATE
from custom_bert.data.store import StoreInfo, TokenStore, cache_directory, cache_root, open_store
from custom_bert.data.text import LineReader
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer, load_tokenizer, train_tokenizer
from custom_bert.errors import ConfigError, DataError
from custom_bert.ops.attention import choose_kernel
from custom_bert.presets import TRAINING, EncoderConfig, encoder_config
from custom_bert.training import choices
from custom_bert.training.choices import Choice
from custom_bert.training.compile import choose_compile
from custom_bert.training.precision import DTYPES, choose_precision

NOT_IDENTITY = (
    "out",
    "data.train_texts",
    "data.train_labels",
    "data.val_texts",
    "data.val_labels",
    "data.tokenizer",
    "data.cache_dir",
    "runtime.log_every",
    "runtime.tensorboard",
)
"""Fields that do not decide what is learned; the files that paths lead to count by their content."""


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, decided and read.

    Attributes:
        config: with every field set that a run uses.
        encoder: the architecture.
        device: where to train.
        dataset: the checked data.
        tokenizer: trained or loaded.
        train, val: batch builders of the two splits.
        choices: what was decided, in order.
        warnings: about the data, one line each.
        truncation: how many texts were cut, and by how much, by split.
    """

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

    def identity(self) -> dict[str, Any]:
        """What makes this run this run: resolved settings, contents of the files, the tokenizer."""
        settings = configuration.to_flat(self.config)
        for name in NOT_IDENTITY:
            del settings[name]
        data = self.dataset
        hashes = {
            "train_texts": data.train_file.texts_sha256,
            "train_labels": data.train_file.labels_sha256,
            "val_texts": data.val_file.texts_sha256,
            "val_labels": data.val_file.labels_sha256,
            "tokenizer": self.tokenizer.sha256,
        }
        return {"settings": settings, "data": hashes}

    def identity_hash(self) -> str:
        """12 hexadecimal digits of `identity`."""
        content = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

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


@dataclass
class _Decisions:
    """The configuration as the user wrote it, as it fills up, and the log of who decided what."""

    asked: TrainConfig
    config: TrainConfig
    log: list[Choice] = field(default_factory=list)

    def set(self, name: str, value: Any, reason: str) -> None:
        """Sets a field and records it."""
        self.config = configuration.replace(self.config, {name: value})
        self.log.append(Choice(name, value, reason))

    def default(self, name: str, found: tuple[Any, str]) -> None:
        """Sets a field that nobody has set."""
        if configuration.to_flat(self.config)[name] is None:
            self.set(name, *found)


def prepare(config: TrainConfig, say: Callable[[str], None]) -> Prepared:
    """Reads the data and decides everything.

    Args:
        config: checked, with None where a rule decides.
        say: told what takes time.

    Raises:
        UserError: for anything that the user has to mend.
    """
    todo = _Decisions(config, config)
    for name, value in TRAINING[config.preset].items():
        todo.default(name, (value, f"preset {config.preset}"))
    device = _decide_machine(todo)

    dataset = read_dataset(config.data, seed=config.seed)
    tokenizer = _tokenizer(todo, dataset, say)
    max_length, cache = todo.config.data.max_length, cache_root(config.data.cache_dir)
    assert max_length is not None

    def store(file_texts: str, sha256: str) -> TokenStore:
        return open_store(file_texts, sha256, tokenizer, max_length=max_length, cache=cache, progress=None)

    train_store = store(dataset.train_file.texts_path, dataset.train_file.texts_sha256)
    val_store = (
        train_store
        if dataset.was_divided
        else store(dataset.val_file.texts_path, dataset.val_file.texts_sha256)
    )
    pin = device.type == "cuda"
    train = BatchBuilder(train_store, dataset.train_rows, dataset.train_label_ids, tokenizer.pad_id, pin)
    val = BatchBuilder(val_store, dataset.val_rows, dataset.val_label_ids, tokenizer.pad_id, pin)
    encoder = _decide_model(todo, tokenizer, train)
    _decide_training(todo, train, encoder, tokenizer, device)
    truncation = {"train": train_store.info} | ({} if dataset.was_divided else {"val": val_store.info})
    prepared = Prepared(
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
            *_more_warnings(dataset, truncation, max_length),
            *_unread(config, todo.config, dataset),
        ),
        truncation,
    )
    batches = len(prepared.epoch_plan(config.seed, 0, prepared.token_dropout))
    steps = -(-batches // todo.config.batch.accumulation)
    every = choices.eval_every(
        steps,
        todo.config.optim.epochs or 1,
        training_tokens=int(train.kept_lengths(prepared.token_dropout, 0).sum()),
        validation_tokens=int(val.lengths_N.sum()),
    )
    todo.default("optim.eval_every", every)
    return dataclasses.replace(prepared, config=todo.config, choices=tuple(todo.log))


def _decide_machine(todo: _Decisions) -> torch.device:
    """Device, threads, precision, attention kernel, compilation."""
    device, reason = machine.choose_device(todo.config.runtime.device)
    todo.default("runtime.device", (device.type, reason))
    todo.default("runtime.threads", (machine.cores(), "cores that this process may use"))
    torch.set_num_threads(todo.config.runtime.threads or 1)
    precision, why = choose_precision(todo.config.runtime.precision, device)
    todo.default("runtime.precision", (precision, why))
    plan, dropout = todo.config.batch.plan, todo.config.model.attention_dropout
    kernel = todo.config.runtime.attention
    if kernel is None:
        max_length = todo.config.data.max_length
        assert max_length is not None
        choice = choose_kernel(
            few_blocks=plan != "packed",
            max_seqlen=max_length,
            device=device.type,
            dtype=DTYPES[precision],
            dropout=dropout > 0 and plan != "packed",
        )
        # stays None in the model: evaluation in fp32 asks the same rule again
        todo.log.append(Choice("runtime.attention", choice.kernel, choice.reason))
        kernel = choice.kernel
    if dropout and kernel not in KERNELS_WITH_DROPOUT:
        raise ConfigError(
            [f"config: model.attention_dropout: the {kernel} kernel has no dropout; set it to 0"]
        )
    if kernel == "varlen" and (device.type != "cuda" or precision == "fp32" or plan != "packed"):
        raise ConfigError(
            ["config: runtime.attention: varlen needs CUDA, bf16 or fp16, and batch.plan packed"]
        )
    if todo.config.runtime.compile is None:
        todo.set("runtime.compile", *choose_compile(device))
    return device


def _tokenizer(todo: _Decisions, dataset: Dataset, say: Callable[[str], None]) -> TextTokenizer:
    """The tokenizer that the user names, an earlier run's of the same text, or a new one."""
    data = todo.config.data
    if data.tokenizer:
        tokenizer = load_tokenizer(data.tokenizer, lowercase=data.lowercase)
        if todo.config.model.vocab_size not in (None, tokenizer.vocab_size):
            raise ConfigError(
                [
                    f"config: model.vocab_size is {todo.config.model.vocab_size}, but "
                    f"{data.tokenizer} has {tokenizer.vocab_size} entries; leave it out"
                ]
            )
        todo.default("model.vocab_size", (tokenizer.vocab_size, f"entries of {data.tokenizer}"))
        return tokenizer
    file = dataset.train_file
    wanted, reason = choices.vocab_size(file.characters)
    if todo.config.model.vocab_size is not None:
        wanted, reason = todo.config.model.vocab_size, "as configured"
    identity = f"wordpiece/1 {file.texts_sha256} {wanted} {data.lowercase}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32] + ".json"
    path = cache_root(data.cache_dir) / "tokenizers" / name
    tokenizer_or_none = _cached(path)
    if tokenizer_or_none is None:
        say("training a WordPiece vocabulary on the training texts")
        tokenizer_or_none = train_tokenizer(
            lambda: LineReader(file.texts_path).blocks(),
            vocab_size=wanted,
            lowercase=data.lowercase,
            characters=file.characters,
        )
        cache_directory(path.parent)
        files.write_text(path, tokenizer_or_none.to_json())
    tokenizer = tokenizer_or_none
    if todo.config.model.vocab_size is None:
        if tokenizer.vocab_size < wanted:
            reason += " hold no more"
        todo.set("model.vocab_size", tokenizer.vocab_size, reason)
    return tokenizer


def _cached(path: Path) -> TextTokenizer | None:
    if not path.is_file():
        return None
    try:
        return load_tokenizer(path)
    except DataError:
        return None  # damaged; it is made again


def _decide_model(todo: _Decisions, tokenizer: TextTokenizer, train: BatchBuilder) -> EncoderConfig:
    config = todo.config
    default_shape, reason = choices.shape(int(train.lengths_N.sum()))
    assert config.data.max_length is not None
    encoder = encoder_config(
        config.preset,
        config.model,
        vocab_size=tokenizer.vocab_size,
        pad_token_id=tokenizer.pad_id,
        max_length=config.data.max_length,
        default_shape=default_shape,
    )
    for name in (f.name for f in dataclasses.fields(config.model)):
        if name != "size" and getattr(config.model, name) is None:
            by_size = name in ("hidden_size", "num_hidden_layers")
            why = (
                (f"size {config.model.size}" if config.model.size else reason)
                if by_size
                else f"preset {config.preset}"
            )
            todo.set(f"model.{name}", getattr(encoder, name), why)
    return encoder


def _decide_training(
    todo: _Decisions,
    train: BatchBuilder,
    encoder: EncoderConfig,
    tokenizer: TextTokenizer,
    device: torch.device,
) -> None:
    tokens = int(train.lengths_N.sum())
    if todo.config.batch.plan == "padded":
        todo.default("batch.batch_size", (32, "the padded plan's default"))
    else:
        fitting = choices.fitting_rows(encoder.bytes_per_row(MASK_RATE), machine.memory_of(device))
        todo.default("batch.token_budget", choices.token_budget(tokens, fitting=fitting))
    if tokenizer.mask_id is None:
        if todo.asked.optim.pretrain_epochs:
            raise ConfigError(
                ["config: optim.pretrain_epochs: the tokenizer has no [MASK] token; set it to 0"]
            )
        todo.set("optim.pretrain_epochs", 0, "the tokenizer has no [MASK] token")
    start = todo.config.optim.embedding_init or "random"
    todo.default("optim.embedding_lr_factor", choices.embedding_lr_factor(start))
    mean = tokens / max(1, len(train.lengths_N))
    todo.default("optim.token_dropout", choices.token_dropout(mean))
    rate = todo.config.optim.token_dropout or 0.0
    todo.default("optim.epochs", choices.epochs(tokens, token_dropout=rate))
    dropout = max(encoder.hidden_dropout, encoder.attention_dropout)
    todo.default("optim.r_drop", choices.r_drop(tokens, dropout=dropout))
    todo.default("optim.pretrain_epochs", choices.pretrain_epochs(tokens))
    pretrained = bool(todo.config.optim.pretrain_epochs)
    if pretrained:
        todo.default("optim.pretrain_lr", choices.pretrain_learning_rate(encoder.hidden_size))
    todo.default("optim.lr", choices.learning_rate(encoder.hidden_size, pretrained=pretrained))


def _unread(asked: TrainConfig, config: TrainConfig, dataset: Dataset) -> list[str]:
    """Settings that the user has made and that this run does not read."""
    padded, model, given = config.batch.plan == "padded", config.model, configuration.to_flat(asked)
    local = bool(model.local_attention)
    reasons = {
        "batch.token_budget": "batch.plan is padded, which goes by batch.batch_size" if padded else "",
        "model.rope_theta": "" if model.position == "rope" else f"model.position is {model.position}",
        "model.local_rope_theta": ""
        if model.position == "rope" and local
        else "there are no rotary local layers",
        "model.global_attn_every_n_layers": "" if local else "model.local_attention is 0",
        "data.val_fraction": "" if dataset.was_divided else "there are validation files",
        "data.lowercase": (
            "a tokenizer.json says so itself" if str(config.data.tokenizer or "").endswith(".json") else ""
        ),
        "optim.pretrain_lr": "" if config.optim.pretrain_epochs else "optim.pretrain_epochs is 0",
        "runtime.compile_mode": "" if config.runtime.compile else "runtime.compile is off",
    }
    defaults = configuration.to_flat(TrainConfig())
    return [
        f"{name} {given[name]} has no effect: {reason}"
        for name, reason in reasons.items()
        if reason and given[name] not in (None, defaults[name])
    ]


def _more_warnings(dataset: Dataset, truncation: dict[str, StoreInfo], max_length: int) -> list[str]:
    warnings = []
    for split, info in truncation.items():
        path = (dataset.train_file if split == "train" else dataset.val_file).texts_path
        if info.truncated:
            share = info.lost_tokens / (info.tokens + info.lost_tokens)
            warnings.append(
                f"{path}: {counted(info.truncated, 'text')} of {info.texts:,} cut to "
                f"{max_length} tokens, {share:.1%} of all tokens lost"
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
