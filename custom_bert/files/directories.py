"""Directories: made, named, and removed together with what is in them.

A directory of several files gets its name last, when all of them are complete, and loses it first. What
interrupted writes leave are temporary names: a run removes those in its directory when it starts, the cache
those of the day before.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from custom_bert.errors import WriteError
from custom_bert.files import system
from custom_bert.files.system import LITTER, as_write_error, sync_directory, temporary_name


def make_directory(path: Path) -> None:
    """Creates `path` and its parents, durably; an existing directory is fine.

    Raises:
        WriteError: if the system refuses, or a file stands in the way.
    """
    with as_write_error(path):
        missing = [p for p in (path, *path.absolute().parents) if not p.exists()]
        for directory in reversed(missing):
            with suppress(FileExistsError):  # made by another process meanwhile
                system.current.mkdir(directory)
                sync_directory(directory.absolute().parent)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def is_private(path: Path) -> bool:
    """Whether a directory is there, is no link, belongs to this user, and nobody else may write into it."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def make_private_directory(path: Path) -> Path:
    """A directory for this user alone, inside one that every user may write into, such as /tmp.

    Returns:
        `path`, made if nothing was there. If somebody else has taken that name, a fresh one beside it.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(path):
        with suppress(FileExistsError):
            system.current.mkdir(path, 0o700)
        if is_private(path):
            return path
        fresh = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
        system.current.mkdir(fresh, 0o700)
        return fresh


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """A directory under a temporary name beside `target`; on a clean exit it gets its name.

    Files are to be made in it by `creating`.

    Raises:
        WriteError: if the system refuses; an empty or missing `target` is the only one allowed.
    """
    target = target.absolute()
    make_directory(target.parent)
    temporary = temporary_name(target)
    try:
        with as_write_error(target):
            system.current.mkdir(temporary)
        yield temporary
        rename_directory(temporary, target)
    except BaseException:
        with suppress(WriteError):
            remove_directory(temporary)
        raise


def rename_directory(path: Path, target: Path) -> None:
    """Gives a complete directory its name, durably.

    Raises:
        WriteError: if the system refuses; an empty or missing `target` is the only one allowed.
    """
    with as_write_error(target):
        sync_directory(path)
        system.current.rename(path, target)
        sync_directory(target.parent)


def remove_directory(path: Path) -> None:
    """Removes a directory and what is in it; one that is not there is fine. Links are removed, not followed.

    It loses its name first, so that nobody finds half of it.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(path):
        if not path.is_dir() or path.is_symlink():
            return
        if not LITTER.fullmatch(path.name):
            temporary = temporary_name(path)
            system.current.rename(path, temporary)
            path = temporary
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                remove_directory(Path(entry.path))
            else:
                system.current.unlink(Path(entry.path))
        system.current.rmdir(path)


def remove_if_empty(path: Path) -> None:
    """Removes a directory that holds nothing; another one stays.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(path):
        if path.is_dir() and not any(path.iterdir()):
            system.current.rmdir(path)


def remove_file(path: Path) -> None:
    """Removes a file; one that is not there is fine.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(path), suppress(FileNotFoundError):
        system.current.unlink(path)


def remove_litter(directory: Path, *, older_than: float = 0.0) -> None:
    """Removes what interrupted writes left in a directory.

    Args:
        directory: nobody else writes into it, or `older_than` is more than a write takes.
        older_than: seconds since the last change.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(directory):
        for entry in list(os.scandir(directory)):
            if not LITTER.fullmatch(entry.name):
                continue
            with suppress(FileNotFoundError):  # whoever wrote it has just completed or removed it
                if time.time() - entry.stat(follow_symlinks=False).st_mtime < older_than:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    remove_directory(Path(entry.path))
                else:
                    remove_file(Path(entry.path))


def check_writable(path: Path) -> None:
    """Finds out early whether `path` could be made or written into; changes nothing.

    Raises:
        WriteError: if not.
    """
    with as_write_error(path):
        existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not existing.is_dir():
            raise WriteError(f"{path}: cannot write: {existing} is not a directory")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: cannot write: no permission in {existing}")
