"""What the user left open, decided: by the checkpoint, the preset, and rules on the data and the machine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from custom_bert import config as configuration
from custom_bert import files, machine, openmp, threads
from custom_bert.checkpoints.hub import locate
from custom_bert.checkpoints.pretrained import Pretrained, load_pretrained
from custom_bert.config import KERNELS_WITH_DROPOUT, TrainConfig, require
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import Corpus
from custom_bert.data.dataset import Dataset
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import load_tokenizer
from custom_bert.data.vocabulary import RULES, sample_stride, train_tokenizer
from custom_bert.errors import ConfigError, DataError
from custom_bert.ops.attention import choose_kernel
from custom_bert.ops.kernels import has_flash
from custom_bert.precision import DTYPES, choose_precision, sound_precision
from custom_bert.presets import TRAINING, EncoderConfig, check_encoder, encoder_config
from custom_bert.training import choices
from custom_bert.training.choices import Choice
from custom_bert.training.compile import choose_compile


@dataclass
class Decisions:
    """The configuration as the user wrote it, as it fills up, the log of who decided what, and what the user
    has to be warned of."""

    asked: TrainConfig
    config: TrainConfig
    log: list[Choice] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def set(self, name: str, value: Any, reason: str) -> None:
        """Sets a field and records it."""
        self.config = configuration.replace(self.config, {name: value})
        self.log.append(Choice(name, value, reason))

    def default(self, name: str, found: tuple[Any, str]) -> None:
        """Sets a field that nobody has set."""
        if configuration.to_flat(self.config)[name] is None:
            self.set(name, *found)


def decide_start(todo: Decisions, say: Callable[[str], None]) -> Pretrained | None:
    """The trained encoder that the user names, and what follows from starting there; None from scratch.

    Raises:
        ConfigError: for settings that a trained encoder has already, or that do not fit it.
        RunError: if it cannot be read.
    """
    config = todo.asked
    if config.model.init_from is None:
        if config.optim.embedding_init == "checkpoint":
            raise ConfigError(["config: optim.embedding_init: checkpoint needs model.init_from"])
        return None
    directory = locate(config.model.init_from, say)
    pretrained = load_pretrained(directory, source=config.model.init_from, objective=config.objective)
    for note in pretrained.notes:
        say(f"{pretrained.source}: {note}")
    encoder, faults = pretrained.encoder, []
    for item in dataclasses.fields(config.model):
        wanted = getattr(config.model, item.name)
        if wanted is None or item.name in OPEN:
            continue
        has = getattr(encoder, item.name, None)
        if wanted != has:
            what = f"has {has}" if item.name != "size" else "has its own"
            faults.append(
                f"config: model.{item.name} {wanted}: {pretrained.source} {what}, and renaming tensors "
                f"cannot change a trained architecture; leave it out"
            )
    if config.data.tokenizer:
        faults.append(f"config: data.tokenizer: {pretrained.source} brings its own; leave it out")
    if config.optim.embedding_init not in (None, "checkpoint"):
        faults.append("config: optim.embedding_init: model.init_from brings token vectors; leave it out")
    length, limit = config.data.max_length, encoder.max_position_embeddings
    if length is not None and length > limit:
        faults.append(
            f"config: data.max_length {length}: {pretrained.source} has {limit} positions; lower it, or take "
            f"a checkpoint with more"
        )
    if config.optim.freeze_layers > encoder.num_hidden_layers:
        faults.append(
            f"config: optim.freeze_layers {config.optim.freeze_layers}: {pretrained.source} has "
            f"{encoder.num_hidden_layers} layers"
        )
    if faults:
        raise ConfigError(faults)
    return pretrained


HEAD_WIDTH = 64
"""Of an attention head, for a rule that comes before the architecture."""

OPEN = ("init_from", "hidden_dropout", "attention_dropout", "pooling")
"""Fields of ModelConfig that do not belong to a trained encoder's tensors."""


def decide_defaults(todo: Decisions, pretrained: Pretrained | None) -> None:
    """What the checkpoint and the preset say, the checkpoint first."""
    if pretrained:
        why = "a trained encoder"
        todo.default("optim.embedding_init", ("checkpoint", why))
        todo.default("optim.token_dropout", (0.0, why))
        todo.default("optim.r_drop", (0.0, why))
        todo.default("optim.pretrain_epochs", (0, why))
        limit = pretrained.encoder.max_position_embeddings
        preset = TRAINING[todo.config.preset]["data.max_length"]
        if limit < preset:
            todo.default("data.max_length", (limit, f"positions of {pretrained.source}"))
    if todo.config.objective == "masked_lm":
        for name, value in PRETRAINING.items():
            todo.default(name, (value, "masked language modelling"))
    for name, value in TRAINING[todo.config.preset].items():
        todo.default(name, (value, f"preset {todo.config.preset}"))


def decide_machine(todo: Decisions) -> torch.device:
    """Device, threads, precision, attention kernel, compilation."""
    device, reason = machine.choose_device(todo.config.runtime.device)
    todo.default("runtime.device", (device.type, reason))
    _decide_threads(todo)
    precision, why = choose_precision(todo.config.runtime.precision, device)
    precision, fault = sound_precision(precision, device)
    if fault:
        todo.set("runtime.precision", precision, "bf16 products would be wrong in this process")
        todo.warnings.append(fault)
    else:
        todo.default("runtime.precision", (precision, why))
    plan, dropout = todo.config.batch.plan, todo.config.model.attention_dropout
    kernel, flash = todo.config.runtime.attention, has_flash(device, HEAD_WIDTH)
    if kernel is None:
        max_length = todo.config.data.max_length
        assert max_length is not None
        choice = choose_kernel(
            few_blocks=plan != "packed",
            max_seqlen=max_length,
            device=device.type,
            dtype=DTYPES[precision],
            dropout=dropout > 0 and plan != "packed",
            flash=flash,
        )
        # stays None in the model: evaluation in fp32 asks the same rule again
        todo.log.append(Choice("runtime.attention", choice.kernel, choice.reason))
        kernel = choice.kernel
    if dropout and kernel not in KERNELS_WITH_DROPOUT:
        raise ConfigError(
            [f"config: model.attention_dropout: the {kernel} kernel has no dropout; set it to 0"]
        )
    if kernel == "matmul" and device.type != "cpu":
        raise ConfigError(
            ["config: runtime.attention: matmul is made for a CPU; leave it out, or take dense"]
        )
    if kernel == "varlen" and (not flash or precision == "fp32" or plan != "packed"):
        raise ConfigError(
            [
                "config: runtime.attention: varlen needs CUDA on a GPU from Ampere on, bf16 or fp16, and "
                "batch.plan packed"
            ]
        )
    if todo.config.runtime.compile is None:
        todo.set("runtime.compile", *choose_compile(device))
    return device


def _decide_threads(todo: Decisions) -> None:
    """Sets torch's threads, within what OpenMP gives.

    Raises:
        ConfigError: if the user asks for more.
    """
    if openmp.threads_are_lost():
        todo.set("runtime.threads", 1, "forked from a process that had computed")
    todo.default("runtime.threads", threads.allowed())
    count, most = require(todo.config.runtime.threads), threads.limit()
    if most is not None and count > most:
        raise ConfigError(
            [f"config: runtime.threads {count}: {threads.LIMIT} is {most}; lower the one or raise the other"]
        )
    torch.set_num_threads(count)


@dataclass(frozen=True)
class Text:
    """What a vocabulary is trained on.

    Attributes:
        characters: of it.
        sha256: of its content.
        blocks: gives its lines, in lists, as often as it is called.
    """

    characters: int
    sha256: str
    blocks: Callable[[], Iterator[list[str]]]


def decide_tokenizer(todo: Decisions, text: Text, cache: Cache, say: Callable[[str], None]) -> TextTokenizer:
    """The tokenizer that the user names, an earlier run's of the same text, or a new one."""
    data = todo.config.data
    if data.tokenizer:
        tokenizer = load_tokenizer(data.tokenizer, lowercase=data.lowercase)
        for note in tokenizer.notes:
            say(f"{data.tokenizer}: {note}")
        if todo.config.model.vocab_size not in (None, tokenizer.vocab_size):
            raise ConfigError(
                [
                    f"config: model.vocab_size is {todo.config.model.vocab_size}, but "
                    f"{data.tokenizer} has {tokenizer.vocab_size} entries; leave it out"
                ]
            )
        todo.default("model.vocab_size", (tokenizer.vocab_size, f"entries of {data.tokenizer}"))
        return tokenizer
    wanted, reason = choices.vocab_size(text.characters)
    if todo.config.model.vocab_size is not None:
        wanted, reason = todo.config.model.vocab_size, "as configured"
    identity = f"{RULES} {text.sha256} {wanted} {data.lowercase}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32] + ".json"

    @functools.cache  # once, in however many places it cannot be kept
    def trained() -> TextTokenizer:
        read = text.characters // sample_stride(text.characters)
        share = f"{read:,} of {text.characters:,} characters of the texts"
        say(f"training a WordPiece vocabulary on {share}")
        return train_tokenizer(
            text.blocks, vocab_size=wanted, lowercase=data.lowercase, characters=text.characters
        )

    tokenizer = cache.get(
        lambda root: _cached(root / TOKENIZERS / name),
        lambda root: _kept(trained(), cache.folder(root, TOKENIZERS) / name),
    )
    if todo.config.model.vocab_size is None:
        if tokenizer.vocab_size < wanted:
            reason += ", which yield no more"
        todo.set("model.vocab_size", tokenizer.vocab_size, reason)
    return tokenizer


TOKENIZERS = "tokenizers"
"""The cache's folder of trained vocabularies."""


def _kept(tokenizer: TextTokenizer, path: Path) -> TextTokenizer:
    files.write_text(path.with_suffix(".sha256"), tokenizer.sha256)
    files.write_text(path, tokenizer.to_json())
    return tokenizer


def _cached(path: Path) -> TextTokenizer | None:
    try:
        if not path.is_file():
            return None
        found, written = load_tokenizer(path), path.with_suffix(".sha256").read_text(encoding="utf-8")
    except (DataError, OSError, UnicodeDecodeError):
        return None  # damaged; it is made again
    return found if found.sha256 == written else None


def decide_model(
    todo: Decisions, tokenizer: TextTokenizer, train: BatchBuilder, pretrained: Pretrained | None
) -> EncoderConfig:
    """The architecture: the checkpoint's, or of the preset, the user's wishes and the data."""
    config = todo.config
    if pretrained:
        encoder = dataclasses.replace(
            pretrained.encoder,
            **{
                name: value
                for name in OPEN
                if (value := getattr(config.model, name)) is not None and name != "init_from"
            },
        )
        faults = check_encoder(encoder)
        if faults:
            raise ConfigError([f"config: {fault}" for fault in faults])
        todo.log.append(Choice("preset", config.preset, "of training; the architecture is the checkpoint's"))
        for item in dataclasses.fields(config.model):
            if item.name not in ("size", "init_from") and getattr(config.model, item.name) is None:
                todo.set(f"model.{item.name}", getattr(encoder, item.name), "as trained")
        return encoder
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
        if name not in ("size", "init_from") and getattr(config.model, name) is None:
            by_size = name in ("hidden_size", "num_hidden_layers")
            why = (
                (f"size {config.model.size}" if config.model.size else reason)
                if by_size
                else f"preset {config.preset}"
            )
            todo.set(f"model.{name}", getattr(encoder, name), why)
    return encoder


def decide_training(
    todo: Decisions,
    train: BatchBuilder,
    encoder: EncoderConfig,
    tokenizer: TextTokenizer,
    device: torch.device,
    *,
    begun_at: float | None = None,
) -> None:
    """Batches, learning rate, passes, regularisation: by rules on the data; the learning rate of a run whose
    moments are taken is the one that it began with, `begun_at`."""
    masked = todo.config.objective == "masked_lm"
    tokens, texts = int(train.lengths_N.sum()), max(1, len(train.lengths_N))
    mean, trained = tokens / texts, todo.config.model.init_from is not None
    if todo.config.batch.plan == "padded":
        todo.default("batch.batch_size", (32, "the padded plan's default"))
    else:
        fitting = choices.fitting_rows(encoder.bytes_per_row, machine.memory_of(device))
        budget = (
            choices.finetune_token_budget(mean, fitting=fitting)
            if trained and not masked
            else choices.token_budget(tokens, fitting=fitting)
        )
        todo.default("batch.token_budget", budget)
    if masked:
        _decide_pretraining(todo, tokens, encoder, tokenizer, begun_at)
        return
    if todo.config.runtime.shard:
        todo.default("optim.pretrain_epochs", (0, "runtime.shard divides one model, not two"))
    if tokenizer.mask_id is None:
        if todo.asked.optim.pretrain_epochs:
            raise ConfigError(
                ["config: optim.pretrain_epochs: the tokenizer has no [MASK] token; set it to 0"]
            )
        todo.set("optim.pretrain_epochs", 0, "the tokenizer has no [MASK] token")
    start = todo.config.optim.embedding_init or "random"
    todo.default("optim.embedding_lr_factor", choices.embedding_lr_factor(start))
    todo.default("optim.token_dropout", choices.token_dropout(mean))
    rate = todo.config.optim.token_dropout or 0.0
    todo.default(
        "optim.epochs",
        choices.finetune_epochs(tokens, texts=texts)
        if trained
        else choices.epochs(tokens, token_dropout=rate),
    )
    todo.default("optim.layer_lr_decay", choices.layer_lr_decay(trained=trained))
    todo.default("optim.schedule", choices.schedule(trained=trained))
    dropout = max(encoder.hidden_dropout, encoder.attention_dropout)
    todo.default("optim.r_drop", choices.r_drop(tokens, dropout=dropout))
    if todo.config.optim.r_drop and not dropout:
        raise ConfigError(
            [
                "config: optim.r_drop compares two passes under dropout, and the checkpoint has none; set "
                "model.hidden_dropout, or optim.r_drop to 0"
            ]
        )
    todo.default("optim.pretrain_epochs", choices.pretrain_epochs(tokens))
    pretrained = bool(todo.config.optim.pretrain_epochs)
    if pretrained:
        todo.default(
            "optim.pretrain_lr", choices.pretrain_learning_rate(encoder.hidden_size, trained=trained)
        )
    if trained:
        todo.default("optim.lr", choices.finetune_learning_rate(encoder.hidden_size))
    todo.default("optim.lr", choices.learning_rate(encoder.hidden_size, pretrained=pretrained))


def _decide_pretraining(
    todo: Decisions,
    tokens: int,
    encoder: EncoderConfig,
    tokenizer: TextTokenizer,
    begun_at: float | None,
) -> None:
    if todo.config.batch.length_warmup and todo.config.batch.plan == "padded":
        raise ConfigError(
            ["config: batch.length_warmup cuts what is not padded; set batch.plan to uniform_length"]
        )
    if tokenizer.mask_id is None:
        raise ConfigError(["config: objective masked_lm: the tokenizer has no [MASK] token"])
    minutes = todo.config.optim.max_minutes
    trained = todo.config.model.init_from is not None
    todo.default("optim.epochs", choices.corpus_epochs(tokens, max_minutes=minutes))
    if begun_at is not None:
        todo.default("optim.lr", (begun_at, "of the run that goes on"))
    todo.default("optim.lr", choices.pretrain_learning_rate(encoder.hidden_size, trained=trained))


def _fraction_elsewhere(source: Dataset | Corpus) -> str:
    if isinstance(source, Dataset):
        return "" if source.was_divided else "there are validation files"
    return "objective is masked_lm, which reads data.held_out"


def _lowercase_elsewhere(config: TrainConfig) -> str:
    if config.model.init_from:
        return f"the tokenizer of {config.model.init_from} says so itself"
    return "a tokenizer.json says so itself" if str(config.data.tokenizer or "").endswith(".json") else ""


PRETRAINING: dict[str, Any] = {
    "data.max_length": 128,
    "optim.schedule": "wsd",
    "optim.embedding_lr_factor": 1.0,
    "optim.layer_lr_decay": 1.0,
    "optim.pretrain_epochs": 0,
    "optim.r_drop": 0.0,
    "optim.token_dropout": 0.0,
}
"""Defaults of masked_lm: short sequences and no dropout, as Geiping and Goldstein 2022 (arXiv 2212.14034)
advise for small budgets; warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395; ModernBERT)."""

OF_LABELS = (
    "data.train_texts",
    "data.train_labels",
    "data.val_texts",
    "data.val_labels",
    "data.long_texts",
    "optim.label_smoothing",
    "optim.class_weights",
    "optim.metric",
    "optim.pretrain_epochs",
    "optim.pretrain_lr",
    "optim.r_drop",
    "optim.token_dropout",
    "optim.layer_lr_decay",
    "optim.embedding_lr_factor",
)
OF_RUNNING_TEXT = ("data.corpus", "data.held_out", "batch.length_warmup")
"""Settings that one objective alone reads."""


def unread(asked: TrainConfig, config: TrainConfig, source: Dataset | Corpus) -> list[str]:
    """Settings that the user has made and that this run does not read."""
    labelled = isinstance(source, Dataset)
    padded, model, given = config.batch.plan == "padded", config.model, configuration.to_flat(asked)
    local = bool(model.local_attention)
    reasons = {
        "batch.token_budget": "batch.plan is padded, which goes by batch.batch_size" if padded else "",
        "model.rope_theta": "" if model.position == "rope" else f"model.position is {model.position}",
        "model.local_rope_theta": ""
        if model.position == "rope" and local
        else "there are no rotary local layers",
        "model.global_attn_every_n_layers": "" if local else "model.local_attention is 0",
        "data.val_fraction": _fraction_elsewhere(source),
        "data.lowercase": _lowercase_elsewhere(config),
        "optim.pretrain_lr": "" if config.optim.pretrain_epochs else "optim.pretrain_epochs is 0",
        "optim.decay": "" if config.optim.schedule == "wsd" else f"optim.schedule is {config.optim.schedule}",
        "optim.mask_rate": "" if config.optim.pretrain_epochs or not labelled else "nothing is masked",
        "optim.whole_words": "" if config.optim.pretrain_epochs or not labelled else "nothing is masked",
        "runtime.compile_mode": "" if config.runtime.compile else "runtime.compile is off",
        **({} if labelled else dict.fromkeys(OF_LABELS, "objective is masked_lm")),
        **dict.fromkeys(OF_RUNNING_TEXT, "objective is classification" if labelled else ""),
    }
    defaults = configuration.to_flat(TrainConfig())
    return [
        f"{name} {given[name]} has no effect: {reason}"
        for name, reason in reasons.items()
        if reason and given[name] not in (None, defaults[name])
    ]
