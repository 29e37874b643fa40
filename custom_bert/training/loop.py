"""`train_model`, in four beats: resolve, build, fit, finish.

No callbacks and no engine: one `for` loop whose steps, logs and evaluations are ordinary calls. It serves
pretraining and classification; what differs between them is a `Phase`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from custom_bert import config as configuration
from custom_bert import files, signals
from custom_bert.config import TrainConfig, require
from custom_bert.config_sources import load as load_config
from custom_bert.errors import ConfigError, RunError, UserError, WriteError
from custom_bert.models.encoder import Encoder
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.models.outline import from_tensors, language_model_from
from custom_bert.precision import MixedPrecision
from custom_bert.signals import Requests
from custom_bert.terminal import say
from custom_bert.torch_internals import graphs_compiled
from custom_bert.training import checkpoint, choices, ranks
from custom_bert.training.caller import caller_state_kept
from custom_bert.training.compile import compile_layers, compiler_fault, fusion_line
from custom_bert.training.embedding_init import start_from_cooccurrences
from custom_bert.training.identity import OF_THE_MACHINE, PLAN, as_begun
from custom_bert.training.log import Board, Reporter, Speed, duration, introduction, require_tensorboard
from custom_bert.training.memory import halvings_needed, step_within_memory
from custom_bert.training.optim import set_lr
from custom_bert.training.outcome import TrainResult, as_finished, evaluate_now, finish, interrupted
from custom_bert.training.phases import (
    Phase,
    classification,
    estimate_seconds,
    language_modelling,
    pretraining,
    steps_of,
    time_passes,
    total_steps,
)
from custom_bert.training.prepare import Prepared, evaluations, prepare
from custom_bert.training.ranks import Ranks
from custom_bert.training.run import RunDirectory, claim, default_directory, hold, sibling
from custom_bert.training.schedule import falls, lr_factor
from custom_bert.training.state import State
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
        Metrics of the kept weights and where they are. A finished run is not repeated; an unfinished one is
        continued from its last checkpoint.

    Raises:
        UserError: for anything that the user has to mend; its text is one line a fault.
        KeyboardInterrupt: after Ctrl-C, when a checkpoint is written.
        SystemExit: after SIGTERM, likewise.

    The caller's random state, thread count and torch's switches are restored afterwards, also after an
    exception.
    """
    config = load_config(config, note=say)
    with caller_state_kept(config.runtime.device), ranks.joined(config.runtime.device) as group:
        reporter = Reporter(silent=not group.leads)
        return _train(config, group, reporter, fresh=fresh)


def _train(config: TrainConfig, group: Ranks, reporter: Reporter, *, fresh: bool) -> TrainResult:
    if config.runtime.tensorboard:
        group.from_leader(require_tensorboard)
    if config.out:
        group.from_leader(partial(files.check_writable, Path(config.out)))
    prepared = group.one_after_the_other(lambda: prepare(config, reporter.say))
    prepared = _as_the_leader(dataclasses.replace(prepared, ranks=group))
    for warning in prepared.warnings:
        reporter.warn(warning)
    directory = Path(prepared.config.out or default_directory(prepared))
    if fresh:
        directory = Path(group.from_leader(lambda: str(sibling(directory))))
    with hold(directory, reporter.warn) if group.leads else nullcontext():
        return _train_in(directory, prepared, reporter)


def _as_the_leader(prepared: Prepared) -> Prepared:
    """The plan of rank 0, whose machine may have other memory.

    Raises:
        RunError: if this rank's machine computes in another way.
    """
    flat = configuration.to_flat(prepared.config)
    own = {name: flat[name] for name in OF_THE_MACHINE}
    theirs = prepared.ranks.from_leader(lambda: own)
    for name in sorted(own.keys() - set(PLAN)):
        if own[name] != theirs[name]:
            what = (
                f"{name} is {own[name]} at rank {prepared.ranks.rank}, and {theirs[name]} at rank 0; set it"
            )
            raise RunError(what)
    plan = {name: theirs[name] for name in PLAN}
    return dataclasses.replace(prepared, config=configuration.replace(prepared.config, plan))


def _train_in(directory: Path, prepared: Prepared, reporter: Reporter) -> TrainResult:
    record = prepared.ranks.from_leader(lambda: claim(directory, prepared))
    if record is not None and record.get("status") == "finished":
        if prepared.ranks.leads:
            checkpoint.discard(directory)  # in case that was interrupted
        return as_finished(directory, record, reporter)
    if record is not None:
        prepared = as_begun(prepared, record, reporter.warn)
    for line in introduction(prepared, directory):
        reporter.say(line)

    halvings = halvings_needed(prepared)
    state = build(prepared, reporter)
    state.progress.halvings = halvings
    _refuse_halvings(state)
    if halvings:
        reporter.warn(f"the largest batches do not fit into memory; each is computed in {2**halvings} parts")
    run = RunDirectory(directory, prepared, record)
    try:
        with signals.noted() as requests:
            try:
                if record is None or not _continue(state, prepared, run, reporter):
                    run.open_log(0, reporter.warn)
                state.progress.halvings = max(halvings, state.progress.halvings)
                _refuse_halvings(state)
                _announce(state, prepared, reporter)
                _fit_all(state, prepared, run, reporter, requests)
                reporter.stop()
                result = finish(state, prepared, run, reporter, requests)
            except signals.StopRequested:
                reporter.stop()
                if state.progress.ended and state.saved != state.position:
                    # all that is left is to evaluate the best weights, which takes no moments
                    checkpoint.begin_moments(state.phase.model, state.phase.optimizer)
                    _save(state, prepared, run)
                interrupted(state, run, reporter)
                requests.obey()
                raise
        if requests.number:  # it came when all was done
            requests.obey()
        return result
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        reporter.stop()
        with suppress(WriteError):  # the first fault is the one to tell
            worthless = state.progress.best_step == 0 and not checkpoint.exists(directory)
            if isinstance(error, UserError) and worthless:
                run.discard()  # the directory is free for another attempt
            else:
                run.close_log()
                run.update("interrupted", **state.kept())
        raise


def _refuse_halvings(state: State) -> None:
    """Several ranks do not halve: each would have to halve alike."""
    if state.progress.halvings and state.ranks.world > 1:
        raise ConfigError(
            ["batch.token_budget: the largest batches do not fit into memory; lower it, or add processes"]
        )


def _continue(state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter) -> bool:
    """Takes an unfinished run up where its newest checkpoint stands; False if it has none."""
    leads, found = prepared.ranks.leads, None

    def newest() -> str | None:
        nonlocal found
        found = checkpoint.newest(run.path, run.identity, reporter.warn)
        return found.path.name if found else None

    name = prepared.ranks.from_leader(newest)
    saved = found if leads or name is None else checkpoint.named(run.path, name, run.identity)
    if saved is None:
        reporter.say(f"{run.path}: this run was not finished and has no checkpoint; it begins again")
        return False
    for difference in checkpoint.differences(saved.machine, checkpoint.domain(state)):
        reporter.warn(f"since the checkpoint the {difference}: the result may not be the same bit for bit")
    checkpoint.restore(saved, run.path, state)
    run.best = saved.entries.get(checkpoint.BEST)
    run.open_log(state.progress.log_bytes, reporter.warn)
    where = f"step {state.progress.step:,} of {state.phase.name}ing"
    reporter.say(f"{run.path}: continues after {where}, from {saved.path.name}")
    return True


def build(prepared: Prepared, reporter: Reporter) -> State:
    """Model, phases and precision, seeded."""
    begun = time.perf_counter()
    config, device = prepared.config, prepared.device
    assert config.runtime.precision is not None
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(config.runtime.deterministic)
    model = _model(prepared).to(device).train()
    model.encoder.set_kernel(config.runtime.attention)
    assert config.runtime.skip_unread is not None
    model.encoder.skip_unread = config.runtime.skip_unread
    model.encoder.freeze(config.optim.freeze_layers)
    if config.optim.embedding_init == "ppmi":
        start_from_cooccurrences(model.encoder, prepared)
    if config.runtime.shard:  # all token vectors, of one process too: it may continue what several began
        if prepared.ranks.world > 1:
            ranks.shard(model, model.encoder.layers, device)
    else:
        train_tokens_in_use(model.encoder, prepared, reporter.say)
    if isinstance(model, MaskedLanguageModel):
        phases = [language_modelling(prepared, model)]
    else:
        phases = [pretraining(prepared, model)] if config.optim.pretrain_epochs else []
        phases.append(classification(prepared, model))
    precision = MixedPrecision(config.runtime.precision, device)
    state = State(model, phases, precision, prepared.ranks, started=begun)
    if prepared.ranks.rank:  # from here on every rank draws its own dropout
        torch.manual_seed(config.seed + 1_000_003 * prepared.ranks.rank)
    if config.runtime.compile:
        fault = compiler_fault(device)
        if fault:
            reporter.warn(f"training goes on without torch.compile: {fault}")
        else:
            _compile(state, prepared, reporter)
    return state


def _model(prepared: Prepared) -> SequenceClassifier | MaskedLanguageModel:
    """Of the objective, from scratch or from trained tensors."""
    encoder, labels, pretrained = prepared.encoder, len(prepared.labels), prepared.pretrained
    masked = prepared.config.objective == "masked_lm"
    if pretrained is None:
        return MaskedLanguageModel(Encoder(encoder)) if masked else SequenceClassifier(encoder, labels)
    tensors = dict(pretrained.state)
    pretrained.state.clear()
    return language_model_from(encoder, tensors) if masked else from_tensors(encoder, labels, tensors)


def _compile(state: State, prepared: Prepared, reporter: Reporter) -> None:
    """Fuses the layers' kernels, and says what that cost and whether it pays."""
    timed = partial(time_passes, state.phases[-1], prepared, state.precision)
    _, eager = timed(2)
    compile_layers(state.model.encoder, prepared.config.runtime.compile_mode)
    first, _, fused = timed(3)
    state.fused = True
    reporter.say(fusion_line(eager, first, fused))


def _fit_all(
    state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter, requests: Requests
) -> None:
    for phase in range(state.progress.phase, len(state.phases)):
        if phase > state.progress.phase:
            state.progress.enter(phase)
            state.saved = None  # the step counts anew
        fit(state, prepared, run, reporter, requests)
        state.phase.optimizer.state.clear()  # moments make room for those of the next phase


def fit(state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter, requests: Requests) -> None:
    """The loop of a phase: step, log, evaluate, save, until the schedule ends or the metric stops improving.

    Raises:
        StopRequested: after a request to end, when a checkpoint of the last step is written.
        UserError: if training diverges.
    """
    optim, phase, progress = prepared.config.optim, state.phase, state.progress
    total = total_steps(phase, prepared)
    log_every = prepared.config.runtime.log_every or choices.log_every(total, max_minutes=optim.max_minutes)
    limit, when = _time_limit(state, phase, prepared), evaluations(prepared)
    board = Board(run.path) if prepared.config.runtime.tensorboard and prepared.ranks.leads else None
    size = 12 * sum(parameter.numel() for parameter in phase.model.parameters())  # weights and two moments
    pace = checkpoint.Pace(prepared.config.runtime.checkpoint_every, size)
    phase.begin()
    schedule, pretrained = require(optim.schedule), prepared.pretrained
    keeps_stable = schedule == "wsd" and prepared.config.objective == "masked_lm"
    checkpoint.begin_moments(phase.model, phase.optimizer)
    if pretrained and pretrained.moments and not progress.step:
        checkpoint.restore_moments(pretrained.moments, state)
    group, model = prepared.ranks, prepared.ranks.parallel(phase.model)

    def agreed(number: int) -> int:
        return int(group.largest(number)[0])

    speed = Speed(progress.tokens, progress.rows, progress.log_seconds)
    started = time.perf_counter() - progress.phase_seconds
    state.phase_started = started

    def save() -> None:
        speed.pause()
        state.count_skips()
        progress.tokens, progress.rows, progress.log_seconds = speed.tokens, speed.rows, speed.elapsed
        pace.saved(_save(state, prepared, run))
        speed.resume()

    def evaluate() -> None:
        speed.pause()
        begun = time.perf_counter()
        record = evaluate_now(state, prepared, run, reporter, requests)
        now = time.perf_counter()
        cost, elapsed = group.largest(now - begun, now - started)
        done = max(progress.epoch / phase.epochs, elapsed / limit)
        progress.next_evaluation = when.after(done, elapsed, cost)
        speed.resume()
        if board:
            board.add(record)
        progress.evaluation_due = False
        stale = progress.step - progress.best_step
        if optim.patience and stale >= optim.patience and not progress.ended:
            what = optim.metric if prepared.labels else "perplexity"
            reporter.say(f"stopped: {what} has not improved for {stale:,} steps")
            progress.ended = True

    shown = total if limit == float("inf") else None  # the time ends it, not a number of steps
    reporter.start(phase.name, shown)
    try:
        if progress.evaluation_due:
            evaluate()
        steps = () if progress.ended else steps_of(phase, prepared, progress.epochs_done, progress.steps_done)
        for step in speed.waiting_for(requests.between(steps, agreed)):
            (elapsed,) = group.largest(time.perf_counter() - started)
            done = min(1.0, max(step.progress, elapsed / limit))
            middle = max(0.0, done - 0.5 / total)
            lr = phase.lr * lr_factor(middle, warmup=optim.warmup, schedule=schedule, decay=optim.decay)
            if keeps_stable and not progress.falling and falls(middle, optim.warmup, optim.decay):
                speed.pause()
                checkpoint.save_stable(run.path, state, prepared)
                progress.falling = True
                speed.resume()
            set_lr(phase.optimizer, lr)
            result = step_within_memory(
                state,
                phase,
                step,
                model,
                device=prepared.device,
                clip_norm=optim.clip_norm,
                warn=reporter.warn,
            )
            progress.step, progress.epoch = progress.step + 1, step.epoch
            progress.epochs_done, progress.steps_done = step.epochs_done, step.steps_done
            progress.ended = step.last or done >= 1
            if result.empty:
                progress.empty += 1
            else:
                state.losses.append(result.loss)
                state.skips.append(result.skipped)
            speed.add(result.tokens, result.rows)

            logs = progress.step % log_every == 0 or progress.ended
            if logs or prepared.device.type == "cpu":  # elsewhere reading waits for the device
                state.count_skips()
            if logs:
                elapsed = time.perf_counter() - started
                record = _record(state, lr, float(result.grad_norm), speed, elapsed)
                state.losses.clear()
                run.log.write(record)
                reporter.progress(record, shown, remaining=elapsed * (1 - done) / max(done, 1e-9))
                if board:
                    board.add(record)
            reporter.advance(progress.step if shown else round(100 * done))

            due = when.due(progress.step, done, progress.epoch, progress.next_evaluation)
            if phase.evaluates and (due or progress.ended):
                progress.evaluation_due = True
                evaluate()
            if progress.ended:
                break
            (save_due,) = group.largest(pace.due(progress.step))
            if save_due:
                save()
    except signals.StopRequested:
        if state.saved != state.position and (progress.phase or progress.step):
            save()
        raise
    finally:
        reporter.stop()
        if board:
            board.close()
    for line in state.left_out():
        reporter.warn(line)
    waited = speed.waited / max(speed.seconds, 1e-9)
    reporter.say(f"{phase.name}ing took {duration(speed.seconds)}, {waited:.1%} of it waiting for batches")


def _record(state: State, lr: float, grad_norm: float, speed: Speed, elapsed: float) -> dict[str, Any]:
    """What metrics.jsonl says of the steps since its last line of the phase."""
    return {
        "kind": state.phase.name,
        "step": state.progress.step,
        "epoch": round(state.progress.epoch, 4),
        "loss": _or_none(float(torch.stack(state.losses).nanmean())) if state.losses else None,
        "lr": lr,
        "grad_norm": _or_none(grad_norm),
        "skipped": state.progress.skipped,
        "empty": state.progress.empty,
        **speed.read(),
        "seconds": round(elapsed, 3),
        **({"graphs": graphs_compiled()} if state.fused else {}),
    }


def _save(state: State, prepared: Prepared, run: RunDirectory) -> float:
    """Writes a checkpoint; returns the seconds that it took."""
    progress, begun = state.progress, time.perf_counter()
    progress.seconds, progress.phase_seconds = state.seconds, begun - state.phase_started
    run.log.sync()
    progress.log_bytes = run.log.size
    checkpoint.save(run.path, state, run.identity, run.best)
    cost = time.perf_counter() - begun
    progress.saving_seconds += cost
    return cost


def _time_limit(state: State, phase: Phase, prepared: Prepared) -> float:
    """Seconds that the phase may take: its share, by epochs, of max_minutes."""
    minutes = prepared.config.optim.max_minutes
    if minutes is None:
        return float("inf")
    return 60 * minutes * phase.epochs / sum(p.epochs for p in state.phases)


def _announce(state: State, prepared: Prepared, reporter: Reporter) -> None:
    """Says how many steps are to come and how long they will take, before the first."""
    phases = state.phases[state.progress.phase :]
    parts = 2**state.progress.halvings
    expected = sum(estimate_seconds(phase, prepared, state.precision, parts) for phase in phases)
    minutes = prepared.config.optim.max_minutes
    plans = [
        f"{'pretraining' if phase.name == 'pretrain' else 'training'} {phase.epochs} epochs, "
        f"{total_steps(phase, prepared):,} steps"
        for phase in phases
    ]
    if minutes is not None and expected > 60 * minutes:
        reporter.say(f"{minutes:g} min in all; {'; '.join(plans)} would take {duration(expected)}")
    else:
        reporter.say(f"{'; '.join(plans)}; about {duration(expected)}")


def _or_none(value: float) -> float | None:
    """JSON has no infinity; loss or gradient norm are not finite where the step was skipped."""
    return value if np.isfinite(value) else None
