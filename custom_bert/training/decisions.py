"""Decides what the user left open: by the pretrained encoder, the task, the preset, and by rules on data and
machine."""

from __future__ import annotations

import dataclasses

import torch

from custom_bert import machine, openmp, threads
from custom_bert.attention_kernels import KERNELS
from custom_bert.config import TrainConfig
from custom_bert.data.batching import ROW_MULTIPLE
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import ConfigError
from custom_bert.model_files.pretrained import Pretrained
from custom_bert.ops.attention import choose_kernel
from custom_bert.ops.kernels import has_flash
from custom_bert.precision import DTYPES, choose_precision, choose_tf32, sound_precision
from custom_bert.presets import TRAINING, EncoderConfig, check_encoder, encoder_config
from custom_bert.rounding import round_up
from custom_bert.rules import choices
from custom_bert.rules.choices import Choice
from custom_bert.rules.decisions import Decisions, Facts
from custom_bert.tasks.task import Task
from custom_bert.training.compile import choose_compile
from custom_bert.training.start import OPEN

PROBING = ("probe", "contrast")
"""The ways in which a head begins from a linear probe."""

HEAD_WIDTH = 64
"""The width of an attention head that is assumed to choose a kernel, before the architecture is known."""


def decide_defaults(todo: Decisions, task: type[Task], pretrained: Pretrained | None) -> None:
    """Decides what the pretrained encoder, the task and the preset say, in this order: the first one
    counts."""
    if pretrained:
        why = "a pretrained encoder"
        todo.default("optim.embedding_init", ("checkpoint", why))
        todo.default("optim.token_dropout", (0.0, why))
        todo.default("optim.r_drop", (0.0, why))
        todo.default("optim.pretrain_epochs", (0, why))
        limit = pretrained.encoder.max_position_embeddings
        preset = TRAINING[todo.config.preset]["data.max_length"]
        if limit < preset:
            todo.default("data.max_length", (limit, f"positions of {pretrained.source}"))
    for name, value in task.defaults().items():
        todo.default(name, (value, f"task {task.name}"))
    for name, value in TRAINING[todo.config.preset].items():
        todo.default(name, (value, f"preset {todo.config.preset}"))


def decide_machine(todo: Decisions) -> torch.device:
    """Decides device, threads, precision, attention kernel and compilation, and returns the device.

    Raises:
        ConfigError: if the machine cannot do what the user asks for.
    """
    device, reason = machine.choose_device(todo.config.runtime.device)
    todo.default("runtime.device", (device.type, reason))
    _decide_threads(todo)
    precision, why = choose_precision(todo.config.runtime.precision, device)
    count = todo.config.runtime.threads
    assert count is not None
    with openmp.threads_set(count):  # the caller may have another number, with which the products are right
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
            padded=plan == "padded",
            dropout=dropout > 0 and plan != "packed",
            flash=flash,
        )
        # the setting stays None, because an evaluation in fp32 may need another kernel by the same rule
        todo.log.append(Choice("runtime.attention", choice.kernel, choice.reason))
        kernel = choice.kernel
    traits = KERNELS[kernel]
    if dropout and not traits.drops_weights:
        raise ConfigError(
            [f"config: model.attention_dropout: the {kernel} kernel has no dropout; set it to 0"]
        )
    if traits.cpu_only and device.type != "cpu":
        raise ConfigError(
            [f"config: runtime.attention: {kernel} is made for a CPU; leave it out, or take dense"]
        )
    asked = todo.config.runtime.attention
    if asked and traits.needs_flash and (not flash or precision == "fp32" or plan != "packed"):
        raise ConfigError(
            [
                f"config: runtime.attention: {kernel} needs CUDA on a GPU from Ampere on, bf16 or fp16, and "
                "batch.plan packed"
            ]
        )
    if todo.config.runtime.tf32 is None:
        todo.set("runtime.tf32", *choose_tf32(device))
    if todo.config.runtime.compile is None:
        todo.set("runtime.compile", *choose_compile(device, shard=todo.config.runtime.shard))
    return device


def _decide_threads(todo: Decisions) -> None:
    """Decides the number of threads: as many as the process may use.

    Raises:
        ConfigError: if the user asks for more threads than OpenMP gives.
    """
    if openmp.threads_are_lost():
        todo.set("runtime.threads", 1, "forked from a process that had computed")
    todo.default("runtime.threads", threads.allowed())
    count, most = todo.config.runtime.threads, threads.limit()
    if count is not None and most is not None and count > most:
        raise ConfigError(
            [f"config: runtime.threads {count}: {threads.LIMIT} is {most}; lower the one or raise the other"]
        )


def decide_head(todo: Decisions, task: Task, train: BatchBuilder, pretrained: Pretrained | None) -> None:
    """Decides how the head begins and, for one that begins from a probe, what represents a text.

    Raises:
        ConfigError: if the user asks for a probe that cannot be: there is no pretrained encoder, or it is
            divided among processes or changed before the labels are learned.
    """
    asked = todo.config.optim.head_init
    if asked == "contrast" and not task.contrasts:
        raise ConfigError(
            [f"config: optim.head_init: task {task.name} has no contrast; take probe or random"]
        )
    fault, reason = _no_probe(todo, task, pretrained)
    if fault and asked in PROBING:
        raise ConfigError([f"config: optim.head_init: {fault.format(way=asked)}"])
    if pretrained is None or reason:
        todo.default("optim.head_init", ("random", reason))
    else:
        texts, tokens = max(1, len(train.lengths_N)), int(train.lengths_N.sum())
        epochs = todo.config.optim.epochs or choices.finetune_epochs(tokens, texts=texts)[0]
        way, reason = task.head_init(texts, epochs=epochs)
        if way == "contrast" and _is_frozen(todo.config, pretrained):
            way, reason = "probe", FROZEN
        todo.default("optim.head_init", (way, reason))
    if asked == "contrast" and pretrained and _is_frozen(todo.config, pretrained):
        raise ConfigError([f"config: optim.head_init: {FROZEN}; take probe"])
    if pretrained and pretrained.for_means and todo.config.optim.head_init in PROBING:
        todo.default("model.pooling", ("mean_layer", f"{pretrained.source} was made for mean vectors"))


def _no_probe(todo: Decisions, task: Task, pretrained: Pretrained | None) -> tuple[str, str]:
    """Returns why no head begins from a probe by itself: the fault if a user asks for one all the same, or ""
    where that is allowed, and the reason of the choice; two empty strings if a probe may be chosen."""
    if not task.probes:
        return "", f"task {task.name} has no probe"
    if pretrained is None:
        return "a {way} needs a pretrained encoder; name a model.init_from", "from scratch"
    if todo.config.runtime.shard:
        return "{way} does not go with runtime.shard", "runtime.shard divides the head"
    if todo.asked.optim.pretrain_epochs:
        return "a {way} is of no use before optim.pretrain_epochs", MASKED_FIRST
    if not pretrained.for_means:
        return "", _of_another_kind(pretrained)
    return "", ""


def decide_frozen_layers(todo: Decisions, train: BatchBuilder, pretrained: Pretrained | None) -> None:
    """Decides how many layers of a pretrained encoder keep their weights."""
    if pretrained is None:
        todo.default("optim.freeze_layers", (0, "from scratch"))
    elif not pretrained.for_means:
        todo.default("optim.freeze_layers", (0, _of_another_kind(pretrained)))
    elif todo.config.optim.pretrain_epochs:
        todo.default("optim.freeze_layers", (0, MASKED_FIRST))
    elif todo.config.optim.head_init == "contrast":
        todo.default("optim.freeze_layers", (0, "contrast changes all layers"))
    else:
        layers, tokens = pretrained.encoder.num_hidden_layers, int(train.lengths_N.sum())
        todo.default("optim.freeze_layers", choices.freeze_layers(layers, tokens=tokens))


def _of_another_kind(pretrained: Pretrained) -> str:
    return f"{pretrained.source} does not say that it was made for mean vectors"


MASKED_FIRST = "masked language modelling comes first"

FROZEN = "optim.freeze_layers leaves the encoder as it is"


def _is_frozen(config: TrainConfig, pretrained: Pretrained) -> bool:
    return (config.optim.freeze_layers or 0) >= pretrained.encoder.num_hidden_layers


def decide_model(
    todo: Decisions, tokenizer: TextTokenizer, train: BatchBuilder, pretrained: Pretrained | None
) -> EncoderConfig:
    """Decides and returns the architecture: that of the pretrained encoder, or one by preset, settings and
    data.

    Raises:
        ConfigError: if settings do not fit together.
    """
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
        pairs=tokenizer.pairs,
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
    task: Task,
    train: BatchBuilder,
    encoder: EncoderConfig,
    tokenizer: TextTokenizer,
    device: torch.device,
    *,
    earlier_lr: float | None = None,
) -> None:
    """Decides batches, and has the task decide learning rate, epochs and regularisation, by rules on the
    data.

    Args:
        todo: the decisions.
        task: the task on its data.
        train: what builds the training batches.
        encoder: the architecture.
        tokenizer: the tokenizer.
        device: the device that trains.
        earlier_lr: the peak learning rate of the run whose moments are taken over; None if none are.
    """
    facts = Facts(
        tokens=int(train.lengths_N.sum()),
        texts=max(1, len(train.lengths_N)),
        encoder=encoder,
        pretrained=todo.config.model.is_pretrained,
        can_mask=tokenizer.mask_id is not None,
        fitting_rows=choices.fitting_rows(encoder.bytes_per_row, machine.memory_of(device)),
        earlier_lr=earlier_lr,
        device=device.type,
    )
    if todo.config.batch.plan == "padded":
        todo.default("batch.batch_size", (32, "the padded plan's default"))
        size, length = todo.config.batch.batch_size, todo.config.data.max_length
        assert size is not None and length is not None
        rows = size * length
        if todo.asked.batch.token_budget is None:
            todo.set("batch.token_budget", rows, f"{size:,} texts, padded to {length:,} tokens")
    else:
        rows, why = task.token_budget(facts)
        is_open = todo.asked.batch.token_budget is None and todo.asked.batch.accumulation is None
        divides = is_open and facts.pretrained and device.type == "cpu"
        parts = choices.finetune_accumulation(rows) if divides else 1
        if parts > 1:
            reason = f"a step of {rows:,} rows, in batches that take less memory"
            todo.set("batch.accumulation", parts, reason)
            rows = round_up(-(-rows // parts), ROW_MULTIPLE)
        todo.default("batch.token_budget", (rows, why))
    todo.default("batch.accumulation", (1, "a batch for each step"))
    task.decide(todo, facts)


def filler(config: TrainConfig) -> list[str]:
    """Returns a warning if the token budget is not a multiple of the number of rows to which batches are
    filled up."""
    budget = config.batch.token_budget
    if budget is None or budget % ROW_MULTIPLE == 0:
        return []
    full = round_up(budget, ROW_MULTIPLE)
    return [
        f"batch.token_budget {budget:,}: batches are filled up to {full:,} rows; a multiple of "
        f"{ROW_MULTIPLE} is better"
    ]
