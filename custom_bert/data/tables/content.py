"""The text of a table's file, unpacked and decoded, in chunks of whole lines."""

from __future__ import annotations

import codecs
import hashlib
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from custom_bert.data.absent import missing_file_hint
from custom_bert.data.packed import read_chunk, unpacked
from custom_bert.data.text import ZSTANDARD, looks_like_utf16, status_of, wide_encoding
from custom_bert.errors import DataError

CHUNK = 1 << 22
"""The number of bytes that are read at a time."""

UTF_8 = "utf-8"
"""The encoding of files where the user names none. No other one is ever guessed."""

OTHER_FILES = {
    b"PK\x03\x04": "a zip archive or an office document; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an office document; save the sheet as CSV",
    b"%PDF": "a PDF document; save its table as CSV",
    b"\x1f\x8b": "gzip data; unpack it, or add .gz to its name",
    ZSTANDARD: "zstandard data; unpack it, or add .zst to its name",
    b"PAR1": "Parquet data; name it .parquet",
    b"ARROW1": "Arrow data; write it as Parquet or CSV",
}
"""The first bytes of files that are no text, and what to do about them."""

FOREIGN = re.compile(rb"[\x80-\xff]+")


def check_file(path: Path) -> None:
    """Raises DataError if a file is missing, empty, or can be read only once."""
    status = status_of(path)
    if status is None:
        raise DataError(str(path), f"no such file{missing_file_hint(path)}")
    if stat.S_ISDIR(status.st_mode):
        raise DataError(str(path), "is a directory; expected a table")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            str(path), "is read several times, which no pipe or device allows; write it to a regular file"
        )
    if status.st_size == 0:
        raise DataError(str(path), "the file is empty; expected a table")


class Content:
    """Streams the text of a file, and computes the hash of its unpacked bytes on the way.

    Args:
        path: the file. It is unpacked if its name ends with .gz or .zst.
        encoding: the encoding of the text; None for UTF-8.

    Attributes:
        sha256: the hash of all bytes. It is complete after `chunks` has ended.
        num_lines: the number of lines in what was read so far.

    Raises:
        DataError: if the file is missing, empty, or not a regular file.
    """

    def __init__(self, path: Path, encoding: str | None) -> None:
        check_file(path)
        self.path, self.encoding, self.sha256 = path, encoding or UTF_8, ""
        self._given, self._size, self._read = encoding is not None, path.stat().st_size, 0
        self.num_lines = 0

    def expected_lines(self) -> int:
        """Returns about how many lines the file has, while it is read; 0 before its first chunk."""
        return round(self.num_lines * self._size / self._read) if self._read else 0

    def chunks(self) -> Iterator[str]:
        r"""Yields the text in chunks that end with `\n`; the last one may not. A byte order mark is left out.

        Raises:
            DataError: for bytes that are not text in the encoding, and NUL characters, with the line.
        """
        digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder(self.encoding)()
        line, pending, raw, begun = 1, list[str](), b"x", False
        self.num_lines = self._read = 0
        try:
            stored = open(self.path, "rb")
        except OSError as error:
            raise DataError(str(self.path), f"cannot read: {error.strerror}") from error
        with stored, unpacked(stored, self.path) as stream:
            while raw:
                raw = read_chunk(stream.read, CHUNK, self.path)
                digest.update(raw)
                if not begun:
                    self._check_start(raw)
                try:
                    text = decoder.decode(raw, final=not raw)
                except UnicodeDecodeError as error:
                    raise self._undecodable(error, line, pending) from error
                except UnicodeError as error:  # UTF-16 without a mark, which does not say the order of bytes
                    raise DataError(
                        f"{self.path}:{line}",
                        f"not valid {self.encoding.upper()}: {error}; give another --encoding",
                    ) from error
                if not begun:
                    text, begun = text.removeprefix("\ufeff"), True
                if "\0" in text:
                    at = line + text.count("\n", 0, text.index("\0"))
                    raise DataError(f"{self.path}:{at}", self._about_nul(raw))
                end = text.rfind("\n") + 1
                # a packed file has been read to here
                self._read, self.num_lines = stored.tell(), line - 1 + text.count("\n")
                if end:
                    yield "".join([*pending, text[:end]])
                    line, pending = line + text.count("\n"), []
                if end < len(text):
                    pending.append(text[end:])
        if pending:
            yield "".join(pending)
        self.sha256 = digest.hexdigest()

    def lines(self, most: int) -> Iterator[list[str]]:
        r"""Yields the lines, at most `most` at a time, without the `\n` at their ends.

        Raises:
            DataError: as `chunks`.
        """
        for chunk in self.chunks():
            lines = chunk.removesuffix("\n").split("\n")
            for start in range(0, len(lines), most):
                yield lines[start : start + most]

    def _check_start(self, raw: bytes) -> None:
        """Raises DataError if the first bytes are those of another kind of file."""
        for start, what in OTHER_FILES.items():
            if raw.startswith(start):
                raise DataError(str(self.path), what)
        if not self._given and (name := wide_encoding(raw)):
            raise DataError(
                f"{self.path}:1", f"{name} text; give --encoding {name.lower()}, or save it as UTF-8"
            )

    def _about_nul(self, raw: bytes) -> str:
        if not self._given and looks_like_utf16(raw[:200]):
            return "UTF-16 text without a mark; give --encoding utf-16-le or utf-16-be, or save it as UTF-8"
        return "NUL character; the file is not plain text"

    def _undecodable(self, error: UnicodeDecodeError, line: int, pending: list[str]) -> DataError:
        """Returns the error for bytes that the encoding does not allow, with their line.

        Args:
            error: what the decoder says.
            line: the line on which the decoder's text begins.
            pending: the text of that line that was decoded before.
        """
        before, byte = error.object[: error.start], error.object[error.start]
        line += before.decode(self.encoding, "replace").count("\n")
        begin = before.rfind(b"\n") + 1
        column = error.start - begin + 1 + (len("".join(pending).encode(self.encoding)) if not begin else 0)
        fault = f"not valid {self.encoding.upper()} at byte {column} (0x{byte:02x})"
        if self._given:
            return DataError(f"{self.path}:{line}", f"{fault}; give another --encoding")
        end = error.object.find(b"\n", error.start)
        whole = error.object[begin : end if end >= 0 else None]
        if _looks_like_cp1252(whole):
            return DataError(
                f"{self.path}:{line}",
                f"{fault}; it looks like Windows-1252: give --encoding cp1252, or save it as UTF-8",
            )
        return DataError(f"{self.path}:{line}", f"{fault}; save it as UTF-8, or give its --encoding")


def _looks_like_cp1252(line: bytes) -> bool:
    """Returns whether a line reads as Western European text: its bytes above 127 are single letters within
    words, or typographic signs."""
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return all(len(run) <= 2 for run in FOREIGN.findall(line))
