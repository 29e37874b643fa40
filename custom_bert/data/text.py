"""Reads text files whose lines belong to lines of other files, as texts and labels do.

Bytes are split at `\\n`, one `\\r` before it is removed, and UTF-8 is strict. U+2028, U+0085, form feeds and
the other characters at which Python's `splitlines` would break a line are ordinary characters here. A byte
order mark is not a part of the first line. Files are streamed in blocks, so memory does not grow with their
size.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from custom_bert.data.absent import missing_file_hint
from custom_bert.data.lines import NumberedLines
from custom_bert.data.packed import read_chunk, unpacked
from custom_bert.errors import DataError

STANDARD_INPUT = "/dev/stdin"

DESCRIPTOR_0 = (STANDARD_INPUT, "/dev/fd/0", "/proc/self/fd/0")
"""Names of standard input. It is read by its descriptor, because a socket cannot be opened by its name."""

ZSTANDARD = b"\x28\xb5\x2f\xfd"
"""The first bytes of a zstandard file."""

BLOCK = 1 << 22
"""The number of bytes that are read at a time."""


class LineReader(NumberedLines):
    """Streams the lines of a text file in blocks, and computes its hash on the way.

    Args:
        path: the file. Standard input, a pipe or a device is read once, as its lines come, and may be empty.
        unpack: whether to read the content of a .gz or .zst file.

    Attributes:
        once: whether the text can be read only once, because it is not a regular file.
        num_lines: the number of lines read so far.
        num_bytes: the number of bytes read so far from a regular file, packed if it is.

    Raises:
        DataError: if the file is missing, empty or a directory.
    """

    def __init__(self, path: str | Path, *, unpack: bool = False) -> None:
        self.path = Path(path)
        self.num_lines = self.num_bytes = 0
        self._unpack, self._begun = unpack, False
        self._digest = hashlib.sha256()
        self.once = self._is_input
        if self.once:
            return
        status = status_of(self.path)
        if status is None:
            raise DataError(str(self.path), f"no such file{missing_file_hint(self.path)}")
        if stat.S_ISDIR(status.st_mode):
            raise DataError(str(self.path), "is a directory; expected a text file")
        self.once = not stat.S_ISREG(status.st_mode)
        if not self.once and status.st_size == 0:
            raise self._empty()

    def check_repeatable(self) -> None:
        """Raises DataError if the text can be read only once. Callers that read it again check this first."""
        if self.once:
            raise DataError(
                str(self.path),
                "is read several times, which no pipe or device allows; write it to a regular file",
            )

    @property
    def _is_input(self) -> bool:
        return str(self.path) in DESCRIPTOR_0

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the bytes read so far, unpacked. After `blocks` has ended it is that of the
        file."""
        return self._digest.hexdigest()

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive lines.

        Args:
            sha256: the hash of the content when it was checked; None if it is read for the first time.

        Raises:
            DataError: for bytes that are not UTF-8, NUL bytes, UTF-16, packed data, or lines that end with CR
                alone, with the number of the line; after the last line, if the content has another hash; at
                the second call, if the text can be read only once.
        """
        if self._begun:
            self.check_repeatable()
        self._begun = True
        self.num_lines, self.num_bytes, self._digest = 0, 0, hashlib.sha256()
        try:
            stored = open(0 if self._is_input else self.path, "rb")
        except OSError as error:
            raise DataError(str(self.path), f"cannot read: {error.strerror}") from error
        with stored, unpacked(stored, self.path) if self._unpack else nullcontext(stored) as stream:
            for raw in self._whole_lines(stream):
                if not self.once:
                    self.num_bytes = stored.tell()
                yield self._decode(raw)
        if self.num_lines == 0 and not self.once and not self._unpack:
            raise self._empty()  # a byte order mark and nothing else
        if sha256 is not None and self.sha256 != sha256:
            raise DataError(str(self.path), "the file changed while it was read; start again")

    def _empty(self) -> DataError:
        return DataError(str(self.path), "the file is empty; expected one example a line")

    def _read(self, stream: BinaryIO) -> bytes:
        # from a pipe it takes what is there, so that a line does not wait for the ones after it
        as_it_comes = self.once and not self._unpack
        read = stream.read1 if as_it_comes else stream.read  # type: ignore[attr-defined]
        chunk = read_chunk(read, BLOCK, self.path)
        self._digest.update(chunk)
        return chunk

    def _whole_lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yields the file's bytes in chunks of whole lines, which end with `\\n` (the last may not)."""
        chunk = self._read(stream)
        while len(chunk) < 4 and b"\n" not in chunk and (more := self._read(stream)):
            chunk += more  # the longest signature of a format has 4 bytes
        self._check_start(chunk)
        pending: list[bytes] = []
        if chunk.startswith(b"\xef\xbb\xbf"):
            chunk = chunk[3:] or self._read(stream)
        while chunk:
            end = chunk.rfind(b"\n") + 1
            if end == 0:
                pending.append(chunk)
                if b"\0" in chunk:
                    break  # `_decode` will refuse it; without this, /dev/zero would be read for ever
            else:
                yield b"".join([*pending, chunk[:end]])
                pending = [chunk[end:]] if end < len(chunk) else []
            chunk = self._read(stream)
        if pending:
            yield b"".join(pending)

    def _check_start(self, chunk: bytes) -> None:
        """Raises DataError if the first bytes are those of another kind of file."""
        if name := wide_encoding(chunk):
            raise DataError(f"{self.path}:1", f"{name} text; save it as UTF-8")
        if chunk.startswith(b"\x1f\x8b"):
            raise DataError(f"{self.path}:1", "gzip data; unpack it first")
        if chunk.startswith(ZSTANDARD):
            raise DataError(f"{self.path}:1", "zstandard data; unpack it first")
        if chunk.startswith(b"PK\x03\x04"):
            raise DataError(f"{self.path}:1", "a zip archive or an office document; save it as UTF-8 text")

    def _decode(self, raw: bytes) -> list[str]:
        """Returns the lines of a chunk; raises DataError, with the line, for bytes that are not plain
        UTF-8."""
        if b"\0" in raw:
            if self.num_lines == 0 and looks_like_utf16(raw[:200]):
                raise DataError(f"{self.path}:1", "UTF-16 text; save it as UTF-8")
            line = self.num_lines + raw.count(b"\n", 0, raw.index(b"\0")) + 1
            raise DataError(
                f"{self.path}:{line}", "NUL byte; not plain text (if it is UTF-16, save it as UTF-8)"
            )
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.num_lines + raw.count(b"\n", 0, error.start) + 1
            column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
            raise DataError(
                f"{self.path}:{line}",
                f"not valid UTF-8 at byte {column} (0x{raw[error.start]:02x}); save it as UTF-8",
            ) from error
        if self.num_lines == 0 and "\n" not in text and text.count("\r") > 1:
            raise DataError(f"{self.path}:1", "lines end with CR alone; convert them to LF")
        lines = text.removesuffix("\n").split("\n")
        if "\r" in text:
            lines = [line[:-1] if line.endswith("\r") else line for line in lines]
        self.num_lines += len(lines)
        return lines


def status_of(path: Path) -> os.stat_result | None:
    """Returns the status of a file (`os.stat`); None if there is no such file.

    Raises:
        DataError: if the system refuses to say, or the path cannot be the name of a file.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(str(path), f"cannot read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise DataError(repr(str(path)), f"cannot be a file name: {error}") from error


def wide_encoding(start: bytes) -> str:
    """Returns the encoding, UTF-16 or UTF-32, whose byte order mark the first bytes of a file are, or ""."""
    if not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ""
    return "UTF-32" if start.startswith(b"\xff\xfe\0\0") else "UTF-16"


def looks_like_utf16(start: bytes) -> bool:
    """Returns whether many NULs are all at even or all at odd places, as in UTF-16 of Latin script."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    return max(even, odd) >= max(3, len(start) // 4) and min(even, odd) == 0


BLANK = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff\ud800]*"
)
"""White space, control characters, and characters that Unicode wants to be invisible, which have the property
Default_Ignorable_Code_Point. The last one stands between the texts of a pair (`text_pairs.BETWEEN`)."""


def is_blank(text: str) -> bool:
    """Returns whether a text has no visible character: it is empty, or has only white space and the like."""
    return not text or BLANK.fullmatch(text) is not None


def composed(text: str) -> str:
    """Returns a text in Unicode's composed form, NFC, so that an accented letter has only one spelling."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
