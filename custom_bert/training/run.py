"""The run directory: its name, what may be done with one that exists, and its record, run.json."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from custom_bert import __version__, files, machine
from custom_bert import config as configuration
from custom_bert.checkpoints.native import write_description
from custom_bert.errors import RunError, WriteError
from custom_bert.training.prepare import Prepared

Status = Literal["running", "interrupted", "finished"]


def default_directory(prepared: Prepared) -> Path:
    """`runs/` and the hash of the resolved configuration and the data."""
    return Path("runs") / prepared.identity_hash()


def sibling(directory: Path) -> Path:
    """The first of `directory`, `directory-2`, `directory-3`, ... that does not exist or is empty."""
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
    """run.json, or None if the directory does not exist or is empty.

    Raises:
        RunError: if the directory holds something else.
    """
    if not _holds_something(directory):
        return None
    try:
        record = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{directory}: exists and is not a run directory (no readable run.json); "
            f"choose another with --out"
        ) from error
    return record


def claim(directory: Path, prepared: Prepared) -> dict[str, Any] | None:
    """Decides what a training command may do with a directory.

    Returns:
        The record of a finished run of the same identity, or None if training may start there.

    Raises:
        RunError: if another run, or an unfinished one, is there.
    """
    record = read_record(directory)
    if record is None:
        return None
    ours, theirs = prepared.identity(), record.get("identity", {})
    if not isinstance(theirs, dict) or not all(isinstance(theirs.get(part, {}), dict) for part in ours):
        raise RunError(f"{directory / 'run.json'}: damaged: not the record of a run; choose another --out")
    differences = _differences(theirs, ours)
    if differences:
        raise RunError(
            f"{directory}: holds another run ({'; '.join(differences)}); "
            f"choose another --out, or --fresh for a numbered sibling"
        )
    if record.get("status") != "finished":
        raise RunError(
            f"{directory}: holds a run of this configuration that did not finish "
            f"({record.get('status')}); --fresh trains again in a numbered sibling"
        )
    if not (directory / "model.safetensors").is_file():
        raise RunError(
            f"{directory}: this run is finished, but its model.safetensors is missing; "
            f"--fresh trains again in a numbered sibling"
        )
    return record


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for part in ours:
        old, new = theirs.get(part, {}), ours[part]
        changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        if part == "settings":
            found.extend(f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed)
        else:
            found.extend(f"{key.replace('_', ' ')} changed" for key in changed)
    return found[:5] + ([f"and {len(found) - 5} more"] if len(found) > 5 else [])


class RunDirectory:
    """A directory that this process trains into.

    Args:
        path: must not hold a run.
        prepared: what is trained.
    """

    def __init__(self, path: Path, prepared: Prepared) -> None:
        self.path = path
        self._created = not path.exists()
        files.make_directory(path)
        self._record: dict[str, Any] = {
            "status": "running",
            "custom_bert": __version__,
            "started": _now(),
            "argv": sys.argv,
            "identity": prepared.identity(),
            "config": configuration.to_flat(prepared.config),
            "choices": [asdict(choice) for choice in prepared.choices],
            "data": prepared.description(),
            "encoder": asdict(prepared.encoder),
            "machine": machine.description(prepared.device),
        }
        self.log = files.LineLog(path / "metrics.jsonl")
        write_description(
            path,
            prepared.encoder,
            prepared.tokenizer,
            prepared.dataset.labels,
            prepared.max_length,
            prepared.config.data.long_texts,
        )
        self.update("running")

    def update(self, status: Status, **results: Any) -> None:
        """Writes run.json with a new status and whatever is known by now; a finished run stays finished."""
        if self._record["status"] == "finished":  # Ctrl-C, say, while the result is printed
            return
        self._record |= {"status": status, **results}
        if status != "running":
            self._record["ended"] = _now()
        files.write_json(self.path / "run.json", self._record)

    def discard(self) -> None:
        """Removes what this run wrote, when nothing of it is of use; other files stay."""
        self.log.close()
        for name in ("metrics.jsonl", "config.json", "tokenizer.json", "labels.json", "run.json"):
            (self.path / name).unlink(missing_ok=True)
        if self._created and not any(self.path.iterdir()):
            self.path.rmdir()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
