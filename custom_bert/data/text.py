"""Reading line-aligned text files: bytes are split on `\\n`, one `\\r` is stripped, UTF-8 is strict.

U+2028, U+0085, form feeds and the other characters that Python's `splitlines` would break at are ordinary
characters here. Files are streamed in blocks, so memory does not grow with their size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from custom_bert.errors import DataError

STANDARD_INPUT = "/dev/stdin"

BLOCK = 1 << 22
"""Bytes read at a time."""


class LineReader:
    """Streams a text file's lines in blocks and knows its hash once it has been read to the end.

    Args:
        path: the file, or `STANDARD_INPUT`, which is read once and may be empty.

    Raises:
        DataError: if the file is missing, empty or a directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.num_lines = 0
        self._digest = hashlib.sha256()
        if path == STANDARD_INPUT:
            return
        if self.path.is_dir():
            raise DataError(str(path), "is a directory, expected a text file")
        if not self.path.exists():
            raise DataError(str(path), "no such file")
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise DataError(str(path), "the file is empty; expected one example per line")

    @property
    def sha256(self) -> str:
        """Of the bytes read so far: the file's, after `blocks` has ended."""
        return self._digest.hexdigest()

    def blocks(self) -> Iterator[list[str]]:
        """Lists of consecutive lines.

        Raises:
            DataError: for bytes that are not UTF-8, NUL bytes, UTF-16, gzip, or lone CR line ends, with
                the line's number.
        """
        self.num_lines, self._digest = 0, hashlib.sha256()
        try:
            stream = open(0 if self.path == Path(STANDARD_INPUT) else self.path, "rb")
        except OSError as error:
            raise DataError(str(self.path), f"cannot read: {error.strerror}") from error
        with stream:
            for raw in self._whole_lines(stream):
                yield self._decode(raw)

    def _whole_lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """The file's bytes in pieces that end with `\\n` (the last may not)."""
        pending: list[bytes] = []
        first = True
        while chunk := stream.read(BLOCK):
            self._digest.update(chunk)
            if first:
                chunk, first = self._check_start(chunk), False
            end = chunk.rfind(b"\n") + 1
            if end == 0:
                pending.append(chunk)
                continue
            yield b"".join([*pending, chunk[:end]])
            pending = [chunk[end:]] if end < len(chunk) else []
        if pending:
            yield b"".join(pending)

    def _check_start(self, chunk: bytes) -> bytes:
        if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{self.path}:1", "UTF-16 text; save it as UTF-8")
        if chunk.startswith(b"\x1f\x8b"):
            raise DataError(f"{self.path}:1", "gzip data; unpack it first")
        if chunk.startswith(b"\xef\xbb\xbf"):
            return chunk[3:]  # a byte order mark is not part of the first text
        return chunk

    def _decode(self, raw: bytes) -> list[str]:
        if b"\0" in raw:
            line = self.num_lines + raw.count(b"\n", 0, raw.index(b"\0")) + 1
            even_odd = raw[1:200:2].count(0), raw[0:200:2].count(0)
            if line == 1 and max(even_odd) > 20:
                raise DataError(f"{self.path}:{line}", "UTF-16 text; save it as UTF-8")
            raise DataError(f"{self.path}:{line}", "NUL byte; the file is not plain text")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.num_lines + raw.count(b"\n", 0, error.start) + 1
            column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
            raise DataError(
                f"{self.path}:{line}",
                f"not valid UTF-8 at byte {column} (0x{raw[error.start]:02x}); save it as UTF-8",
            ) from error
        if text.endswith("\n"):
            text = text[:-1]
        lines = text.split("\n")
        if "\r" in text:
            if len(lines) == 1 and self.num_lines == 0 and text.count("\r") > 1:
                raise DataError(f"{self.path}:1", "lines end with CR alone; convert them to LF")
            lines = [line[:-1] if line.endswith("\r") else line for line in lines]
        self.num_lines += len(lines)
        return lines
