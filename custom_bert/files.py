"""Every write of the product goes through this module, and every reading of a run's JSON.

A file is written under a temporary name in its own directory, flushed to the disk and renamed, so a
reader sees the old content or the new, never a torn one. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from custom_bert.errors import RunError, WriteError

CHUNK = 1 << 20


@contextmanager
def _as_write_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot write: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    """Makes a file's content, or a directory's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_run_json(directory: Path, name: str) -> Any:
    """The content of a JSON file of a run directory.

    Raises:
        RunError: if the directory or the file is missing, or the file is damaged.
    """
    path = directory / name
    if not directory.is_dir():
        raise RunError(f"{directory}: no such run directory")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{directory}: not a complete run directory: it holds no {name}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path}: not valid JSON: {error}") from error


def make_directory(path: Path) -> None:
    """Creates `path` and its parents; an existing directory is fine.

    Raises:
        WriteError: if the system refuses, or a file stands in the way.
    """
    with _as_write_error(path):
        path.mkdir(parents=True, exist_ok=True)


def check_writable(path: Path) -> None:
    """Finds out early whether `path` could be made or written into; changes nothing.

    Raises:
        WriteError: if not.
    """
    with _as_write_error(path):
        existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not existing.is_dir():
            raise WriteError(f"{path}: cannot write: {existing} is not a directory")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: cannot write: no permission in {existing}")


@contextmanager
def replacing(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Makes an empty temporary file for somebody else to fill; on a clean exit it becomes `path`.

    Args:
        path: the final name. Its directory must exist.
        replace: whether an existing file may be replaced. Without it an existing file is an error.

    Raises:
        WriteError: if the system refuses, or if the file exists and `replace` is false.
    """
    with _as_write_error(path):
        if not replace and path.exists():
            raise WriteError(f"{path}: exists already and is not overwritten")
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(descriptor)
        try:
            yield Path(name)
            _sync(Path(name))
            os.chmod(name, 0o666 & ~_umask())
            if replace:
                os.replace(name, path)
            else:
                os.link(name, path)  # fails if somebody made the file meanwhile
                os.unlink(name)
            _sync(path.parent)
        except BaseException:
            if os.path.exists(name):
                os.unlink(name)
            raise


@contextmanager
def writing(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file for writing bytes; on a clean exit it becomes `path`. See `replacing`."""
    with replacing(path, replace=replace) as temporary, open(temporary, "wb") as stream:
        yield stream


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Writes `content` to `path`, atomically and durably. See `writing`."""
    with writing(path, replace=replace) as stream:
        stream.write(content)


def write_text(path: Path, content: str, *, replace: bool = True) -> None:
    """Writes `content` as UTF-8 with the line ends that it has. See `writing`."""
    write_bytes(path, content.encode("utf-8"), replace=replace)


def write_json(path: Path, value: Any, *, replace: bool = True) -> None:
    """Writes `value` as indented JSON (non-ASCII characters as they are). See `writing`."""
    content = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, content + "\n", replace=replace)


class LineLog:
    """A file that grows by one JSON object a line; each line is handed to the system at once.

    Args:
        path: created, or emptied if it exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _as_write_error(path):
            self._stream = open(path, "w", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Appends one object.

        Raises:
            WriteError: if the system refuses.
        """
        with _as_write_error(self.path):
            self._stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Flushes to the disk and closes; a second call does nothing."""
        with _as_write_error(self.path):
            if not self._stream.closed:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._stream.close()


def rename_directory(source: Path, target: Path) -> None:
    """Renames a finished temporary directory to its final name and makes the rename durable.

    Raises:
        WriteError: if the system refuses; an empty or missing `target` is the only one allowed.
    """
    with _as_write_error(target):
        for file in source.iterdir():
            _sync(file)
        os.chmod(source, 0o777 & ~_umask())  # as mkdir would have it; a temporary directory is its owner's
        os.rename(source, target)
        _sync(target.parent)


def temporary_directory(parent: Path, prefix: str) -> Path:
    """A new empty directory in `parent`, for `rename_directory` to give its final name."""
    make_directory(parent)
    with _as_write_error(parent):
        return Path(tempfile.mkdtemp(prefix=f".{prefix}.", suffix=".tmp", dir=parent))


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
