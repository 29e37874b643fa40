"""Reads the files of a published checkpoint: JSON and safetensors, directly inside its directory."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.files import LARGEST_JSON, parse_json
from custom_bert.model_files.tensor_files import parse_tensors

LARGEST_WEIGHTS = 1 << 40
"""The most bytes that a file of weights may have."""

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def read(directory: Path, name: str, limit: int = LARGEST_JSON) -> bytes:
    """Returns the bytes of a regular file directly inside the directory.

    The file may be a link to another file there, or to a blob of the hub's cache, whose snapshots are links.

    Raises:
        RunError: if there is no such file, it has more than `limit` bytes, or it leads out of the directory.
    """
    path = directory / name
    if Path(name).name != name or name in (".", ".."):
        raise RunError(f"{directory}: the file name {name!r} leaves the directory")
    try:
        if not path.is_file():
            missing = f"{files.link_to(path)}, which is not there" if path.is_symlink() else "no such file"
            raise RunError(f"{path}: {missing}")
        if path.is_symlink() and not _is_kept_for(directory.resolve(), path.resolve()):
            raise RunError(
                f"{path}: {files.link_to(path)}, which leads out of the directory and is not followed; "
                f"{files.copy_of(directory)}"
            )
        return files.read_at_most(path, limit)
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error


def _is_kept_for(folder: Path, real: Path) -> bool:
    """Whether a file is inside a directory, or is a blob that the hub's cache keeps for a snapshot.

    Blobs are in a folder of the repository or, since huggingface_hub 2, in one folder for all repositories,
    where they are divided by their first two digits.
    """
    if real.parent == folder:
        return True
    snapshot = folder if folder.parent.name == "snapshots" else folder.parent  # or a folder inside of it
    if snapshot.parent.name != "snapshots":
        return False
    repository = snapshot.parent.parent
    return real.parent == repository / "blobs" or real.parent.parent == repository.parent / "blobs"


def read_json(directory: Path, name: str) -> dict[str, Any]:
    """Returns the object that a JSON file holds.

    Raises:
        RunError: if it cannot be read, is not valid JSON, or holds no object.
    """
    try:
        value = parse_json(read(directory, name))
    except ValueError as error:
        raise RunError(f"{directory / name}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{directory / name}: expected an object")
    return value


def read_weights(directory: Path) -> tuple[dict[str, Tensor], str]:
    """Returns all tensors of the directory's safetensors files, and the sha256 of the files' bytes in order.

    Raises:
        RunError: if there are no such files, one is damaged, or two of them hold the same tensor.
    """
    tensors: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for name in _weight_files(directory):
        content = read(directory, name, LARGEST_WEIGHTS)
        digest.update(content)
        part = parse_tensors(directory / name, content)
        twice = sorted(part.keys() & tensors.keys())
        if twice:
            raise RunError(f"{directory / name}: {twice[0]} stands in another shard too")
        tensors |= part
    return tensors, digest.hexdigest()


def _weight_files(directory: Path) -> list[str]:
    """Returns the names of the files that hold the weights."""
    if os.path.lexists(directory / WEIGHTS):  # also a broken link: `read` names it
        return [WEIGHTS]
    if not os.path.lexists(directory / INDEX):
        pickled = sorted(p.name for p in directory.glob("*.bin"))
        what = (
            f"{pickled[0]} is a pickle, which can run code; {CONVERT}" if pickled else f"expected {WEIGHTS}"
        )
        raise RunError(f"{directory}: no safetensors weights; {what}")
    shards = read_json(directory, INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise RunError(f"{directory / INDEX}: expected a weight_map of file names")
    return sorted(set(shards.values()))


CONVERT = "convert it with transformers: AutoModel.from_pretrained(DIR).save_pretrained(DIR)"
"""The advice for a checkpoint that is a pickle."""
