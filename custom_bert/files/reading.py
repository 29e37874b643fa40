"""Files that somebody else may have made: read as regular files, up to a bound, and as strict JSON."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from custom_bert.errors import RunError, shown

CHUNK = 1 << 20
"""Bytes that are read at a time."""

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
