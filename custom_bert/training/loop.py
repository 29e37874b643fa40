"""`train_model`, in four beats: resolve, build, fit, finish.

No callbacks and no engine: one `for` loop whose steps, logs and evaluations are ordinary calls. It serves
pretraining and classification; what differs between them is a `Phase`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert import files
from custom_bert.config import TrainConfig
from custom_bert.config_sources import load as load_config
from custom_bert.errors import UserError
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outline import from_tensors
from custom_bert.precision import MixedPrecision
from custom_bert.training import choices
from custom_bert.training.compile import compile_layers, compiler_fault, fusion_line, graphs_compiled
from custom_bert.training.embedding_init import start_from_cooccurrences
from custom_bert.training.log import Board, Reporter, Speed, duration, introduction, require_tensorboard
from custom_bert.training.optim import set_lr
from custom_bert.training.outcome import TrainResult, as_finished, evaluate_now, finish, interrupted
from custom_bert.training.phases import (
    Phase,
    classification,
    estimate_seconds,
    pretraining,
    steps_of,
    steps_per_epoch,
    time_passes,
)
from custom_bert.training.prepare import Prepared, prepare
from custom_bert.training.run import RunDirectory, claim, default_directory, sibling
from custom_bert.training.schedule import lr_factor
from custom_bert.training.state import State
from custom_bert.training.step import train_step
from custom_bert.training.tokens_in_use import train_tokens_in_use


def train_model(
    config: TrainConfig | Mapping[str, Any] | ModuleType | str | Path, *, fresh: bool = False
) -> TrainResult:
    """Trains a classifier as configured and leaves it in a run directory.

    Args:
        config: a module with `get_config()` (`import config; train_model(config)`), a mapping, a
            `TrainConfig`, or the path of a config file.
        fresh: train in a numbered sibling if the directory holds a run.

    Returns:
        Metrics of the kept weights and where they are. A finished run is not repeated.

    Raises:
        UserError: for anything that the user has to mend; its text is one line a fault.
        KeyboardInterrupt: after Ctrl-C, when what was evaluated is safe.
    """
    reporter = Reporter()
    config = load_config(config, note=reporter.say)
    if config.runtime.tensorboard:
        require_tensorboard()
    if config.out:
        files.check_writable(Path(config.out))
    prepared = prepare(config, reporter.say)
    for warning in prepared.warnings:
        reporter.warn(warning)
    directory = Path(prepared.config.out or default_directory(prepared))
    if fresh:
        directory = sibling(directory)
    finished = claim(directory, prepared)
    if finished is not None:
        return as_finished(directory, finished, reporter)
    for line in introduction(prepared, directory):
        reporter.say(line)

    state = build(prepared, reporter)
    _announce(state, prepared, reporter)
    run = RunDirectory(directory, prepared)
    started = time.perf_counter()
    try:
        _fit_all(state, prepared, run, reporter)
        reporter.stop()
        return finish(state, prepared, run, reporter, time.perf_counter() - started)
    except KeyboardInterrupt:
        reporter.stop()
        interrupted(state, run, reporter)
        raise
    except BaseException as error:
        reporter.stop()
        if isinstance(error, UserError) and state.best_step == 0:
            run.discard()  # the directory is free for another attempt
        else:
            run.log.close()
            run.update("interrupted", **state.kept())
        raise


def build(prepared: Prepared, reporter: Reporter) -> State:
    """Model, phases and precision, seeded."""
    config, device = prepared.config, prepared.device
    assert config.runtime.precision is not None
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(config.runtime.deterministic)
    num_labels, pretrained = len(prepared.dataset.labels), prepared.pretrained
    if pretrained:
        model = from_tensors(prepared.encoder, num_labels, pretrained.state)
        pretrained.state.clear()
    else:
        model = SequenceClassifier(prepared.encoder, num_labels)
    model = model.to(device).train()
    model.encoder.set_kernel(config.runtime.attention)
    assert config.runtime.skip_unread is not None
    model.encoder.skip_unread = config.runtime.skip_unread
    model.encoder.freeze(config.optim.freeze_layers)
    if config.optim.embedding_init == "ppmi":
        start_from_cooccurrences(model.encoder, prepared)
    train_tokens_in_use(model.encoder, prepared, reporter.say)
    phases = [pretraining(prepared, model)] if config.optim.pretrain_epochs else []
    phases.append(classification(prepared, model))
    state = State(model, phases, MixedPrecision(config.runtime.precision, device))
    if config.runtime.compile:
        fault = compiler_fault(device)
        if fault:
            reporter.warn(f"training goes on without torch.compile: {fault}")
        else:
            _compile(state, prepared, reporter)
    return state


def _compile(state: State, prepared: Prepared, reporter: Reporter) -> None:
    """Fuses the layers' kernels, and says what that cost and whether it pays."""
    timed = partial(time_passes, state.phases[-1], prepared, state.precision)
    _, eager = timed(2)
    compile_layers(state.model.encoder, prepared.config.runtime.compile_mode)
    first, _, fused = timed(3)
    state.fused = True
    reporter.say(fusion_line(eager, first, fused))


def _fit_all(state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter) -> None:
    for phase in state.phases:
        fit(state, phase, prepared, run, reporter)


def fit(state: State, phase: Phase, prepared: Prepared, run: RunDirectory, reporter: Reporter) -> None:
    """The loop: step, log, evaluate, until the schedule ends or the metric stops improving."""
    optim, classifies = prepared.config.optim, phase.name == "train"
    assert optim.eval_every is not None
    total = phase.epochs * steps_per_epoch(phase, prepared)
    log_every = prepared.config.runtime.log_every or choices.log_every(total)
    limit = _time_limit(state, phase, prepared)
    board = Board(run.path) if prepared.config.runtime.tensorboard else None
    losses: list[Tensor] = []
    config = prepared.encoder
    state.model.encoder.set_dropout(
        config.hidden_dropout if phase.dropout else 0.0, config.attention_dropout if phase.dropout else 0.0
    )
    state.step, state.epoch = 0, 0.0
    speed, started = Speed(), time.perf_counter()
    reporter.start(phase.name, total)
    for step in speed.waiting_for(steps_of(phase, prepared)):
        progress = min(1.0, max(step.progress, (time.perf_counter() - started) / limit))
        middle = max(0.0, progress - 0.5 / total)
        lr = phase.lr * lr_factor(middle, warmup=optim.warmup, schedule=optim.schedule)
        set_lr(phase.optimizer, lr)
        microbatches = [batch.to(prepared.device) for batch in step.microbatches]
        result = train_step(
            phase.model,
            phase.optimizer,
            microbatches,
            phase.objective,
            precision=state.precision,
            clip_norm=optim.clip_norm,
        )
        state.step, state.epoch = state.step + 1, step.epoch
        losses.append(result.loss)
        speed.add(sum(b.num_tokens for b in microbatches), sum(b.num_rows for b in microbatches))
        ends = step.last or progress >= 1

        if state.step % log_every == 0 or ends:
            elapsed = time.perf_counter() - started
            record = {
                "kind": phase.name,
                "step": state.step,
                "epoch": round(state.epoch, 4),
                "loss": state.finite(float(torch.stack(losses).mean())),
                "lr": lr,
                "grad_norm": _or_none(float(result.grad_norm)),
                **speed.read(),
                "seconds": round(elapsed, 3),
                **({"graphs": graphs_compiled()} if state.fused else {}),
            }
            losses.clear()
            run.log.write(record)
            reporter.progress(record, total, remaining=elapsed * (1 - progress) / max(progress, 1e-9))
            if board:
                board.add(record)
        reporter.advance(state.step, total)

        if classifies and (state.step % optim.eval_every == 0 or ends):
            speed.pause()
            record = evaluate_now(state, prepared, run, reporter)
            speed.resume()
            if board:
                board.add(record)
            stale = state.step - state.best_step
            if optim.patience and stale >= optim.patience:
                reporter.say(f"stopped: {optim.metric} has not improved for {stale:,} steps")
                break
        if ends:
            break
    reporter.stop()
    waited = speed.waited / max(speed.seconds, 1e-9)
    reporter.say(f"{phase.name}ing took {duration(speed.seconds)}, {waited:.1%} of it waiting for batches")
    if board:
        board.close()


def _time_limit(state: State, phase: Phase, prepared: Prepared) -> float:
    """Seconds that the phase may take: its share, by epochs, of max_minutes."""
    minutes = prepared.config.optim.max_minutes
    if minutes is None:
        return float("inf")
    return 60 * minutes * phase.epochs / sum(p.epochs for p in state.phases)


def _announce(state: State, prepared: Prepared, reporter: Reporter) -> None:
    """Says how many steps are to come and how long they will take, before the first."""
    expected = sum(estimate_seconds(phase, prepared, state.precision) for phase in state.phases)
    minutes = prepared.config.optim.max_minutes
    note = ""
    if minutes is not None and expected > 60 * minutes:
        note, expected = f"; cut to {minutes:g} min", 60 * minutes
    plans = [
        f"{'pretraining' if phase.name == 'pretrain' else 'training'} {phase.epochs} epochs, "
        f"{phase.epochs * steps_per_epoch(phase, prepared):,} steps"
        for phase in state.phases
    ]
    reporter.say(f"{'; '.join(plans)}; about {duration(expected)}{note}")


def _or_none(value: float) -> float | None:
    """JSON has no infinity; a gradient norm is infinite where fp16 overflowed and the step was skipped."""
    return value if np.isfinite(value) else None
