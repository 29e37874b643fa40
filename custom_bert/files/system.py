"""The system's calls that change a disk, and what all writes of this package have in common."""

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
"""Names of what is not complete yet."""


class System:
    """The system's calls that change a disk, one each, so that a test can stand between."""

    def open(self, path: Path, flags: int) -> int:
        """A descriptor; new files have the permissions that the umask leaves."""
        return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Bytes written, maybe fewer than there are."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cuts a file."""
        os.ftruncate(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        """Makes a file's content, or a directory's names, durable."""
        full = getattr(fcntl, "F_FULLFSYNC", None)  # on macOS fsync leaves the drive's cache
        if full is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, full)

    def close(self, descriptor: int) -> None:
        """Closes a descriptor."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Renames; a file at `target` is replaced."""
        os.replace(source, target)

    def rename(self, source: Path, target: Path) -> None:
        """Renames a directory; only an empty one at `target` is replaced."""
        os.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Another name of the same file; fails if `target` exists."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Removes a name."""
        os.unlink(path)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Makes a directory with the permissions that the umask leaves of `mode`."""
        os.mkdir(path, mode)

    def rmdir(self, path: Path) -> None:
        """Removes an empty directory."""
        os.rmdir(path)


current = System()
"""What every write of this package goes through; a test puts another one in its place."""


@contextmanager
def as_write_error(path: Path) -> Iterator[None]:
    """Turns a refusal of the system's into one line for the user, which names `path`."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot write: {system_reason(error)}") from error


def write_all(descriptor: int, rest: memoryview) -> None:
    """Writes all bytes; the system may take a few at a time."""
    while rest:
        rest = rest[current.write(descriptor, rest) :]


def temporary_name(path: Path) -> Path:
    """A name beside `path` for what becomes it when it is complete. `LITTER` knows such names."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = current.open(path, os.O_RDONLY)
    try:
        current.fsync(descriptor)
    finally:
        current.close(descriptor)
