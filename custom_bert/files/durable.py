"""Files that are there when they are complete, and not before.

A file is written under a temporary name in its own directory, flushed to the disk and renamed, so a reader
sees the old content or the new, never a torn one. What may remain after a power cut is a temporary name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from custom_bert.errors import WriteError
from custom_bert.files import system
from custom_bert.files.reading import CHUNK, open_regular
from custom_bert.files.system import as_write_error, sync_directory, temporary_name, write_all


class Sink:
    """A new file while it is written.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._digest, self.size = descriptor, hashlib.sha256(), 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Appends bytes, all of them."""
        content = memoryview(data).cast("B")
        self._digest.update(content)
        self.size += len(content)
        write_all(self._descriptor, content)

    @property
    def sha256(self) -> str:
        """Of the bytes so far, in hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def creating(path: Path) -> Iterator[Sink]:
    """Writes a file that does not exist yet, under its own name: for files of a directory that has none yet.

    Raises:
        WriteError: if the system refuses, or if the file exists.
    """
    with as_write_error(path), _created(path) as sink:
        yield sink


@contextmanager
def _created(path: Path) -> Iterator[Sink]:
    descriptor = system.current.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        yield Sink(descriptor)
        system.current.fsync(descriptor)
    finally:
        system.current.close(descriptor)


@contextmanager
def writing(path: Path, *, replace: bool = True) -> Iterator[Sink]:
    """Writes a file that is there when it is complete, and not before.

    Args:
        path: the name. Its directory must exist.
        replace: whether an existing file may be replaced. Without it an existing file is an error.

    Raises:
        WriteError: if the system refuses, or if the file exists and `replace` is false.
    """
    with as_write_error(path):
        if not replace and path.exists():
            raise WriteError(f"{path}: exists already and is not overwritten")
        temporary = temporary_name(path)
        try:
            with _created(temporary) as sink:
                yield sink
            if replace:
                system.current.replace(temporary, path)
            else:
                _name(temporary, path)
            sync_directory(path.parent)
        except BaseException:
            with suppress(OSError):
                system.current.unlink(temporary)
            raise


def _name(temporary: Path, path: Path) -> None:
    """Gives a complete file its name, if nobody made one of that name meanwhile."""
    try:
        system.current.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        with _created(path) as sink:  # where the file system has no links
            copy_into(temporary, sink)
    system.current.unlink(temporary)


def write_bytes(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Writes `content` to `path`, atomically and durably. See `writing`."""
    with writing(path, replace=replace) as sink:
        sink.write(content)


def write_text(path: Path, content: str, *, replace: bool = True) -> None:
    r"""Writes `content` as UTF-8 with the line ends that it has. See `writing`.

    A byte of a file's name that is no UTF-8, which Python holds as a surrogate, becomes `\udcxx`: in JSON
    that is the same name when it is read.
    """
    write_bytes(path, content.encode("utf-8", "backslashreplace"), replace=replace)


def write_json(path: Path, value: Any, *, replace: bool = True) -> None:
    """Writes `value` as indented JSON (non-ASCII characters as they are). See `writing`."""
    content = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, content + "\n", replace=replace)


def copy_into(source: Path, sink: Sink) -> None:
    """Appends a file's bytes."""
    with open_regular(source) as stream:
        while chunk := stream.read(CHUNK):
            sink.write(chunk)
