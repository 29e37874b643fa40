"""`train_model`, in four beats: resolve, build, fit, finish.

No callbacks and no engine: one `for` loop whose steps, logs and evaluations are ordinary calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert import config as configuration
from custom_bert.batch import Batch
from custom_bert.checkpoints.native import write_weights
from custom_bert.config import TrainConfig
from custom_bert.data.batching import by_length
from custom_bert.data.loader import BatchBuilder, prefetch
from custom_bert.errors import RunError, UserError
from custom_bert.metrics import Scores
from custom_bert.models.evaluate import Evaluation, evaluate
from custom_bert.models.heads import SequenceClassifier
from custom_bert.ops.losses import balanced_weights
from custom_bert.report import score_lines
from custom_bert.training import choices
from custom_bert.training.compile import compile_layers, compiler_fault
from custom_bert.training.log import Reporter, Speed, choice_lines, duration
from custom_bert.training.optim import make_optimizer
from custom_bert.training.precision import MixedPrecision
from custom_bert.training.prepare import Prepared, prepare
from custom_bert.training.run import RunDirectory, claim, default_directory, sibling
from custom_bert.training.schedule import lr_factor
from custom_bert.training.step import Objective, train_step

EVALUATION_TOKENS = 8192
"""Rows of an evaluation batch."""

NONFINITE = "is not finite"


@dataclass(frozen=True)
class TrainResult:
    """What a run achieved.

    Attributes:
        directory: of the run.
        accuracy, macro_f1: of the kept weights on the validation rows, as fractions, in fp32.
        step: of the kept weights.
        steps: optimizer steps taken; 0 if the run had been finished before.
        seconds: of training, evaluations included.
        scores: all metrics; None if the run had been finished before.
    """

    directory: Path
    accuracy: float
    macro_f1: float
    step: int
    steps: int
    seconds: float
    scores: Scores | None = None


@dataclass
class State:
    """Everything that changes while training."""

    model: SequenceClassifier
    optimizer: torch.optim.Optimizer
    objective: Objective
    precision: MixedPrecision
    step: int = 0
    epoch: float = 0.0
    best_metric: float = -1.0
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


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
    prepared = prepare(configuration.load(config, note=reporter.say), reporter.say)
    for warning in prepared.warnings:
        reporter.warn(warning)
    directory = Path(prepared.config.out or default_directory(prepared))
    if fresh:
        directory = sibling(directory)
    finished = claim(directory, prepared)
    if finished is not None:
        return _as_finished(directory, finished, reporter)
    _introduce(prepared, directory, reporter)

    state = build(prepared, reporter)
    run = RunDirectory(directory, prepared)
    started = time.perf_counter()
    try:
        fit(state, prepared, run, reporter)
    except KeyboardInterrupt:
        reporter.stop()
        _interrupted(state, run, reporter)
        raise
    except BaseException:
        reporter.stop()
        run.log.close()
        run.update("interrupted", step=state.step)
        raise
    reporter.stop()
    return _finish(state, prepared, run, reporter, time.perf_counter() - started)


def build(prepared: Prepared, reporter: Reporter) -> State:
    """Model, optimizer and loss, seeded."""
    config, device = prepared.config, prepared.device
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(config.runtime.deterministic)
    model = SequenceClassifier(prepared.encoder, len(prepared.dataset.labels)).to(device)
    model.encoder.set_kernel(config.runtime.attention)
    if config.runtime.compile:
        fault = compiler_fault(device)
        if fault:
            reporter.warn(f"training goes on without torch.compile: {fault}")
        else:
            compile_layers(model, config.runtime.compile_mode)
    assert config.optim.lr is not None and config.optim.weight_decay is not None
    assert config.runtime.precision is not None
    weights_C = None
    if config.optim.class_weights == "balanced":
        counts = np.bincount(prepared.dataset.train_label_ids, minlength=len(prepared.dataset.labels))
        weights_C = balanced_weights(torch.from_numpy(counts)).to(device)
    return State(
        model=model.train(),
        optimizer=make_optimizer(model, lr=config.optim.lr, weight_decay=config.optim.weight_decay),
        objective=Objective(weights_C, config.optim.label_smoothing),
        precision=MixedPrecision(config.runtime.precision, device),
    )


def fit(state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter) -> None:
    """The loop: step, log, evaluate, until the schedule ends or the metric stops improving."""
    optim = prepared.config.optim
    assert optim.lr is not None and optim.epochs is not None and optim.eval_every is not None
    board = _tensorboard(prepared, run)
    total = optim.epochs * _steps(prepared, 0)
    log_every = prepared.config.runtime.log_every or choices.log_every(total)
    _estimate(state, prepared, total, reporter)
    speed, started = Speed(), time.perf_counter()
    limit = 60 * optim.max_minutes if optim.max_minutes else float("inf")
    losses: list[Tensor] = []
    reporter.start(total)
    for step in _steps_of_run(prepared):
        progress = max(step.progress, (time.perf_counter() - started) / limit)
        lr = optim.lr * lr_factor(min(1.0, progress), warmup=optim.warmup, schedule=optim.schedule)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        microbatches = [batch.to(prepared.device) for batch in step.microbatches]
        result = train_step(
            state.model,
            state.optimizer,
            microbatches,
            state.objective,
            precision=state.precision,
            clip_norm=optim.clip_norm,
        )
        state.step, state.epoch = state.step + 1, step.epoch
        losses.append(result.loss)
        speed.add(sum(b.num_tokens for b in microbatches), sum(b.num_rows for b in microbatches))
        ends = step.last or progress >= 1

        if state.step % log_every == 0 or ends:
            record = {
                "kind": "train",
                "step": state.step,
                "epoch": round(state.epoch, 4),
                "loss": _finite(float(torch.stack(losses).mean()), "the loss", state),
                "lr": lr,
                "grad_norm": float(result.grad_norm),
                **speed.read(),
                "seconds": round(time.perf_counter() - started, 3),
            }
            losses.clear()
            run.log.write(_finite_only(record))
            share = max(progress, 1e-9)
            remaining = (time.perf_counter() - started) * (1 - min(1.0, progress)) / share
            reporter.progress(record, total, remaining)
            _to_board(board, record)
        reporter.advance(state.step, total)

        if state.step % optim.eval_every == 0 or ends:
            speed.pause()
            _evaluate(state, prepared, run, reporter, board)
            speed.resume()
            if optim.patience and state.step - state.best_step >= optim.patience:
                reporter.say(
                    f"stopped: {optim.metric} has not improved for {state.step - state.best_step:,} steps"
                )
                break
        if ends:
            break
    if board is not None:
        board.close()


@dataclass(frozen=True)
class _Step:
    """One optimizer step's batches, and where in the run it stands once it is done."""

    microbatches: list[Batch]
    progress: float
    epoch: float
    last: bool


def _steps(prepared: Prepared, epoch: int) -> int:
    return -(-len(prepared.epoch_plan(epoch)) // prepared.config.batch.accumulation)


def _steps_of_run(prepared: Prepared) -> Iterator[_Step]:
    """The run's optimizer steps in order; batches are prepared ahead by a thread."""
    accumulation, epochs = prepared.config.batch.accumulation, prepared.config.optim.epochs
    assert epochs is not None
    for epoch in range(epochs):
        plan = prepared.epoch_plan(epoch)
        steps = -(-len(plan) // accumulation)
        batches = prefetch(plan, lambda rows: prepared.train.build(rows, prepared.plan, prepared.max_length))
        for index in range(steps):
            count = min(accumulation, len(plan) - index * accumulation)
            microbatches = [next(batches) for _ in range(count)]
            done = epoch + (index + 1) / steps
            yield _Step(
                microbatches,
                progress=done / epochs,
                epoch=done,
                last=epoch == epochs - 1 and index == steps - 1,
            )


def _estimate(state: State, prepared: Prepared, total: int, reporter: Reporter) -> None:
    """Says how long the run will take, from one batch's forward and backward pass, without a trace."""
    plan = prepared.epoch_plan(0)
    batch = prepared.train.build(plan[0], prepared.plan, prepared.max_length).to(prepared.device)
    rows = sum(
        len(b)
        * (prepared.max_length if prepared.plan == "padded" else float(prepared.train.lengths_N[b].mean()))
        for b in plan
    )
    on_gpu = [prepared.device] if prepared.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):
        for _ in range(2):  # the first pays for allocations
            begun = time.perf_counter()
            with state.precision.autocast():
                logits_NC = state.model(batch)
            assert batch.labels_N is not None
            state.objective.loss_sum(logits_NC, batch.labels_N).backward()  # type: ignore[no-untyped-call]
            if on_gpu:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - begun
    state.optimizer.zero_grad(set_to_none=True)
    epochs = prepared.config.optim.epochs or 1
    expected = seconds * rows / batch.num_rows * epochs * 1.15  # optimizer, evaluations
    limit = prepared.config.optim.max_minutes
    note = ""
    if limit is not None and expected > 60 * limit:
        note, expected = f"; it will be cut to {limit:g} min", 60 * limit
    reporter.say(
        f"{epochs} epoch{'' if epochs == 1 else 's'}, {total:,} steps, about {duration(expected)}{note}"
    )


def _evaluation_batches(prepared: Prepared, split: BatchBuilder) -> Iterator[Batch]:
    plan = by_length(split.lengths_N, EVALUATION_TOKENS)
    return prefetch(plan, lambda rows: split.build(rows, "uniform_length", prepared.max_length))


def _evaluate(state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter, board: Any) -> None:
    """Evaluates in training precision, and keeps the weights if they are the best so far."""
    found = evaluate(
        state.model,
        _evaluation_batches(prepared, prepared.val),
        len(prepared.dataset.labels),
        device=prepared.device,
        autocast=state.precision.autocast(),
    )
    metric = float(getattr(found.scores, prepared.config.optim.metric))
    better = metric > state.best_metric
    if better:
        state.best_metric, state.best_step = metric, state.step
        state.best_weights = {k: v.detach().cpu().clone() for k, v in state.model.state_dict().items()}
        write_weights(run.path, state.best_weights)
    record = {
        "kind": "eval",
        "step": state.step,
        "epoch": round(state.epoch, 4),
        "loss": found.loss,
        "accuracy": found.scores.accuracy,
        "macro_f1": found.scores.macro_f1,
        "best": better,
    }
    run.log.write(_finite_only(record))
    _to_board(board, record)
    reporter.say(
        f"epoch {state.epoch:.2f}  validation: accuracy {found.scores.accuracy:.4f}  "
        f"macro-F1 {found.scores.macro_f1:.4f}  loss {found.loss:.4f}{'  (best)' if better else ''}"
    )


def _finish(
    state: State, prepared: Prepared, run: RunDirectory, reporter: Reporter, seconds: float
) -> TrainResult:
    """Puts the best weights back, evaluates them as `custom-bert evaluate` will, and closes the run."""
    last_step = state.step
    state.model.load_state_dict(state.best_weights)
    state.model.encoder.set_kernel(None)
    found: Evaluation = evaluate(
        state.model,
        _evaluation_batches(prepared, prepared.val),
        len(prepared.dataset.labels),
        device=prepared.device,
    )
    scores, labels = found.scores, list(prepared.dataset.labels)
    run.log.close()
    run.update(
        "finished",
        steps=last_step,
        best_step=state.best_step,
        seconds=round(seconds, 2),
        validation={"loss": found.loss, **scores.as_dict(labels)},
    )
    reporter.say("")
    for line in score_lines(scores, labels):
        reporter.say(line)
    reporter.say("")
    reporter.say(
        f"{run.path}: weights of step {state.best_step:,} (best {prepared.config.optim.metric}), "
        f"trained in {duration(seconds)}"
    )
    return TrainResult(
        run.path, scores.accuracy, scores.macro_f1, state.best_step, last_step, seconds, scores
    )


def _as_finished(directory: Path, record: dict[str, Any], reporter: Reporter) -> TrainResult:
    try:
        validation = record["validation"]
        result = TrainResult(
            directory,
            validation["accuracy"],
            validation["macro_f1"],
            record["best_step"],
            0,
            record["seconds"],
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"{directory / 'run.json'}: damaged: {error} is missing") from error
    reporter.say(
        f"{directory}: this run is finished (accuracy {result.accuracy:.4f}, macro-F1 "
        f"{result.macro_f1:.4f}); nothing to do. --fresh trains again in a numbered sibling"
    )
    return result


def _interrupted(state: State, run: RunDirectory, reporter: Reporter) -> None:
    if state.best_step == 0:
        run.discard()
        reporter.say(f"interrupted at step {state.step:,}, before the first evaluation: nothing kept")
        return
    run.log.close()
    run.update("interrupted", steps=state.step, best_step=state.best_step)
    reporter.say(
        f"interrupted at step {state.step:,}: {run.path} keeps the weights of step "
        f"{state.best_step:,}, ready for evaluate and predict"
    )


def _introduce(prepared: Prepared, directory: Path, reporter: Reporter) -> None:
    data = prepared.dataset
    if data.was_divided:
        reporter.say(
            f"no validation files: {len(data.val_rows):,} of {len(data.train_file):,} lines are set "
            f"aside, stratified by label, seed {prepared.config.seed}"
        )
    parameters = prepared.encoder.num_parameters(len(data.labels))
    reporter.say(
        f"{len(data.train_rows):,} training and {len(data.val_rows):,} validation texts, "
        f"{len(data.labels)} labels; {parameters / 1e6:.1f} M parameters; run directory {directory}"
    )
    for line in choice_lines(prepared.choices):
        reporter.say(line)


def _finite(value: float, what: str, state: State) -> float:
    if not np.isfinite(value):
        kept = f"; the weights of step {state.best_step:,} are kept" if state.best_step else ""
        raise UserError(f"{what} {NONFINITE} at step {state.step:,}; lower optim.lr{kept}")
    return value


def _finite_only(record: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON cannot hold become null."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in record.items()
    }


def _tensorboard(prepared: Prepared, run: RunDirectory) -> Any:
    if not prepared.config.runtime.tensorboard:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "runtime.tensorboard: TensorBoard is not installed; pip install 'custom-bert[tensorboard]'"
        ) from error
    return SummaryWriter(str(run.path / "tensorboard"))


def _to_board(board: Any, record: dict[str, Any]) -> None:
    if board is not None:
        for key, value in record.items():
            if isinstance(value, float) and key not in ("epoch", "seconds"):
                board.add_scalar(f"{record['kind']}/{key}", value, record["step"])
