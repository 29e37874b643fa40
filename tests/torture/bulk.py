"""B: files that are labelled in shards, by processes that are killed. The same command gives the bytes of a
run that nobody broke."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from training_runs import examples, settings, write_data, write_lines

from custom_bert.bulk import shards
from custom_bert.cli import main
from torture.experiment import Experiment, Trial
from torture.faults import Faulty, through
from torture.runs import ended, forked, timed, train, wait

ROOT = Path(__file__).resolve().parents[2]

LINES, KILLS = 50_000, 50

PLACES = 200
"""Calls of a run before and after which it is killed; more would leave trials out."""


def label(shared: Path, out: Path) -> int:
    """The command, in this process; the exit code."""
    words = ["predict", str(shared / "run"), str(shared / "texts.txt"), "--out", str(out), "--processes", "1"]
    with contextlib.redirect_stderr(io.StringIO()):
        return main(words)


@contextlib.contextmanager
def small_shards(rows: int) -> Iterator[None]:
    """Shards of so many rows."""
    before, shards.ROWS = shards.ROWS, rows
    try:
        yield
    finally:
        shards.ROWS = before


def prepare(shared: Path, lines: int, rows: int) -> None:
    """A run, texts, and what a process that nobody kills makes of them; packed bytes differ soonest."""
    write_data(shared / "data", train=90, val=30)
    train(settings(shared / "data", shared / "run"), shared / "log")
    write_lines(shared / "texts.txt", examples(lines, seed=7)[0])

    def work() -> None:
        assert label(shared, shared / "whole.txt.gz") == 0

    faulty = Faulty(lambda *_: None)
    with small_shards(rows), through(faulty):
        seconds = timed(work)
    (shared / "seconds").write_text(str(seconds))
    (shared / "calls").write_text(str(faulty.calls))
    assert gzip.decompress((shared / "whole.txt.gz").read_bytes()).count(b"\n") == lines


def prepare_calls(shared: Path) -> None:
    """A few shards."""
    prepare(shared, 40, 16)
    assert int((shared / "calls").read_text()) <= PLACES // 2


def prepare_kills(shared: Path) -> None:
    """Many lines, and shards so small that a kill always finds some that are not done."""
    prepare(shared, LINES, 256)


def check(trial: Trial, out: Path) -> None:
    """The output is there, whole, and nothing else."""
    assert out.read_bytes() == (trial.shared / "whole.txt.gz").read_bytes(), "other bytes"
    left = [path.name for path in trial.directory.iterdir() if path != out]
    assert not left, left


def killed_at_a_call(trial: Trial) -> None:
    """Dies before or after the n-th call that changes the disk, for every n."""
    out, calls = trial.directory / "out.txt.gz", int((trial.shared / "calls").read_text())
    number, after = divmod(trial.number * 41 % (2 * calls), 2)

    def fault(call: int, name: str, done: bool) -> None:
        if (call, done) == (number, bool(after)):
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with small_shards(16), through(Faulty(fault)):
            label(trial.shared, out)

    errors = trial.directory / "errors"
    assert ended(forked(work, errors), errors) == -signal.SIGKILL
    trial.note(f"killed {'after' if after else 'before'} a call")
    finished = out.exists() and not out.with_name("out.txt.gz.part").exists()
    with small_shards(16):
        assert label(trial.shared, out) == (74 if finished else 0)  # 74: it is there
    check(trial, out)


def killed_many_times(trial: Trial) -> None:
    """SIGKILL at random times, until there were enough; then it ends by itself."""
    out, errors = trial.directory / "out.txt.gz", trial.directory / "errors"
    seconds, kills = float((trial.shared / "seconds").read_text()), 0

    def work() -> None:
        with small_shards(256):
            raise SystemExit(label(trial.shared, out))

    while kills < KILLS and not out.exists():
        child = forked(work, errors)
        code = wait(child, float(trial.random.uniform(0.0, 2.4 * seconds / KILLS)))
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            trial.note("kills")
        else:
            assert code == 0 and not errors.exists(), errors.read_text() if errors.exists() else code
    if not out.exists() or out.with_name("out.txt.gz.part").exists():
        assert ended(forked(work, errors), errors) == 0
    check(trial, out)


def killed_commands(trial: Trial) -> None:
    """The same with the command line and two processes, a fresh one each time."""
    out = trial.directory / "out.txt"
    source, run = trial.shared / "texts.txt", trial.shared / "run"
    command = [sys.executable, "-m", "custom_bert", "predict", str(run), str(source), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole = trial.shared / "whole by command.txt"
    if not whole.exists():
        words = [*command[:-1], str(whole), "--processes", "1"]
        subprocess.run(words, env=environment, check=True, capture_output=True)
    seconds = 5.0
    while True:
        child = subprocess.Popen([*command, "--processes", "2"], env=environment, stderr=subprocess.PIPE)
        try:
            _, errors = child.communicate(timeout=float(trial.random.uniform(0.4, 1.0) * seconds))
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            trial.note("kills")
            seconds *= 1.1  # on a busy machine, one of them has to come as far as a shard
            continue
        assert child.returncode == 0, errors
        break
    assert out.read_bytes() == whole.read_bytes(), "other bytes"


EXPERIMENTS = (
    Experiment(
        "B-calls",
        "predict --out killed before or after any call that changes the disk: the same bytes",
        6,
        PLACES,
        prepare_calls,
        killed_at_a_call,
    ),
    Experiment(
        "B-kills",
        f"predict --out of {LINES:,} lines, killed {KILLS} times at random: the same bytes",
        0,
        3,
        prepare_kills,
        killed_many_times,
    ),
    Experiment(
        "B-commands",
        "the same with the command line and two processes, a fresh one each time",
        0,
        5,
        prepare_kills,
        killed_commands,
    ),
)
