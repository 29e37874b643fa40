"""Writing files so that each appears when it is complete, and not before.

A file is written under a temporary name in its own directory, flushed to the disk and renamed. A reader
therefore sees the old content or the new content, and never a part. After a power cut, a file with a
temporary name may remain.
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
    """A new file that is being written.

    Attributes:
        size: the number of bytes written so far.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._digest, self.size = descriptor, hashlib.sha256(), 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Appends all of the bytes."""
        content = memoryview(data).cast("B")
        self._digest.update(content)
        self.size += len(content)
        write_all(self._descriptor, content)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes written so far, in hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def creating(path: Path) -> Iterator[Sink]:
    """Writes a new file under its own name, for directories that `new_directory` has not named yet.

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
    """Writes a file that gets its name on a clean exit. After an exception nothing remains of it.

    Args:
        path: the file's name. Its directory must exist.
        replace: whether an existing file may be replaced. If not, an existing file is an error.

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
    """Gives a complete file its name. Fails if a file of that name has appeared meanwhile."""
    _name_too(temporary, path)
    system.current.unlink(temporary)


def _name_too(source: Path, path: Path) -> None:
    # a rename would replace a file of that name without a word; a link fails instead
    try:
        system.current.link(source, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        with _created(path) as sink:  # this file system has no hard links
            copy_into(source, sink)


def name_too(source: Path, path: Path) -> None:
    """Gives a complete and durable file a second name on the same file system, durably.

    Raises:
        WriteError: if the system refuses, or a file has that name.
    """
    with as_write_error(path):
        try:
            _name_too(source, path)
        except FileExistsError:
            raise WriteError(f"{path}: exists already and is not overwritten") from None
        sync_directory(path.parent)


def write_bytes(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Writes `content` to `path`, atomically and durably. See `writing`."""
    with writing(path, replace=replace) as sink:
        sink.write(content)


def write_text(path: Path, content: str, *, replace: bool = True) -> None:
    r"""Writes `content` as UTF-8, with its line ends unchanged. See `writing`.

    Python holds a byte of a file name that is not UTF-8 as a surrogate. It is written as `\udcxx`, which JSON
    reads as the same surrogate again.
    """
    write_bytes(path, content.encode("utf-8", "backslashreplace"), replace=replace)


def write_json(path: Path, value: Any, *, replace: bool = True) -> None:
    """Writes `value` as indented JSON, without escaping non-ASCII characters. See `writing`."""
    content = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, content + "\n", replace=replace)


def copy_into(source: Path, sink: Sink) -> None:
    """Appends the bytes of a regular file to `sink`, in parts that fit into memory."""
    with open_regular(source) as stream:
        while chunk := stream.read(CHUNK):
            sink.write(chunk)
