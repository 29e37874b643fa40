"""Tokens per second and peak memory of whole training steps of one recipe, in a process of its own.

A step is `custom_bert.training.step.train_step`, on batches that a thread builds ahead, as in training. The
process may not take more than the machine's memory; a recipe that does not fit is reported as such.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from custom_bert import machine, terminal
from custom_bert.batch import Batch
from custom_bert.bench.measure import in_child, limit_memory
from custom_bert.bench.resident import peak_mb
from custom_bert.bench.switches import LEGACY, Switches
from custom_bert.bench.workloads import LABELS, WORKLOADS, SyntheticTexts, Workload
from custom_bert.config import ModelConfig, Size
from custom_bert.data.batching import plan_batches
from custom_bert.data.loader import Transform, prefetch
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.errors import first_line
from custom_bert.models.heads import SequenceClassifier
from custom_bert.ops.attention import choose_kernel, plan_ahead
from custom_bert.precision import DTYPES, MixedPrecision, choose_precision
from custom_bert.presets import encoder_config
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.threads import thread_count
from custom_bert.training.compile import fuse
from custom_bert.training.optim import make_optimizer
from custom_bert.training.step import train_step

PROGRAM = ("-m", "custom_bert.bench")
"""The program that measuring processes run."""

VOCABULARY = 16_000
DROPOUT = 0.1
"""Entries of the vocabulary and dropout of the hidden layers, the same for every recipe."""

TOGETHER = 10
"""Steps on a GPU between two looks at the clock. A look waits for the GPU, which training does only when it
logs."""


def measure(
    switches: Switches,
    workload: Workload,
    *,
    device: str,
    size: Size,
    warm_steps: int,
    seconds: float,
    threads: int | None = None,
) -> dict[str, Any] | None:
    """Measures a recipe in a fresh process.

    Args:
        switches: the recipe.
        workload: the texts' lengths, and how many share a step.
        device: "cpu" or "cuda".
        size: the size of the encoder.
        warm_steps: the number of first steps that are not timed.
        seconds: how long steps are timed; at least two steps are.
        threads: the number of CPU threads; None takes the cores that the process may use.

    Returns:
        None if the recipe does not fit into memory; otherwise a dict with `tokens_per_second` (tokens of the
        texts, those that token dropout leaves out included), `seconds_per_step`, `warm_seconds`, `padding`
        (share of the rows), `steps`, `peak_mb` (of the process; on CUDA of its tensors), and `step_mb`, the
        part of it that is added after the model and the optimizer exist.

    Raises:
        ChildError: if the process fails for another reason.
    """
    arguments = {
        "switches": asdict(switches),
        "workload": workload.name,
        "device": device,
        "size": size,
        "warm_steps": warm_steps,
        "seconds": seconds,
        "threads": threads,
    }
    cell = in_child(PROGRAM, "speed", arguments)
    if cell.get("out_of_memory"):
        return None
    if device == "cuda":
        cell["peak_mb"] = cell["cuda_peak_mb"]
    cell["step_mb"] = cell["peak_mb"] - cell.pop("before_mb")
    return cell


def train_some_steps(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains and times some steps, in the process that `measure` starts."""
    device = torch.device(arguments["device"])
    if device.type == "cpu":
        limit_memory()
    try:
        return _train(arguments, device)
    except (MemoryError, RuntimeError) as error:
        if machine.is_out_of_memory(error):
            return {"out_of_memory": first_line(error)}
        raise


def _train(arguments: dict[str, Any], device: torch.device) -> dict[str, Any]:
    switches, workload = Switches(**arguments["switches"]), WORKLOADS[arguments["workload"]]
    torch.set_num_threads(arguments["threads"] or thread_count())
    torch.manual_seed(0)
    wishes = ModelConfig(size=arguments["size"], hidden_dropout=DROPOUT)
    model = build_model(switches, workload.max_length, wishes).to(device).train()
    if switches.compile:
        fuse(model.encoder, device, terminal.complain)
    optimizer = make_optimizer(model, lr=1e-4, weight_decay=0.01)
    precision = MixedPrecision(switches.precision, device)
    before = peak_mb() if device.type == "cpu" else torch.cuda.memory_allocated() / 2**20
    texts = texts_of(workload)
    tokens = read = rows = steps = 0
    begun = started = time.perf_counter()
    for batch in batches(switches, texts, workload, pin_memory=device.type == "cuda"):
        if steps == arguments["warm_steps"]:
            machine.wait_for(device)
            begun, tokens, read, rows = time.perf_counter(), 0, 0, 0
        train_step(model, optimizer, [batch.to(device)], CrossEntropy(), precision=precision, clip_norm=1.0)
        # tokens of the whole texts, so that recipes with token dropout are compared by the texts they take in
        tokens += int(texts.lengths_N[batch.indices].sum())
        read, rows, steps = read + batch.num_tokens, rows + batch.num_rows, steps + 1
        timed = steps - arguments["warm_steps"]
        if timed >= 2 and (device.type == "cpu" or timed % TOGETHER == 0):
            machine.wait_for(device)
            if time.perf_counter() - begun >= arguments["seconds"]:
                break
    elapsed = time.perf_counter() - begun
    return {
        "tokens_per_second": tokens / elapsed,
        "seconds_per_step": elapsed / timed,
        "warm_seconds": begun - started,
        "padding": 1 - read / rows,
        "steps": timed,
        "before_mb": round(before),
        "cuda_peak_mb": round(torch.cuda.max_memory_allocated() / 2**20) if device.type == "cuda" else None,
    }


def defaults_here(device: torch.device, max_length: int) -> Switches:
    """The recipe of the defaults on this machine for texts up to `max_length`, but for token dropout.

    The kernel is one that takes padding, since recipes with it are measured too. Kernels are not fused.
    """
    precision = choose_precision(None, device)[0]
    kernel = choose_kernel(
        few_blocks=True, max_seqlen=max_length, device=device.type, dtype=DTYPES[precision], padded=True
    )
    return replace(
        LEGACY,
        attention=kernel.kernel,
        norm="pre",
        precision=precision,
        plan="uniform_length",
        skip_unread=True,
    )


def build_model(switches: Switches, max_length: int, wishes: ModelConfig) -> SequenceClassifier:
    """The classifier of a recipe: pre-norm with the `custom` preset's architecture, post-norm with
    `legacy`'s.

    Args:
        switches: the recipe.
        max_length: the tokens of the longest text.
        wishes: the size and the dropout; the rest comes from the recipe.
    """
    config = encoder_config(
        "custom" if switches.norm == "pre" else "legacy",
        replace(wishes, hidden_act=switches.hidden_act),
        vocab_size=VOCABULARY,
        pad_token_id=0,
        max_length=max_length,
        default_shape=(0, 0),
    )
    model = SequenceClassifier(config, LABELS)
    model.encoder.set_kernel(switches.attention)
    model.encoder.skip_unread = switches.skip_unread
    return model


def texts_of(workload: Workload) -> SyntheticTexts:
    """The texts of 64 steps. Each later epoch takes them again in another order."""
    return SyntheticTexts(workload.lengths(64 * workload.examples), VOCABULARY)


def batches(
    switches: Switches, texts: SyntheticTexts, workload: Workload, *, pin_memory: bool
) -> Iterator[Batch]:
    """Endless training batches of about `workload.examples` texts, built ahead by a thread."""
    builder = texts.builder(pin_memory=pin_memory)
    if pin_memory:
        flash = switches.precision != "fp32"
        builder = replace(builder, ahead=partial(plan_ahead, kernel=switches.attention, flash=flash))
    rate = switches.token_dropout
    dropout = TokenDropout(rate, seed=0) if rate else None
    epoch = 0
    while True:
        build = partial(
            builder.build,
            plan=switches.plan,
            max_length=workload.max_length,
            transform=Transform(token_dropout=dropout),
            epoch=epoch,
        )
        plan = plan_batches(
            builder.kept_lengths(dropout, epoch),
            switches.plan,
            token_budget=round(workload.tokens * (1 - rate)),
            batch_size=workload.examples if switches.plan == "padded" else None,
            seed=0,
            epoch=epoch,
        )
        yield from prefetch(plan, build)
        epoch += 1
