"""Careful reading of files that somebody else may have made: regular files, size limits, strict JSON."""

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
"""The number of bytes that are read at a time."""

LARGEST_JSON = 1 << 26
"""The largest size in bytes of a JSON file that describes a model or a run."""


def read_run_json(directory: Path, name: str, limit: int = LARGEST_JSON) -> Any:
    """Reads a JSON file of a run directory, which has to be a regular file of at most `limit` bytes.

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
    """Parses strict JSON: UTF-8, no key twice in an object, no NaN or infinity, no excessive nesting.

    Raises:
        ValueError: with a message that names the fault.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict. Python's own parser keeps the last of several equal keys without a word."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {key[:40]!r} stands there twice")
        content[key] = value
    return content


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def read_regular(path: Path, limit: int = LARGEST_JSON) -> bytes:
    """Reads a regular file that is not a link.

    Raises:
        OSError: if it is a link or not a regular file, or holds more than `limit` bytes.
    """
    with open_regular(path) as stream:
        return _at_most(stream, limit)


def read_at_most(path: Path, limit: int) -> bytes:
    """Reads a regular file, and follows the path if it is a link.

    Raises:
        OSError: if it is not a regular file, or holds more than `limit` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as stream:
        _check_regular(descriptor, path)
        return _at_most(stream, limit)


def read_once(path: Path, limit: int) -> bytes:
    """Reads a file of any kind, and opens it only once, because a pipe can be read only once.

    Raises:
        OSError: if it cannot be read, or holds more than `limit` bytes.
        ValueError: if the path holds a null byte.
    """
    content = bytearray()
    with open(path, "rb") as stream:
        while len(content) <= limit and (chunk := stream.read(CHUNK)):  # a device may never end
            content += chunk
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return bytes(content)


def is_json(path: Path, content: bytes) -> bool:
    """Whether a file holds JSON: by its name's ending or, since a pipe's name has none, by its first byte."""
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
    """Opens a regular file that is not a link.

    O_NONBLOCK keeps the call from waiting for a writer if the path is a pipe.

    Raises:
        OSError: if there is no such file, or it is a link or not a regular file.
    """
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            message = f"{link_to(path)}, not a regular file; {copy_of(path.parent)}"
            raise OSError(errno.ELOOP, message, str(path)) from None
        raise
    try:
        _check_regular(descriptor, path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def copy_of(directory: Path) -> str:
    """For messages: the command that copies a directory without links, since links are not followed."""
    return f"cp -rL {directory} COPY makes a copy without links"


def link_to(path: Path) -> str:
    """For messages, on one line: where a link leads."""
    try:
        target = os.readlink(path)
    except OSError:
        return "a link"
    return f"a link to {target if target.isprintable() and len(target) <= 200 else shown(target)}"


def sha256_of(stream: BinaryIO) -> str:
    """The SHA-256 of the rest of a stream, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
