"""Lines of texts or labels, from a file that is streamed or from a list in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

BLOCK = 1 << 16
"""The number of lines of a list that are yielded at a time."""


class Lines(Protocol):
    """Lines that can be read again and again. `data.text.LineReader` reads them from a file.

    Attributes:
        path: the path of the file, or the name of the list in messages.
        num_lines: the number of lines read so far.
    """

    path: Path
    num_lines: int

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the content. It is complete after `blocks` has ended."""

    def check_repeatable(self) -> None:
        """Raises DataError if the lines can be read only once."""

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive lines.

        Args:
            sha256: the hash that the content had; None if it is read for the first time.

        Raises:
            DataError: after the last line, if the content has another hash now.
        """


def taken(blocks: Iterator[list[str]], rows_N: np.ndarray | None) -> Iterator[str]:
    """Yields some of the lines of a file.

    Args:
        blocks: lists of consecutive lines, from the first line on, which are read to the end.
        rows_N: (N,) the indices of the lines, from 0, ascending; None for all lines.
    """
    start = 0
    for block in blocks:
        if rows_N is None:
            yield from block
            continue
        low, high = np.searchsorted(rows_N, [start, start + len(block)])
        for row in rows_N[low:high].tolist():
            yield block[row - start]
        start += len(block)


class ListedLines:
    """A list of texts that is read like the lines of a file. Unlike lines, its texts may contain line breaks.

    Args:
        name: the name of the list in messages, in the place of a path.
        texts: the strings.
    """

    def __init__(self, name: str, texts: Sequence[str]) -> None:
        self.path, self.num_lines = Path(name), 0
        self._texts = texts

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the texts and their lengths, so that ["ab"] and ["a", "b"] differ."""
        digest = hashlib.sha256()
        for text in self._texts:
            content = text.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()

    def check_repeatable(self) -> None:
        """Does nothing, because a list can always be read again."""

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive texts. A list in memory does not change, so the hash is not
        compared."""
        self.num_lines = 0
        for start in range(0, len(self._texts), BLOCK):
            block = list(self._texts[start : start + BLOCK])
            self.num_lines += len(block)
            yield block
