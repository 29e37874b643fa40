"""Finds a checkpoint that a Python package carries. Its files are read, and nothing of it is imported.

Anybody can upload a package under any name. So its files are taken only if they have the known hashes.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from custom_bert.errors import system_reason
from custom_bert.files import open_regular, sha256_of
from custom_bert.model_files.catalogue import Checkpoint
from custom_bert.model_files.published_files import WEIGHTS


def packaged(checkpoint: Checkpoint, say: Callable[[str], None]) -> Path | None:
    """Returns the directory of a checkpoint that is installed as a package; None if there is none to use.

    Args:
        checkpoint: the checkpoint.
        say: is called with a line if the package is there and its files are not the known ones.
    """
    package = checkpoint.package
    if package is None or not checkpoint.sha256:
        return None
    try:
        folder = Path(str(metadata.distribution(package.name).locate_file(package.folder)))
    except (metadata.PackageNotFoundError, OSError):
        return None
    for name, wanted in {**package.sha256, WEIGHTS: checkpoint.sha256}.items():
        fault = difference(folder / name, wanted)
        if fault:
            say(f"package {package.name}: {fault}; it is not used")
            return None
    return folder


def difference(path: Path, wanted: str) -> str:
    """Returns what is wrong with a file that should have a hash, in a few words; empty if it has it.

    Args:
        path: the path of a regular file that is not a link.
        wanted: its SHA-256 hash in hexadecimal digits.
    """
    try:
        with open_regular(path) as stream:
            found = sha256_of(stream)
    except OSError as error:
        return f"{path}: cannot read: {system_reason(error)}"
    return "" if found == wanted else f"{path} has the SHA-256 hash {found}, not {wanted}"
