"""Making, naming and removing directories.

A directory of several files gets its name when all of the files are complete, and loses it before the first
of them is removed. An interrupted write leaves only files and directories with temporary names. A run removes
those in its own directory when it starts; the cache removes those that are older than a day.
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
    """Creates `path` and its parents, durably. A directory that exists already is no error.

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
    """Whether this is a directory and no link, belongs to this user, and only this user may write into it."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def make_private_directory(path: Path) -> Path:
    """Makes a directory for this user alone, inside one that every user may write into, such as /tmp.

    Returns:
        `path` if it could be made or is private already. If somebody else has taken that name, the path of a
        new directory beside it with a random name.

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
    """Makes a directory with a temporary name beside `target`, and renames it to `target` on a clean exit.

    After an exception it is removed. Its files are written with `creating`.

    Raises:
        WriteError: if the system refuses, or if `target` exists and is not empty.
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
        WriteError: if the system refuses, or if `target` exists and is not empty.
    """
    with as_write_error(target):
        # the names of the files reach the disk before the directory's own name does
        sync_directory(path)
        system.current.rename(path, target)
        sync_directory(target.parent)


def remove_directory(path: Path) -> None:
    """Removes a directory with its content. Links are removed and not followed.

    The directory gets a temporary name first, so that nobody finds half of it under its own name. If there
    is no such directory, nothing happens.

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
    """Removes a directory if it is empty.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(path):
        if path.is_dir() and not any(path.iterdir()):
            system.current.rmdir(path)


def remove_file(path: Path) -> None:
    """Removes a file. If there is no such file, nothing happens.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(path), suppress(FileNotFoundError):
        system.current.unlink(path)


def remove_litter(directory: Path, *, older_than: float = 0.0) -> None:
    """Removes the temporary files and directories that interrupted writes left in a directory.

    Args:
        directory: where they are. If another process may be writing there, `older_than` has to be longer
            than a write takes.
        older_than: only what was last changed this many seconds ago is removed.

    Raises:
        WriteError: if the system refuses.
    """
    with as_write_error(directory):
        for entry in list(os.scandir(directory)):
            if not LITTER.fullmatch(entry.name):
                continue
            with suppress(FileNotFoundError):  # its writer has just renamed or removed it
                if time.time() - entry.stat(follow_symlinks=False).st_mtime < older_than:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    remove_directory(Path(entry.path))
                else:
                    remove_file(Path(entry.path))


def check_writable(path: Path) -> None:
    """Checks whether `path` can be made, or written into if it exists. Changes nothing.

    Raises:
        WriteError: if it cannot.
    """
    with as_write_error(path):
        existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not existing.is_dir():
            raise WriteError(f"{path}: cannot write: {existing} is not a directory")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: cannot write: no permission in {existing}")
