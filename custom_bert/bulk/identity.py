"""What may not change when a run goes on: the model, the options, the columns, the versions.

The input is not part of it. Each shard that is done has the hash of its rows, and these are compared when the
rows are read again. So a row late in a file may be mended, and what was done before it stays.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from custom_bert.errors import RunError

UNREAD = {"run.json", "metrics.jsonl", "report.html", "README.md"}
"""Files of a model's directory that no prediction depends on. A run that trains on has others, too."""

UNREAD_FOLDERS = {"checkpoints", "tensorboard"}


def model_digest(directory: str | Path) -> str:
    """Returns a hash of the files in a model's directory that predictions depend on.

    Raises:
        RunError: if there is no such directory, or a file cannot be read.
    """
    root = Path(directory)
    if not root.is_dir():
        raise RunError(f"{root}: no such run directory")
    digest = hashlib.sha256()
    try:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            hidden = any(part.startswith(".") for part in name.parts)
            if not path.is_file() or hidden or name.name in UNREAD or name.parts[0] in UNREAD_FOLDERS:
                continue
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{json.dumps(name.parts)} {content}\n".encode())
    except OSError as error:
        raise RunError(f"{error.filename or root}: cannot read: {error.strerror}") from error
    return digest.hexdigest()


def computed_by(device: str | None) -> dict[str, str]:
    """Returns what computes in this process, after a model was loaded: the device, and the library's version.

    torch has been imported by then if it computes. onnxruntime is not, before it computes.

    Args:
        device: cpu or cuda, as asked for; None if the library chooses.
    """
    if sys.modules.get("torch") is None:
        return {"device": device or "cpu", "onnxruntime": _version("onnxruntime")}
    from custom_bert.machine import choose_device

    return {"device": choose_device(device)[0].type, "torch": _version("torch")}


def _version(name: str) -> str:
    """Returns the version of a library; "unknown" if it was installed under another name."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


MODEL = "model"
"""The name under which the hash of the model is kept. No message shows it."""


def on_or_off(value: bool) -> str:
    """Returns how messages say that a switch was given or not."""
    return "on" if value else "off"


def check_same(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Checks that a run goes on with what it was begun with.

    Args:
        folder: the partial output, for the message.
        before: what it was begun with, by the names that messages have for it.
        now: the same of this process.

    Raises:
        RunError: for the first difference; it says how to begin anew.
    """
    for name, value in now.items():
        old = before.get(name, "nothing")
        if old == value:
            continue
        what = f"{name} {old}, and this command has {value}"
        if name == MODEL:
            what = "another model"
        raise RunError(
            f"{folder}: was begun with {what}; go on with the same, or remove {folder} to begin anew"
        )
