"""Every write of the product goes through this module, and every reading of a run's JSON.

A file is written under a temporary name in its own directory, flushed to the disk and renamed, so a reader
sees the old content or the new, never a torn one; a directory of several files gets its name last. What may
remain after a power cut is a temporary name: a run removes those in its directory when it starts, the cache
those of the day before. Standard library only.
"""

from __future__ import annotations

import codecs
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from custom_bert.errors import RunError, WriteError, shown, system_reason
from custom_bert.terminal import say

CHUNK = 1 << 20

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What flock says where a file system has none."""

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


system = System()
"""What every write below goes through."""


@contextmanager
def _as_write_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot write: {system_reason(error)}") from error


def _write_all(descriptor: int, rest: memoryview) -> None:
    while rest:
        rest = rest[system.write(descriptor, rest) :]


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
        _write_all(self._descriptor, content)

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
    with _as_write_error(path), _created(path) as sink:
        yield sink


@contextmanager
def _created(path: Path) -> Iterator[Sink]:
    descriptor = system.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        yield Sink(descriptor)
        system.fsync(descriptor)
    finally:
        system.close(descriptor)


@contextmanager
def writing(path: Path, *, replace: bool = True) -> Iterator[Sink]:
    """Writes a file that is there when it is complete, and not before.

    Args:
        path: the name. Its directory must exist.
        replace: whether an existing file may be replaced. Without it an existing file is an error.

    Raises:
        WriteError: if the system refuses, or if the file exists and `replace` is false.
    """
    with _as_write_error(path):
        if not replace and path.exists():
            raise WriteError(f"{path}: exists already and is not overwritten")
        temporary = _temporary(path)
        try:
            with _created(temporary) as sink:
                yield sink
            if replace:
                system.replace(temporary, path)
            else:
                _name(temporary, path)
            _sync_directory(path.parent)
        except BaseException:
            with suppress(OSError):
                system.unlink(temporary)
            raise


def _name(temporary: Path, path: Path) -> None:
    """Gives a complete file its name, if nobody made one of that name meanwhile."""
    try:
        system.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        with _created(path) as sink:  # where the file system has no links
            copy_into(temporary, sink)
    system.unlink(temporary)


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


class LineLog:
    """A file that grows by one JSON object a line; each line is handed to the system at once.

    Args:
        path: created, or cut to `keep` bytes if it exists.
        keep: what stays of it.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self.path = path
        self._descriptor = -1
        with _as_write_error(path):
            descriptor = system.open(path, os.O_WRONLY | os.O_CREAT)
            try:
                self.size = min(keep, os.fstat(descriptor).st_size)
                system.truncate(descriptor, self.size)
                os.lseek(descriptor, self.size, os.SEEK_SET)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor

    def write(self, record: dict[str, Any]) -> None:
        """Appends one object.

        Raises:
            WriteError: if the system refuses.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with _as_write_error(self.path):
            _write_all(self._descriptor, memoryview(line))
        self.size += len(line)

    def sync(self) -> None:
        """Makes the lines so far durable."""
        with _as_write_error(self.path):
            system.fsync(self._descriptor)

    def close(self) -> None:
        """Flushes to the disk and closes; a second call does nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with _as_write_error(self.path):
                try:
                    system.fsync(descriptor)
                finally:
                    system.close(descriptor)


def make_directory(path: Path) -> None:
    """Creates `path` and its parents, durably; an existing directory is fine.

    Raises:
        WriteError: if the system refuses, or a file stands in the way.
    """
    with _as_write_error(path):
        missing = [p for p in (path, *path.absolute().parents) if not p.exists()]
        for directory in reversed(missing):
            with suppress(FileExistsError):  # made by another process meanwhile
                system.mkdir(directory)
                _sync_directory(directory.absolute().parent)
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
    with _as_write_error(path):
        with suppress(FileExistsError):
            system.mkdir(path, 0o700)
        if is_private(path):
            return path
        fresh = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
        system.mkdir(fresh, 0o700)
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
    temporary = _temporary(target)
    try:
        with _as_write_error(target):
            system.mkdir(temporary)
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
    with _as_write_error(target):
        _sync_directory(path)
        system.rename(path, target)
        _sync_directory(target.parent)


def remove_directory(path: Path) -> None:
    """Removes a directory and what is in it; one that is not there is fine. Links are removed, not followed.

    It loses its name first, so that nobody finds half of it.

    Raises:
        WriteError: if the system refuses.
    """
    with _as_write_error(path):
        if not path.is_dir() or path.is_symlink():
            return
        if not LITTER.fullmatch(path.name):
            temporary = _temporary(path)
            system.rename(path, temporary)
            path = temporary
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                remove_directory(Path(entry.path))
            else:
                system.unlink(Path(entry.path))
        system.rmdir(path)


def remove_if_empty(path: Path) -> None:
    """Removes a directory that holds nothing; another one stays.

    Raises:
        WriteError: if the system refuses.
    """
    with _as_write_error(path):
        if path.is_dir() and not any(path.iterdir()):
            system.rmdir(path)


def remove_file(path: Path) -> None:
    """Removes a file; one that is not there is fine.

    Raises:
        WriteError: if the system refuses.
    """
    with _as_write_error(path), suppress(FileNotFoundError):
        system.unlink(path)


def remove_litter(directory: Path, *, older_than: float = 0.0) -> None:
    """Removes what interrupted writes left in a directory.

    Args:
        directory: nobody else writes into it, or `older_than` is more than a write takes.
        older_than: seconds since the last change.

    Raises:
        WriteError: if the system refuses.
    """
    with _as_write_error(directory):
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
    with _as_write_error(path):
        existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
        if not existing.is_dir():
            raise WriteError(f"{path}: cannot write: {existing} is not a directory")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: cannot write: no permission in {existing}")


@contextmanager
def locked(
    directory: Path,
    occupation: str = "trains into it; wait for it, or choose another --out",
    *,
    warn: Callable[[str], None] = say,
) -> Iterator[None]:
    """Holds a directory for this process; the system lets go of it when the process ends, however it ends.

    Args:
        directory: that exists.
        occupation: what another process that holds it does, and the way out, for the message.
        warn: told where the file system has no locks, as some of clusters have none: then nothing is held.

    Raises:
        RunError: if another process holds it.
    """
    with _as_write_error(directory):
        descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(descriptor), os.stat(directory))
        except (BlockingIOError, FileNotFoundError):  # or removed by one that had held it
            held = False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise RunError(f"{directory}: cannot be locked: {error.strerror}") from error
            warn(f"{directory}: this file system has no locks: see to it that no other process uses it")
            held = True
        if not held:
            raise RunError(f"{directory}: another process {occupation}")
        yield
    finally:
        os.close(descriptor)


LARGEST_JSON = 1 << 26
"""Bytes of a JSON file that describes something."""


def read_run_json(directory: Path, name: str, limit: int = LARGEST_JSON) -> Any:
    """The content of a JSON file of a run directory: a regular file, no link, of at most `limit` bytes.

    Raises:
        RunError: if the directory or the file is missing, or the file is damaged.
    """
    path = directory / name
    if not directory.is_dir():
        raise RunError(f"{directory}: no such run directory")
    try:
        return parse_json(read_regular(path, limit))
    except FileNotFoundError as error:
        raise RunError(f"{directory}: not a complete run directory: it holds no {name}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path}: not valid JSON: {error}") from error


def parse_json(content: bytes) -> Any:
    """Strict JSON: UTF-8, no name twice in an object, no NaN, no endless nesting.

    Raises:
        ValueError: saying what is wrong.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} stands there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def read_regular(path: Path, limit: int = LARGEST_JSON) -> bytes:
    """The bytes of a regular file that is no link.

    Raises:
        OSError: if it is something else, or larger.
    """
    with open_regular(path) as stream:
        return _at_most(stream, limit)


def read_at_most(path: Path, limit: int) -> bytes:
    """The bytes of a file, through a link if it is one.

    Raises:
        OSError: if it is no regular file, or larger.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as stream:
        _check_regular(descriptor, path)
        return _at_most(stream, limit)


def read_once(path: Path, limit: int) -> bytes:
    """All that a file of any kind holds, which is opened a single time: a pipe has no second.

    Raises:
        OSError: if it cannot be read, or holds more than `limit` bytes.
        ValueError: if the path cannot be one.
    """
    content = bytearray()
    with open(path, "rb") as stream:
        while len(content) <= limit and (chunk := stream.read(CHUNK)):  # a device may never end
            content += chunk
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return bytes(content)


def is_json(path: Path, content: bytes) -> bool:
    """Whether a file holds JSON: by its name's ending, or, as a pipe's name has none, by how it begins."""
    if path.suffix:
        return path.suffix == ".json"
    return content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


def _at_most(stream: BinaryIO, limit: int) -> bytes:
    if os.fstat(stream.fileno()).st_size > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes")
    return stream.read()


def _check_regular(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file that is no link for reading.

    Raises:
        OSError: if there is none, or it is something else.
    """
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            told = f"{link_to(path)}, not a regular file; {copy_of(path.parent)}"
            raise OSError(errno.ELOOP, told, str(path)) from None
        raise
    try:
        _check_regular(descriptor, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def copy_of(directory: Path) -> str:
    """The way out where links are not followed, for messages."""
    return f"cp -rL {directory} COPY makes a copy without links"


def link_to(path: Path) -> str:
    """What a link is, for messages, on one line."""
    try:
        target = os.readlink(path)
    except OSError:
        return "a link"
    return f"a link to {target if target.isprintable() and len(target) <= 200 else shown(target)}"


def sha256_of(stream: BinaryIO) -> str:
    """The sha256 of what is left of a stream, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _sync_directory(path: Path) -> None:
    descriptor = system.open(path, os.O_RDONLY)
    try:
        system.fsync(descriptor)
    finally:
        system.close(descriptor)
