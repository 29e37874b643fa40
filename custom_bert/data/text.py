"""Reading line-aligned text files: bytes are split on `\\n`, one `\\r` is stripped, UTF-8 is strict.

U+2028, U+0085, form feeds and the other characters that Python's `splitlines` would break at are ordinary
characters here. A byte order mark is no part of the first line. Files are streamed in blocks, so memory
does not grow with their size.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from custom_bert.data.absent import missing_file_hint
from custom_bert.errors import DataError

STANDARD_INPUT = "/dev/stdin"

DESCRIPTOR_0 = (STANDARD_INPUT, "/dev/fd/0", "/proc/self/fd/0")
"""Names of standard input. It is read by its descriptor, because a socket cannot be opened by a name."""

ZSTANDARD = b"\x28\xb5\x2f\xfd"

BLOCK = 1 << 22
"""Bytes read at a time."""


class LineReader:
    """Streams a text file's lines in blocks and knows its hash once it has been read to the end.

    Args:
        path: the file. Standard input, a pipe or a device is read once, as its lines come, and may be empty.
        unpack: read what a .gz or .zst file holds.

    Attributes:
        once: whether the text can be read only once, because it is no regular file.
        num_lines: read so far.
        num_bytes: of a regular file as it is stored, read so far.

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
        """Raises DataError if the text can be read only once; to be called before it is read more often."""
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
        """Of the bytes read so far: the file's, after `blocks` has ended."""
        return self._digest.hexdigest()

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Lists of consecutive lines.

        Args:
            sha256: of the bytes as they were checked; None where they are read for the first time.

        Raises:
            DataError: for bytes that are not UTF-8, NUL bytes, UTF-16, gzip, or lone CR line ends, with
                the line's number; after the last line, if the file is not the one with this hash; a second
                time, if the text can be read only once.
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
        try:
            # of a pipe what is there: a line does not wait for the ones after it
            as_it_comes = self.once and not self._unpack
            chunk = stream.read1(BLOCK) if as_it_comes else stream.read(BLOCK)  # type: ignore[attr-defined]
        except (OSError, EOFError, zlib.error) as error:  # the latter two of a damaged .gz
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(str(self.path), f"cannot read: {reason}") from error
        self._digest.update(chunk)
        return chunk

    def _whole_lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """The file's bytes in pieces that end with `\\n` (the last may not)."""
        chunk = self._read(stream)
        while len(chunk) < 4 and b"\n" not in chunk and (more := self._read(stream)):
            chunk += more  # enough to tell what it is
        self._check_start(chunk)
        pending: list[bytes] = []
        if chunk.startswith(b"\xef\xbb\xbf"):
            chunk = chunk[3:] or self._read(stream)
        while chunk:
            end = chunk.rfind(b"\n") + 1
            if end == 0:
                pending.append(chunk)
                if b"\0" in chunk:
                    break  # no text, as will be told; a line of /dev/zero never ends
            else:
                yield b"".join([*pending, chunk[:end]])
                pending = [chunk[end:]] if end < len(chunk) else []
            chunk = self._read(stream)
        if pending:
            yield b"".join(pending)

    def _check_start(self, chunk: bytes) -> None:
        if chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
            name = "UTF-32" if chunk.startswith(b"\xff\xfe\0\0") else "UTF-16"
            raise DataError(f"{self.path}:1", f"{name} text; save it as UTF-8")
        if chunk.startswith(b"\x1f\x8b"):
            raise DataError(f"{self.path}:1", "gzip data; unpack it first")
        if chunk.startswith(ZSTANDARD):
            raise DataError(f"{self.path}:1", "zstandard data; unpack it first")
        if chunk.startswith(b"PK\x03\x04"):
            raise DataError(f"{self.path}:1", "a zip archive or an office document; save it as UTF-8 text")

    def _decode(self, raw: bytes) -> list[str]:
        if b"\0" in raw:
            if self.num_lines == 0 and _looks_like_utf16(raw[:200]):
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


@contextmanager
def unpacked(stream: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """What a stream holds: as it is, or as gzip or zstandard had packed it, by the name's ending.

    Raises:
        DataError: if it is no such file, or zstandard's library is missing.
    """
    if path.suffix == ".gz":
        with gzip.GzipFile(fileobj=stream) as plain:
            yield plain  # type: ignore[misc]
    elif path.suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            raise DataError(
                str(path), "needs the zstandard library; pip install 'custom-bert[zstd]', or unpack it"
            ) from error
        try:
            yield _Frames(stream, zstandard.ZstdDecompressor().decompressobj)  # type: ignore[misc]
        except zstandard.ZstdError as error:
            raise DataError(str(path), f"cannot read: {error}") from error
    else:
        yield stream


class _Frames:
    """What zstandard's frames hold; unlike the library's own reader it tells where the last one is torn off.

    Args:
        stream: of one frame or several.
        frame: makes the decompressor of one.
    """

    def __init__(self, stream: BinaryIO, frame: Callable[[], Any]) -> None:
        self._stream, self._make, self._rest = stream, frame, b""
        self._frame: Any = None

    def read(self, size: int) -> bytes:
        """About so many bytes; none at the end.

        Raises:
            EOFError: if the file ends inside a frame.
        """
        found = bytearray()
        while len(found) < size:
            packed = self._rest or self._stream.read(1 << 17)
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle; is it torn off?")
                break
            frame = self._frame or self._make()
            found += frame.decompress(packed)
            self._rest, self._frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        return bytes(found)


def status_of(path: Path) -> os.stat_result | None:
    """What the system knows of a file; None if there is none.

    Raises:
        DataError: if the system refuses to tell, or the name cannot be one.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(str(path), f"cannot read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise DataError(repr(str(path)), f"cannot be a file name: {error}") from error


def _looks_like_utf16(start: bytes) -> bool:
    """Whether NULs stand at every second place or nearly so, as in UTF-16 of Latin script."""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    return max(even, odd) >= max(3, len(start) // 4) and min(even, odd) == 0


BLANK = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff]*"
)
"""White space, control characters, and what Unicode wants shown as nothing (Default_Ignorable_Code_Point)."""


def is_blank(text: str) -> bool:
    """Whether a text holds no character that shows: nothing, white space, zero-width characters."""
    return not text or BLANK.fullmatch(text) is not None


def composed(text: str) -> str:
    """A text in Unicode's composed form, NFC, in which texts that look the same are the same."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def leaders(hashes_N: np.ndarray) -> np.ndarray:
    """(N,) the first row with the same text as each row."""
    _, first, inverse_N = np.unique(hashes_N, return_index=True, return_inverse=True)
    return np.asarray(first[inverse_N])
