"""Tiny runs that are broken on purpose, and what tells that one came out as if nobody had broken it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from training_runs import Ready, built, ready, settings, write_data

from custom_bert.training import fit
from custom_bert.training.state import State

WALL_CLOCK = ("seconds", "run_seconds", "tokens_per_second", "host_data_wait")
"""What metrics.jsonl holds that no two runs share."""


def recipe(shared: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """Masked language modelling, then labels; dropout, batches ordered by length, two batches a step."""
    return settings(
        shared / "data",
        out,
        **{
            "model.hidden_size": 16,
            "model.hidden_dropout": 0.1,
            "model.attention_dropout": 0.1,
            "data.cache_dir": str(shared / "cache"),
            "batch.plan": "uniform_length",
            "batch.token_budget": 128,
            "batch.accumulation": 2,
            "optim.pretrain_epochs": 5,
            "optim.epochs": 9,
            "optim.token_dropout": 0.2,
            "optim.eval_every": 7,
            "runtime.log_every": 3,
            "runtime.checkpoint_every": 1,
            **changes,
        },
    )


LABELS_ALONE = {"optim.pretrain_epochs": 0, "optim.epochs": 16, "optim.r_drop": 0.5}
"""What most users train: token vectors in use alone, each text twice."""


def prepare_texts(shared: Path) -> None:
    """The data alone, for trials that are compared with each other."""
    write_data(shared / "data", train=90, val=30)


def prepare_data(shared: Path, **changes: Any) -> None:
    """The data, its tokens, and the fingerprint of a run that nobody breaks."""
    prepare_texts(shared)
    train(recipe(shared, shared / "whole", **changes), shared / "whole.log")
    (shared / "whole.json").write_text(json.dumps(fingerprint(shared / "whole", shared / "whole.log")))


def whole(shared: Path) -> dict[str, Any]:
    """What `prepare_data` found."""
    found: dict[str, Any] = json.loads((shared / "whole.json").read_text())
    return found


def train(config: dict[str, Any], log: Path, each_step: Callable[[int], None] | None = None) -> None:
    """`train_model`, which also writes into `log` what each step saw, and beside it what AdamW's moments were
    at the last evaluation."""
    from custom_bert import train_model

    steps = 0
    real_step, real_evaluate = fit.step_within_memory, fit.evaluate_now

    def step(state: State, phase: Any, step: Any, model: Any, **options: Any) -> Any:
        nonlocal steps
        result = real_step(state, phase, step, model, **options)
        ids = sorted({int(i) for batch in step.microbatches for i in batch.indices})
        with log.open("a") as stream:
            stream.write(json.dumps([phase.name, step.drawn_in, state.progress.step, ids]) + "\n")
        steps += 1
        if each_step:
            each_step(steps)
        return result

    def evaluate(state: State, *arguments: Any) -> Any:
        record = real_evaluate(state, *arguments)
        digest = hashlib.sha256()
        for parameter in (p for p in state.phase.model.parameters() if p.requires_grad):
            for name in ("step", "exp_avg", "exp_avg_sq"):
                digest.update(state.phase.optimizer.state[parameter][name].numpy().tobytes())
        log.with_suffix(".moments").write_text(digest.hexdigest())
        return record

    fit.step_within_memory, fit.evaluate_now = step, evaluate  # type: ignore[assignment]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            train_model(config)
    finally:
        fit.step_within_memory, fit.evaluate_now = real_step, real_evaluate


def left(run: Path) -> dict[str, Any]:
    """What a finished run holds: weights, metrics less the wall clock, results, names of files."""
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished", record["status"]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "weights": hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest(),
        "metrics": [{k: v for k, v in one.items() if k not in WALL_CLOCK} for one in metrics],
        "record": {key: record[key] for key in ("steps", "best_step", "validation")},
        "files": sorted(path.name for path in run.iterdir()),
    }


def fingerprint(run: Path, log: Path) -> dict[str, Any]:
    """What is left, moments, and which examples each epoch saw."""
    seen = {}
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):  # a line that a kill tore
            phase, epoch, step, ids = json.loads(line)
            seen[f"{phase} {step}"] = (f"{phase} {epoch}", ids)  # a step that was done again counts once
    epochs: dict[str, list[int]] = {}
    for name, ids in seen.values():
        epochs.setdefault(name, []).extend(ids)
    return {
        **left(run),
        "moments": log.with_suffix(".moments").read_text(),
        "epochs": {name: sorted(ids) for name, ids in epochs.items()},
    }


def assert_whole(shared: Path, run: Path, log: Path) -> None:
    """The run is the one that nobody broke, bit for bit, and each epoch saw each example once."""
    wanted, found = whole(shared), fingerprint(run, log)
    for part, value in wanted.items():
        assert found[part] == value, f"{part} differ: {found[part]} instead of {value}"
    for name, ids in found["epochs"].items():
        assert ids == list(range(90)), f"epoch {name} saw {ids}"


def forked(work: Callable[[], None], errors: Path) -> int:
    """A child that has torch loaded already, doing `work`; its process id. `errors` tells what it raises."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        torch.set_num_threads(1)
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        errors.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def wait(child: int, seconds: float) -> int | None:
    """The exit code of a child (negative: the signal that ended it); None if it takes longer."""
    descriptor = os.pidfd_open(child)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            return None
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ended(child: int, errors: Path, seconds: float = 120.0) -> int:
    """The exit code of a child that ends by itself.

    Raises:
        AssertionError: if it does not, or if it raised.
    """
    code = wait(child, seconds)
    if code is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError(f"still running after {seconds:.0f} s")
    assert not errors.exists(), errors.read_text()
    return code


def timed(work: Callable[[], None]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@contextlib.contextmanager
def stopped_state(shared: Path, out: Path) -> Iterator[tuple[State, Ready]]:
    """A state and what was prepared, without training."""
    prepared = ready(recipe(shared, out))
    with contextlib.redirect_stdout(io.StringIO()):
        yield built(prepared), prepared
