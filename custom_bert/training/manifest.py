"""What makes a directory of files whole: a list of their names, sizes and hashes, written last.

    manifest.json   {"format": ..., "files": {NAME: {"sha256": ..., "size": ...}}}

torch and safetensors take a flipped bit of a weight without a word; here every bit counts, those of the list
itself too, which has exactly one spelling.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from custom_bert import files
from custom_bert.errors import RunError

NAME = "manifest.json"
FORMAT = "custom-bert-manifest/1"
LARGEST = 1 << 20
"""Bytes of a manifest that anybody would write."""

Entries = Mapping[str, tuple[int, str]]
"""Size and sha256 of each file, by name."""


def write_manifest(directory: Path, entries: Entries) -> None:
    """Lists the files of a directory that has no name yet.

    Raises:
        WriteError: if the system refuses.
    """
    with files.creating(directory / NAME) as sink:
        sink.write(_spelled(entries))


def verify(directory: Path) -> Entries:
    """Compares a directory with its manifest, and returns that.

    Raises:
        RunError: if a bit differs, or a file is missing, is there too many (hidden ones do not count), or is
            no regular file.
    """
    path = directory / NAME
    try:
        written = files.read_regular(path, LARGEST)
        entries = _parsed(written)
        if entries is None or _spelled(entries) != written:
            raise RunError(f"{path}: damaged")
        # systems leave hidden files of their own where somebody looked
        names = {entry.name for entry in os.scandir(directory) if not entry.name.startswith(".")}
        for name in sorted(names ^ {NAME, *entries}):
            what = "is not part of it" if name in names else "is missing"
            raise RunError(f"{directory}: damaged: {name} {what}")
        for name, (size, digest) in entries.items():
            with files.open_regular(directory / name) as stream:
                found = os.fstat(stream.fileno()).st_size
                if found != size or files.sha256_of(stream) != digest:
                    raise RunError(f"{directory / name}: damaged: its content is not what was written")
        return entries
    except OSError as error:
        raise RunError(f"{error.filename or path}: cannot read: {error.strerror}") from error


def _spelled(entries: Entries) -> bytes:
    listed = {name: {"sha256": digest, "size": size} for name, (size, digest) in sorted(entries.items())}
    return json.dumps({"files": listed, "format": FORMAT}, sort_keys=True, indent=1).encode() + b"\n"


def _parsed(content: bytes) -> dict[str, tuple[int, str]] | None:
    """None for what no manifest looks like."""
    try:
        value = files.parse_json(content)
        listed = value["files"]
        entries = {name: (one["size"], one["sha256"]) for name, one in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    plain = all(
        Path(name).name == name and type(size) is int and isinstance(digest, str)
        for name, (size, digest) in entries.items()
    )
    return entries if plain else None
