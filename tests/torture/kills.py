"""A1, A7, A9, A10, A11: processes that end at any moment, and the same command again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from training_runs import arguments

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.training import checkpoint
from torture.experiment import Experiment, Trial
from torture.runs import (
    LABELS_ALONE,
    assert_whole,
    ended,
    forked,
    left,
    prepare_data,
    recipe,
    timed,
    train,
    wait,
    whole,
)

ROOT = Path(__file__).resolve().parents[2]


STEPS = 60
"""Optimizer steps of the run that is stopped at each of them."""


def prepare_kills(shared: Path) -> None:
    """Also how long a run takes that nobody breaks."""
    prepare_data(shared)
    again = timed(lambda: train(recipe(shared, shared / "again"), shared / "again.log"))
    (shared / "seconds").write_text(str(again))


def killed(trial: Trial) -> None:
    """SIGKILL at random times until the run ends by itself."""
    run, log, errors = trial.directory / "run", trial.directory / "log", trial.directory / "errors"
    seconds = float((trial.shared / "seconds").read_text())
    for _ in range(50):
        child = forked(lambda: train(recipe(trial.shared, run), log), errors)
        code = wait(child, float(trial.random.uniform(0, 0.7 * seconds)))
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            trial.note("kills")
            folder = run / checkpoint.FOLDER
            if folder.is_dir() and any(files.LITTER.fullmatch(p.name) for p in folder.iterdir()):
                trial.note("kills inside a save")
            continue
        break
    else:
        code = ended(forked(lambda: train(recipe(trial.shared, run), log), errors), errors)
    assert code == 0 and not errors.exists(), errors.read_text() if errors.exists() else code
    assert_whole(trial.shared, run, log)


def prepare_commands(shared: Path) -> None:
    """Also how long a command takes that nobody breaks, and what it leaves."""
    prepare_data(shared)
    again = timed(lambda: subprocess.run(command(shared, shared / "again"), check=True, capture_output=True))
    (shared / "seconds").write_text(str(again))


def command(shared: Path, run: Path) -> list[str]:
    """The command line that trains."""
    return [sys.executable, "-m", "custom_bert", "train", *arguments(recipe(shared, run))]


def killed_commands(trial: Trial) -> None:
    """SIGKILL at random times of fresh processes: the command line, until it ends by itself."""
    run, seconds = trial.directory / "run", float((trial.shared / "seconds").read_text())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(50):
        child = subprocess.Popen(
            command(trial.shared, run), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, errors = child.communicate(timeout=float(trial.random.uniform(0.4, 0.95) * seconds))
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            trial.note("kills")
            continue
        assert child.returncode == 0, errors
        break
    else:
        subprocess.run(command(trial.shared, run), env=environment, check=True, capture_output=True)
    wanted, found = whole(trial.shared), left(run)
    for part, value in found.items():
        assert value == wanted[part], f"{part} differ: {value} instead of {wanted[part]}"


def asked_to_end(trial: Trial) -> None:
    """SIGTERM or SIGINT at a random time; the code of the shell's convention, and a run that continues."""
    run, log, errors = trial.directory / "run", trial.directory / "log", trial.directory / "errors"
    seconds = float((trial.shared / "seconds").read_text())
    number = (signal.SIGTERM, signal.SIGINT)[trial.number % 2]

    def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        train(recipe(trial.shared, run), log)

    child = forked(work, errors)
    code = wait(child, float(trial.random.uniform(0.1, 0.9) * seconds))
    if code is None:
        begun = time.perf_counter()
        os.kill(child, number)
        code = ended(child, errors)
        assert time.perf_counter() - begun < 10, "took longer than a step and a save"
        # before the first step the signal's own default ends the process
        assert code in (0, 128 + number, -number), code
        trial.note(
            f"code {128 + number}" if code == 128 + number else "before the first step or after the last"
        )
    assert ended(forked(work, errors), errors) == 0
    assert_whole(trial.shared, run, log)


def stopped_at_a_step(trial: Trial, **changes: Any) -> None:
    """A request to end in step n, for every n, and the same command again."""
    run, log = trial.directory / "run", trial.directory / "log"

    def stop(step: int) -> None:
        if step == 1 + trial.number * 23 % (STEPS - 1):  # each once; the first few trials lie far apart
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        train(recipe(trial.shared, run, **changes), log, stop)
    except KeyboardInterrupt:
        trial.note("stops")
    finally:
        signal.signal(signal.SIGINT, before)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    train(recipe(trial.shared, run, **changes), log)
    assert_whole(trial.shared, run, log)


def prepare_every_step(shared: Path, **changes: Any) -> None:
    """Checks that the run has as many steps as there are trials."""
    prepare_data(shared, **changes)
    steps = len((shared / "whole.log").read_text().splitlines())
    assert steps >= STEPS, steps


def two_trainers(trial: Trial) -> None:
    """Two processes, one directory: one trains, the other says so."""
    run, refused = trial.directory / "run", trial.directory / "refused"

    def work() -> None:
        try:
            train(recipe(trial.shared, run), trial.directory / f"log{os.getpid()}")
        except RunError as error:
            refused.write_text(str(error))
            raise SystemExit(66) from None

    errors = [trial.directory / f"errors{i}" for i in range(2)]
    children = [forked(work, path) for path in errors]
    codes = sorted(ended(child, path) for child, path in zip(children, errors, strict=True))
    if codes == [0, 0]:  # the first had finished when the second looked
        trial.note("one after the other")
    else:
        assert codes == [0, 66], codes
        assert "another process trains into it" in refused.read_text()


EXPERIMENTS = (
    Experiment(
        "A1-A10",
        "SIGKILL at random times, the same command again: the same bits, each example once an epoch",
        4,
        300,
        prepare_kills,
        killed,
    ),
    Experiment(
        "A1-commands",
        "the same with the command line, a fresh process each time",
        0,
        20,
        prepare_commands,
        killed_commands,
    ),
    Experiment(
        "A7",
        "SIGTERM and SIGINT at random times: codes 143 and 130, the same bits in the end",
        2,
        100,
        prepare_kills,
        asked_to_end,
    ),
    Experiment(
        "A9",
        "stopped in every step of a run and continued: the same bits",
        6,
        STEPS - 1,
        prepare_every_step,
        stopped_at_a_step,
    ),
    Experiment(
        "A9-labels",
        "the same without masked language modelling, with R-Drop, of the token vectors in use",
        3,
        STEPS - 1,
        partial(prepare_every_step, **LABELS_ALONE),
        partial(stopped_at_a_step, **LABELS_ALONE),
    ),
    Experiment(
        "A11", "two trainers in one directory: exactly one proceeds", 2, 20, prepare_data, two_trainers
    ),
)
