"""Lines wherever they come from: a file that is streamed, or a list in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

BLOCK = 1 << 16
"""Lines of a list that are given at a time."""


class Lines(Protocol):
    """Lines that can be read again and again. `data.text.LineReader` reads them from a file.

    Attributes:
        path: the file, or the name that messages give the list.
        num_lines: read so far.
    """

    path: Path
    num_lines: int

    @property
    def sha256(self) -> str:
        """Of the content, after `blocks` has ended."""

    def check_repeatable(self) -> None:
        """Raises DataError if the lines can be read only once."""

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Lists of consecutive lines; with the hash that they had, DataError if they have another one."""


class ListedLines:
    """A list of texts, read like the lines of a file; unlike these they may hold line breaks.

    Args:
        name: for messages, in the place of a path.
        texts: strings.
    """

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        self.path, self.num_lines = Path(name), 0
        self._texts = texts

    @property
    def sha256(self) -> str:
        """Of the texts and where each of them ends."""
        digest = hashlib.sha256()
        for text in self._texts:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()

    def check_repeatable(self) -> None:
        """A list can always be read again."""

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Lists of consecutive texts."""
        self.num_lines = 0
        for start in range(0, len(self._texts), BLOCK):
            block = list(self._texts[start : start + BLOCK])
            self.num_lines += len(block)
            yield block
