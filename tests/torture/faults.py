"""A2 to A6: a save that is killed, refused, cut off by a full disk or a power cut, and files that a disk
spoils. The old checkpoint or the new one is there afterwards, whole; never neither."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_runs import write_data

from custom_bert import files
from custom_bert.errors import UserError, WriteError
from custom_bert.files import system
from custom_bert.model_files.published_files import WEIGHTS
from custom_bert.training import checkpoint
from custom_bert.training.identity import digest
from custom_bert.training.run import RunDirectory, hold
from torture.disk import Disk, Recorder
from torture.experiment import Experiment, Trial
from torture.runs import ended, forked, left, prepare_data, recipe, stopped_state, train, whole

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
CALLS = (
    "open",
    "write",
    "truncate",
    "fsync",
    "close",
    "replace",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
)


FLUSHES = 9
"""Of a save: the best weights and their directory, five files, the checkpoint's directory and its parent."""

MOST_CALLS = 150
"""Of a save; more would leave trials out."""


class Faulty(system.System):
    """Calls `fault` before and after each call of the system's, with the number of the call; a fault that
    returns a number stands for the bytes that a write took."""

    def __init__(self, fault: Callable[[int, str, bool], int | None]) -> None:
        self.calls = 0
        self._fault = fault
        for name in CALLS:
            setattr(self, name, self._between(name))

    def _between(self, name: str) -> Callable[..., Any]:
        real = getattr(system.System(), name)

        def call(*arguments: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            short = self._fault(number, name, False)
            if short is not None and name == "write":
                arguments = (arguments[0], arguments[1][: max(1, len(arguments[1]) // short)])
            result = real(*arguments)
            self._fault(number, name, True)
            return result

        return call


@contextmanager
def through(other: system.System) -> Any:
    """Every write goes through another system."""
    real, system.current = system.current, other
    try:
        yield other
    finally:
        system.current = real


def prepare_save(shared: Path) -> None:
    """A run that was stopped between two checkpoints, and how many calls the next save takes."""
    prepare_data(shared)

    def stop(step: int) -> None:
        if step == 40:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        train(recipe(shared, shared / "stopped"), shared / "stopped.log", stop)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, before)
    copy, faulty = shared / "counted", Faulty(lambda *_: None)
    shutil.copytree(shared / "stopped", copy)
    save_next(shared, copy, faulty)
    assert FLUSHES < faulty.calls <= MOST_CALLS, faulty.calls  # none if writes went past it
    (shared / "calls").write_text(str(faulty.calls))


def save_next(shared: Path, run: Path, other: system.System) -> None:
    """What training writes after its next step, through a system: better weights, and a checkpoint."""
    with stopped_state(shared, run) as (state, prepared):
        saved = checkpoint.newest(run, digest(prepared.identity), complain)
        assert saved is not None and checkpoint.BEST in saved.entries
        checkpoint.restore(saved, run, state)
        directory = RunDirectory.__new__(RunDirectory)
        directory.path, directory.best, directory._writes = run, saved.entries[checkpoint.BEST], True
        state.progress.step += 1
        with torch.no_grad():
            next(state.model.parameters()).add_(1.0)
        with through(other):
            directory.keep_best(state.model.state_dict())
            state.progress.best_step = state.progress.step
            checkpoint.save(run, state, digest(prepared.identity), directory.best)


def complain(line: str) -> None:
    """For where nothing may be damaged."""
    raise AssertionError(line)


def state_of(shared: Path, run: Path) -> int:
    """The step of the checkpoint that a next start takes; it is whole, and so are the best weights."""
    with stopped_state(shared, run) as (state, prepared):
        saved = checkpoint.newest(run, digest(prepared.identity), complain)
        assert saved is not None, "neither the old nor the new checkpoint"
        checkpoint.restore(saved, run, state)
    with hold(run):
        pass  # a start
    litter = [p for p in run.rglob("*") if files.LITTER.fullmatch(p.name)]
    assert not litter, litter
    return saved.progress.step


def copied(trial: Trial) -> tuple[Path, int]:
    """The stopped run, its own copy, and its step."""
    run = trial.directory / "run"
    shutil.copytree(trial.shared / "stopped", run)
    return run, state_of(trial.shared, run)


def calls(trial: Trial) -> int:
    """Of a save."""
    return int((trial.shared / "calls").read_text())


def killed_in_a_save(trial: Trial) -> None:
    """Dies before or after the n-th call, for every n."""
    run, step = copied(trial)
    # each place once; the first few trials lie far apart
    number, after = divmod(trial.number * 41 % (2 * calls(trial)), 2)

    def fault(call: int, name: str, done: bool) -> None:
        if (call, done) == (number, bool(after)):
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        save_next(trial.shared, run, Faulty(fault))

    errors = trial.directory / "errors"
    assert ended(forked(work, errors), errors) == -signal.SIGKILL
    assert state_of(trial.shared, run) in (step, step + 1)


def refused_in_a_save(trial: Trial) -> None:
    """The n-th call fails with every error, or writes less than it was given."""
    run, step = copied(trial)
    kinds = len(ERRORS) + 1
    number, kind = divmod(trial.number * 41 % (kinds * calls(trial)), kinds)
    code = (*ERRORS, 0)[kind]

    def fault(call: int, name: str, done: bool) -> int | None:
        if call == number and not done:
            if code:
                raise OSError(code, os.strerror(code))
            return 2
        return None

    try:
        save_next(trial.shared, run, Faulty(fault))
        assert not code, f"{errno.errorcode[code]} went unnoticed"
    except WriteError as error:
        assert code, f"a short write is no error: {error}"
        words = str(error)
        assert "\n" not in words and str(run) in words and errno.errorcode[code] in words, words
    found = state_of(trial.shared, run)
    assert found == step + 1 if not code else found in (step, step + 1)


def full_disk(trial: Trial) -> None:
    """A limit on the size of files, which the kernel enforces."""
    run, step = copied(trial)
    largest = max(p.stat().st_size for p in run.rglob("*") if p.is_file())
    limit = int(largest * (trial.number + 1) / 66)

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            save_next(trial.shared, run, system.System())
        except WriteError as error:
            words = str(error)
            assert "\n" not in words and str(run) in words and "EFBIG" in words, words
            raise SystemExit(74) from None

    errors = trial.directory / "errors"
    assert ended(forked(work, errors), errors) == 74
    assert state_of(trial.shared, run) == step


def full_tmpfs(trial: Trial) -> None:
    """A file system with room for a part of a save; its own kernel code says so."""
    mount = trial.directory / "mount"
    mount.mkdir()
    stopped = trial.shared / "stopped"
    size = sum(path.stat().st_size for path in stopped.rglob("*") if path.is_file())
    spare = size * trial.number // 60  # a save takes 26 sixtieths

    def work() -> None:
        try:
            mount_tmpfs(mount, 4 * size)
        except OSError:
            raise SystemExit(77) from None
        run, ballast = mount / "run", mount / "ballast"
        shutil.copytree(stopped, run)
        step = state_of(trial.shared, run)
        space = os.statvfs(mount)
        with ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, space.f_bavail * space.f_frsize - spare)
        try:
            save_next(trial.shared, run, system.System())
        except WriteError as error:
            words = str(error)
            assert "\n" not in words and str(run) in words and "ENOSPC" in words, words
        else:
            raise AssertionError(f"{spare:,} bytes were enough for a save")
        ballast.unlink()
        assert state_of(trial.shared, run) == step

    errors = trial.directory / "errors"
    code = ended(forked(work, errors), errors)
    assert code in (0, 77), code
    trial.note("refused" if code == 0 else "not mounted: this system allows no tmpfs")


def mount_tmpfs(directory: Path, size: int) -> None:
    """In a mount namespace of this process, which goes with it; needs user namespaces or root.

    Raises:
        OSError: where the system allows neither.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, mounts = os.getuid(), 0x20000  # CLONE_NEWNS
    if user:
        mounts |= 0x10000000  # CLONE_NEWUSER
    if libc.unshare(mounts):
        raise OSError(ctypes.get_errno(), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    libc.mount(b"none", b"/", None, 0x44000, None)  # MS_REC | MS_PRIVATE: stays in here
    if libc.mount(b"tmpfs", str(directory).encode(), b"tmpfs", 0, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "mount")


def prepare_short(shared: Path) -> None:
    """A short run with a cache of its own, what it leaves, and how many calls that takes."""
    write_data(shared / "data", train=90, val=30)
    faulty = Faulty(lambda *_: None)
    with through(faulty):
        train(short(shared, shared), shared / "log")
    assert faulty.calls > FLUSHES, faulty.calls
    (shared / "calls").write_text(str(faulty.calls))
    (shared / "whole.json").write_text(json.dumps(left(shared / "run")))


def short(shared: Path, directory: Path) -> dict[str, Any]:
    """A few steps, two checkpoints, tokens that are cached nowhere else."""
    return recipe(
        shared,
        directory / "run",
        **{
            "data.cache_dir": str(directory / "cache"),
            "optim.pretrain_epochs": 1,
            "optim.epochs": 2,
            "runtime.checkpoint_every": 6,
            "runtime.threads": 1,
        },
    )


def killed_in_a_command(trial: Trial) -> None:
    """Dies before or after a call between the first of a command and its last: the tokenizer's cache, the
    token store, the run's first files, evaluations, checkpoints, the end. The same command ends as if nothing
    had been."""
    places = 2 * calls(trial)
    number, after = divmod(trial.number * places // COMMANDS, 2)

    def fault(call: int, name: str, done: bool) -> None:
        if (call, done) == (number, bool(after)):
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with through(Faulty(fault)):
            train(short(trial.shared, trial.directory), trial.directory / "log")

    errors = trial.directory / "errors"
    assert ended(forked(work, errors), errors) == -signal.SIGKILL
    ends_as_whole(trial)


def refused_in_a_command(trial: Trial) -> None:
    """The system refuses a call: one line that names the file, and the same command ends well later."""
    number = trial.number * calls(trial) // COMMANDS
    code = ERRORS[trial.number % len(ERRORS)]

    def fault(call: int, name: str, done: bool) -> None:
        if call == number and not done:
            raise OSError(code, os.strerror(code))

    def work() -> None:
        for name in ("XDG_CACHE_HOME", "TMPDIR"):  # where the cache goes when its own place refuses
            os.environ[name] = str(trial.directory)
        try:
            with through(Faulty(fault)):
                train(short(trial.shared, trial.directory), trial.directory / "log")
        except UserError as error:
            words = str(error)
            assert "\n" not in words and str(trial.directory) in words and errno.errorcode[code] in words, (
                words
            )
            raise SystemExit(74) from None

    errors = trial.directory / "errors"
    trial.note("refused" if ended(forked(work, errors), errors) == 74 else "done without")
    ends_as_whole(trial)


def ends_as_whole(trial: Trial) -> None:
    """The same command, and what it leaves."""
    again = trial.directory / "errors again"
    config, log = short(trial.shared, trial.directory), trial.directory / "log"
    assert ended(forked(lambda: train(config, log), again), again) == 0
    wanted, found = whole(trial.shared), left(trial.directory / "run")
    for part, value in wanted.items():
        assert found[part] == value, f"{part} differ: {found[part]} instead of {value}"
    litter = [p for p in (trial.directory / "run").rglob("*") if files.LITTER.fullmatch(p.name)]
    assert not litter, litter


COMMANDS = 200
"""Places of a command that are tried, evenly spread over its calls."""


def power_cut(trial: Trial) -> None:
    """After a random call the power goes: what was not made durable is lost, torn, or there by chance."""
    run, step = copied(trial)
    disk = Disk(run)
    save_next(trial.shared, run, Recorder(disk))
    for _ in range(20):
        after = disk.materialise(trial.directory / "after", trial.random)
        check_after_the_cut(trial.shared, disk, after, step)
        shutil.rmtree(after)
        trial.note("states")


def power_cut_without_a_flush(trial: Trial) -> None:
    """The control: without the n-th flush some power cut has to lose something, or nothing would be seen."""
    run, step = copied(trial)
    disk = Disk(run)
    recorder = Recorder(disk, without=trial.number)
    save_next(trial.shared, run, recorder)
    assert recorder.flushes == FLUSHES, recorder.flushes
    for _ in range(400):
        after = disk.materialise(trial.directory / "after", trial.random)
        try:
            check_after_the_cut(trial.shared, disk, after, step)
        except AssertionError:
            return
        finally:
            shutil.rmtree(after)
    raise AssertionError(f"the {trial.number + 1}. flush can be left out unnoticed")


def check_after_the_cut(shared: Path, disk: Disk, after: Path, step: int) -> None:
    """The old checkpoint or the new one; the new one, with its weights, if the save had returned."""
    weights = (after / WEIGHTS).read_bytes()
    found = state_of(shared, after)
    assert found in (step, step + 1), found
    if disk.cut_at_the_end:
        assert found == step + 1, "the save had returned"
        assert weights == (disk.root / WEIGHTS).read_bytes(), "the best weights had been written"


def spoilt(trial: Trial) -> None:
    """A bit, the end, a name: the newest checkpoint is taken for damaged, and the one before it serves."""
    run = trial.directory / "run"
    shutil.copytree(trial.shared / "stopped", run)
    with stopped_state(trial.shared, run) as (state, prepared):
        newest, before = sorted((run / checkpoint.FOLDER).iterdir(), reverse=True)
        spoil(newest, before, trial.random)
        said: list[str] = []
        saved = checkpoint.newest(run, digest(prepared.identity), said.append)
        assert saved is not None and saved.path == before, "the damage went unnoticed"
        assert len(said) == 1 and "\n" not in said[0] and str(newest) in said[0], said
        checkpoint.restore(saved, run, state)


def spoil(newest: Path, before: Path, random: np.random.Generator) -> None:
    """Damages a checkpoint in one of seven ways."""
    names = sorted(path.name for path in newest.iterdir())
    path = newest / names[random.integers(len(names))]
    content = bytearray(path.read_bytes())
    way = random.integers(7)
    if way <= 1:
        content[random.integers(len(content))] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
    elif way == 2:
        path.write_bytes(content[: random.integers(len(content))])
    elif way == 3:
        path.write_bytes(content + bytes(int(random.integers(1, 9))))
    elif way == 4:
        other = (before / path.name).read_bytes()
        path.write_bytes(other if other != content else b"")
    elif way == 5:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
        (newest / "extra").write_bytes(b"")


EXPERIMENTS = (
    Experiment(
        "A2",
        "SIGKILL before and after each call of a save: the old checkpoint or the new, no litter",
        8,
        2 * MOST_CALLS,
        prepare_save,
        killed_in_a_save,
    ),
    Experiment(
        "A3",
        "each call of a save refused by ENOSPC, EIO, EROFS, EACCES, or a short write: one line, old or new",
        20,
        (len(ERRORS) + 1) * MOST_CALLS,
        prepare_save,
        refused_in_a_save,
    ),
    Experiment(
        "A4",
        "a limit on file sizes, 64 sizes: one line, the old checkpoint unchanged",
        4,
        64,
        prepare_save,
        full_disk,
    ),
    Experiment(
        "A4-tmpfs",
        "a file system without room for a save, 24 sizes: one line, the old checkpoint unchanged",
        1,
        24,
        prepare_save,
        full_tmpfs,
    ),
    Experiment(
        "A2-command",
        "SIGKILL at a call of a whole command, start, cache and end included: the same bits in the end",
        3,
        COMMANDS,
        prepare_short,
        killed_in_a_command,
    ),
    Experiment(
        "A3-command",
        "a call of a whole command refused: one line, and the same bits in the end",
        3,
        COMMANDS,
        prepare_short,
        refused_in_a_command,
    ),
    Experiment(
        "A5",
        "power cuts, 20 states each: what was not flushed is lost or torn; old or new",
        2,
        100,
        prepare_save,
        power_cut,
    ),
    Experiment(
        "A5-control",
        "without any one flush, a power cut is noticed",
        2,
        FLUSHES,
        prepare_save,
        power_cut_without_a_flush,
    ),
    Experiment(
        "A6",
        "bit flips, cuts, additions, swapped, missing and extra files: detected, the one before serves",
        40,
        3000,
        prepare_save,
        spoilt,
    ),
)
