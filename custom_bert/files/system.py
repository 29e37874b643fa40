"""The system's calls that change a disk, and helpers that all writes of this package share."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custom_bert.errors import WriteError, system_reason

LITTER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Matches the temporary names of files and directories that are not complete yet."""


class System:
    """The system's calls that change a disk, one method each. Tests replace it with one that fails."""

    def open(self, path: Path, flags: int) -> int:
        """Opens a file and returns its descriptor. A new file gets the permissions that the umask leaves."""
        return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Writes bytes and returns how many were written, which may be fewer than were given."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cuts a file to `size` bytes."""
        os.ftruncate(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        """Flushes a file's content, or the names in a directory, to the disk."""
        full = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS, fsync alone does not flush the drive's cache
        if full is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, full)

    def close(self, descriptor: int) -> None:
        """Closes a descriptor."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Renames a file. A file at `target` is replaced."""
        os.replace(source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Renames a directory. `target` may be an empty directory, which is replaced."""
        os.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Gives a file a second name (a hard link). Fails if `target` exists."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Removes a file's name; the file goes with its last name."""
        os.unlink(path)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Makes a directory with the permissions that the umask leaves of `mode`."""
        os.mkdir(path, mode)

    def rmdir(self, path: Path) -> None:
        """Removes an empty directory."""
        os.rmdir(path)


current = System()
"""Every write of this package goes through this object. Tests put another one in its place."""


@contextmanager
def as_write_error(path: Path) -> Iterator[None]:
    """Turns an error of the system into one line for the user that names `path`."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot write: {system_reason(error)}") from error


def write_all(descriptor: int, rest: memoryview) -> None:
    """Writes all bytes. The system may take only some of them at a time."""
    while rest:
        rest = rest[current.write(descriptor, rest) :]


def temporary_name(path: Path) -> Path:
    """A name in the same directory for a file that is renamed to `path` when it is complete. See `LITTER`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def sync_directory(path: Path) -> None:
    """Flushes the names in a directory to the disk, so that a rename outlives a power cut."""
    descriptor = current.open(path, os.O_RDONLY)
    try:
        current.fsync(descriptor)
    finally:
        current.close(descriptor)
