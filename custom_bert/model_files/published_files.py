"""The files of a published checkpoint's directory: regular files directly inside it, JSON and safetensors."""

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
"""Bytes of a file of weights."""

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def read(directory: Path, name: str, limit: int = LARGEST_JSON) -> bytes:
    """The bytes of a regular file directly inside the directory. A link may lead to another one there, or to
    a blob of the hub's cache, which keeps its files so.

    Raises:
        RunError: if there is none, or the name leads out of the directory.
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
    """Whether a file lies in a directory, or is one of the blobs that the hub's cache keeps for a snapshot:
    the repository's, or, since huggingface_hub 2, all repositories' in directories of two digits."""
    if real.parent == folder:
        return True
    if folder.parent.name != "snapshots":
        return False
    repository = folder.parent.parent
    return real.parent == repository / "blobs" or real.parent.parent == repository.parent / "blobs"


def read_json(directory: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        RunError: if it cannot be read, or holds something else.
    """
    try:
        value = parse_json(read(directory, name))
    except ValueError as error:
        raise RunError(f"{directory / name}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{directory / name}: expected an object")
    return value


def read_weights(directory: Path) -> tuple[dict[str, Tensor], str]:
    """Every tensor of the directory's safetensors files, and the sha256 of their bytes in order.

    Raises:
        RunError: if there are none, or one is damaged.
    """
    found: dict[str, Tensor] = {}
    digest = hashlib.sha256()
    for name in _weight_files(directory):
        content = read(directory, name, LARGEST_WEIGHTS)
        digest.update(content)
        part = parse_tensors(directory / name, content)
        twice = sorted(part.keys() & found.keys())
        if twice:
            raise RunError(f"{directory / name}: {twice[0]} stands in another shard too")
        found |= part
    return found, digest.hexdigest()


def _weight_files(directory: Path) -> list[str]:
    if os.path.lexists(directory / WEIGHTS):  # also a link that leads nowhere, to be told as such
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
"""The way out of a checkpoint that is a pickle."""
