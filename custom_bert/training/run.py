"""The run directory: its name, what may be done with one that exists, and its record, run.json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from custom_bert import __version__, files, machine
from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.errors import RunError, WriteError
from custom_bert.floor.ensemble import NAME as ENSEMBLE
from custom_bert.floor.ensemble import Ensemble, write_ensemble
from custom_bert.floor.storage import FOLDER as FLOOR
from custom_bert.floor.storage import write_floor
from custom_bert.model_files.description import Description, write_description
from custom_bert.model_files.native import STABLE, write_weights
from custom_bert.model_files.published_files import WEIGHTS
from custom_bert.tasks.floors import FittedFloor
from custom_bert.terminal import say
from custom_bert.training import checkpoint
from custom_bert.training.identity import OTHER_TOKENIZER, Identity, differences, digest, short_name
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.ranks import Ranks
from custom_bert.training.state import State

Status = Literal["running", "interrupted", "finished"]


def default_directory(identity: Identity) -> Path:
    """Returns the directory of a run without `out`: `runs/` and the hash of its settings and data."""
    return Path("runs") / short_name(identity)


def sibling(directory: Path) -> Path:
    """Returns the first of `directory`, `directory-2`, `directory-3`, ... that does not exist or is empty."""
    directory = directory.absolute() if directory.name in ("", "..") else directory
    number, candidate = 1, directory
    while _holds_something(candidate):
        number += 1
        candidate = directory.with_name(f"{directory.name}-{number}")
    return candidate


def _holds_something(directory: Path) -> bool:
    try:
        return directory.exists() and not (directory.is_dir() and not any(directory.iterdir()))
    except OSError as error:
        raise WriteError(f"{directory}: cannot read: {error.strerror}") from error


def read_record(directory: Path) -> dict[str, Any] | None:
    """Returns the content of run.json, or None if the directory does not exist or is empty.

    Raises:
        RunError: if the directory holds something that is no run.
    """
    if not _holds_something(directory):
        return None
    try:
        record = files.read_run_json(directory, "run.json")
        if not isinstance(record, dict):
            raise RunError("not an object")
    except RunError as error:
        raise RunError(
            f"{directory}: exists and is not a run directory (no readable run.json); "
            f"choose another with --out"
        ) from error
    return record


@contextmanager
def hold(directory: Path, warn: Callable[[str], None] = say) -> Iterator[None]:
    """Within the block, no other process trains into a directory. It is made if it does not exist, and
    removed again if it stays empty.

    Files that interrupted writes have left in it are removed, if the directory is a run's or holds only such
    files.

    Raises:
        RunError: if another process trains into the directory.
        WriteError: if the system refuses.
    """
    created = not directory.exists()
    files.make_directory(directory)
    with files.locked(directory, warn=warn):
        names = [path.name for path in directory.iterdir()]
        if "run.json" in names or all(map(files.LITTER.fullmatch, names)):
            for folder in (directory, directory / checkpoint.FOLDER):
                if folder.is_dir():
                    files.remove_litter(folder)
        try:
            yield
        finally:
            if created:
                files.remove_if_empty(directory)


def claim(directory: Path, identity: Identity, asked: TrainConfig) -> dict[str, Any] | None:
    """Decides what a training command may do with a directory that it holds; see `hold`.

    Args:
        directory: the run directory.
        identity: the identity of the run that is asked for.
        asked: the configuration as the user wrote it.

    Returns:
        The record of a run with the same identity, which is finished or to be continued; None for an empty
        directory.

    Raises:
        RunError: if the directory holds another run, or a finished one without its weights.
    """
    record = read_record(directory)
    if record is None:
        return None
    differing = differences(record, identity, directory / "run.json")
    if differing == [OTHER_TOKENIZER] and not asked.data.tokenizer and not asked.model.is_pretrained:
        raise RunError(
            f"{directory}: holds this run with a vocabulary that an older version made, by other rules; "
            f"choose another --out, or --fresh for a numbered sibling"
        )
    if differing:
        raise RunError(
            f"{directory}: holds another run ({'; '.join(differing)}); "
            f"choose another --out, or --fresh for a numbered sibling"
        )
    if record.get("status") == "finished" and not (directory / WEIGHTS).is_file():
        raise RunError(
            f"{directory}: this run is finished, but its model.safetensors is missing; "
            f"--fresh trains again in a numbered sibling"
        )
    return record


class RunDirectory:
    """The directory that a run is trained into. Rank 0 alone writes; at other ranks all methods do nothing.

    Args:
        path: the directory, which this process holds.
        identity: the identity of the run that is asked for.
        plan: what was decided.
        material: the data and the tokenizer.
        ranks: the processes that train.
        record: the record of the run that is continued; None for a new run.

    Attributes:
        identity: the hash of the run's identity, as it was when the run began.
        best: the size and sha256 of the best weights, at rank 0; None if there are none.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        plan: RunPlan,
        material: Material,
        ranks: Ranks,
        record: dict[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.best: tuple[int, str] | None = None
        self._log: files.LineLog | _NoLog | None = None
        self._writes = ranks.leads
        self._is_new = record is None
        before = record or {}
        begun = before.get("identity", identity)
        self.identity = digest(begun)
        self._record: dict[str, Any] = {
            "status": "running",
            "custom_bert": __version__,
            "started": before.get("started", _now()),
            "continued": [*_listed(before.get("continued")), _now()] if record else [],
            "argv": sys.argv,
            "identity": begun,
            "config": configuration.to_flat(plan.config),
            "choices": [asdict(choice) for choice in plan.choices],
            "kept_by": plan.task.kept_by(plan.config),
            "data": material.description(),
            "pretrained": material.pretrained.record() if material.pretrained else None,
            "encoder": asdict(plan.encoder),
            "machine": machine.description(plan.device) | {"ranks": ranks.world},
            **({"floor": before["floor"]} if "floor" in before else {}),
        }
        if not self._writes:
            return
        self.update(
            "running"
        )  # comes first, because without run.json the next start would refuse the directory
        files.remove_file(path / ENSEMBLE)  # one that was fitted before the run was broken off
        data = plan.config.data
        pairs = material.source.pairs
        described = Description(plan.encoder, plan.task, data.max_length, data.long_texts, pairs)
        write_description(path, described, material.tokenizer)

    def open_log(self, keep: int, warn: Callable[[str], None]) -> None:
        """Opens metrics.jsonl.

        Args:
            keep: how many of its bytes to keep. What follows is about steps after the checkpoint, which are
                made again.
            warn: prints a warning if the file is shorter than that.
        """
        if not self._writes:
            self._log = _NoLog()
            return
        path = self.path / "metrics.jsonl"
        self._log = files.LineLog(path, keep=keep)
        if self._log.size < keep:
            warn(f"{path}: {keep - self._log.size:,} bytes of earlier steps are missing")

    @property
    def log(self) -> files.LineLog | _NoLog:
        """The open metrics.jsonl."""
        assert self._log is not None, "open_log comes first"
        return self._log

    def close_log(self) -> None:
        """Closes metrics.jsonl, if it is open."""
        if self._log is not None:
            self._log.close()

    @property
    def floor(self) -> dict[str, Any] | None:
        """What was measured of the linear model that predicts until the encoder is trained, if there is
        one."""
        return self._record.get("floor")

    def keep_floor(self, fitted: FittedFloor) -> None:
        """Writes a floor and what was measured of it."""
        if self._writes:
            write_floor(self.path, fitted.floor)
            self.update("running", floor=fitted.record())

    def keep_ensemble(self, ensemble: Ensemble) -> None:
        """Writes the factors with which encoder and floor predict together."""
        if self._writes:
            write_ensemble(self.path, ensemble)

    def keep_best(self, weights: dict[str, Tensor]) -> None:
        """Writes the best weights so far to model.safetensors."""
        if not self._writes:
            self.best = None  # after continuing, those of the checkpoint; only rank 0 knows the new ones
            return
        self.best = write_weights(self.path, weights)

    def save(self, state: State) -> float:
        """Writes a checkpoint of the present moment, and returns the seconds that it took. Every rank has to
        call this."""
        progress, clock = state.progress, state.clock
        begun = clock.run_seconds
        progress.seconds, progress.phase_seconds = begun, clock.phase_seconds
        progress.tokens, progress.rows, progress.log_seconds = clock.tokens, clock.rows, clock.log_seconds
        self.log.sync()  # a checkpoint must not speak of lines that a power cut could still lose
        progress.log_bytes = self.log.size
        checkpoint.save(self.path, state, self.identity, self.best)
        cost = clock.run_seconds - begun
        progress.saving_seconds += cost
        return cost

    def update(self, status: Status, **results: Any) -> None:
        """Writes run.json with a new status and the results so far. A finished run stays finished, for
        example if an error comes while its result is printed."""
        if self._record["status"] == "finished" or not self._writes:
            return
        self._record |= {"status": status, **results}
        if status != "running":
            self._record["ended"] = _now()
        files.write_json(self.path / "run.json", self._record)

    def discard(self) -> None:
        """Removes what this process wrote, if nothing of it is of use. Files of others stay. Of a run that
        was continued everything stays, and run.json says that it was interrupted."""
        self.close_log()
        if not self._writes:
            return
        if not self._is_new:
            self.update("interrupted")
            return
        checkpoint.discard(self.path)
        for folder in ("tensorboard", STABLE, FLOOR):
            files.remove_directory(self.path / folder)
        written = ("metrics.jsonl", "config.json", "tokenizer.json", "labels.json", ENSEMBLE, WEIGHTS)
        for name in (*written, "run.json"):
            files.remove_file(self.path / name)


class _NoLog:
    """The log of a process that is not rank 0, and writes nothing."""

    size = 0

    def write(self, record: dict[str, Any]) -> None:
        """Rank 0 writes the record."""

    def sync(self) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """There is nothing to close."""


def _listed(value: Any) -> list[Any]:
    """Returns a list as it is, and an empty one for anything that run.json should not hold."""
    return value if isinstance(value, list) else []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
