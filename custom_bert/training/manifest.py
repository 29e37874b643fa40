"""A manifest lists the names, sizes and hashes of the files in a directory. It is written last, so that a
directory with a manifest is whole.

    manifest.json   {"format": ..., "files": {NAME: {"sha256": ..., "size": ...}}}

torch and safetensors do not notice a flipped bit in a weight. Here every bit is verified, also those of the
manifest itself, which has exactly one spelling.
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
"""The most bytes that are read of a manifest; ours have less than a thousand."""

Entries = Mapping[str, tuple[int, str]]
"""The size and sha256 of each file, by name."""


def write_manifest(directory: Path, entries: Entries) -> None:
    """Writes the manifest of a directory that is being made; see `files.new_directory`.

    Raises:
        WriteError: if the system refuses to write.
    """
    with files.creating(directory / NAME) as sink:
        sink.write(_spelled(entries))


def verify(directory: Path) -> Entries:
    """Compares a directory with its manifest, and returns the entries of that.

    Raises:
        RunError: if a bit differs, a file is missing, there is a file that is not listed (hidden ones do not
            count), or one is no regular file.
    """
    path = directory / NAME
    try:
        written = files.read_regular(path, LARGEST)
        entries = _parsed(written)
        if entries is None or _spelled(entries) != written:
            raise RunError(f"{path}: damaged")
        # file managers leave hidden files of their own in folders that somebody opened
        names = {entry.name for entry in os.scandir(directory) if not entry.name.startswith(".")}
        for name in sorted(names ^ {NAME, *entries}):
            what = "is not part of it" if name in names else "is missing"
            raise RunError(f"{directory}: damaged: {name} {what}")
        for name, (size, digest) in entries.items():
            with files.open_regular(directory / name) as stream:
                true_size = os.fstat(stream.fileno()).st_size
                if true_size != size or files.sha256_of(stream) != digest:
                    raise RunError(f"{directory / name}: damaged: its content is not what was written")
        return entries
    except OSError as error:
        raise RunError(f"{error.filename or path}: cannot read: {error.strerror}") from error


def _spelled(entries: Entries) -> bytes:
    """Returns the one content that a manifest of these entries has."""
    listed = {name: {"sha256": digest, "size": size} for name, (size, digest) in sorted(entries.items())}
    return json.dumps({"files": listed, "format": FORMAT}, sort_keys=True, indent=1).encode() + b"\n"


def _parsed(content: bytes) -> dict[str, tuple[int, str]] | None:
    """Returns the entries of a manifest's content; None if it is not a manifest."""
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
