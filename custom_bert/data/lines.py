"""Lines of texts or labels, from a file that is streamed or from a list in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from custom_bert.phrases import at_lines

BLOCK = 1 << 16
"""The number of lines of a list that are yielded at a time."""


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How messages speak of lines and of what holds them.

    Attributes:
        line: what one of them is called.
        sides: what texts and labels are, such as two files.
        of_both: continues "the first line", where it stands on both sides.
        from_both: continues "remove the line", if it has to be removed on both sides.
        no_validation: says that validation data was not given.
    """

    line: str = "line"
    sides: str = "files"
    of_both: str = " of both files"
    from_both: str = " from both files"
    no_validation: str = "no validation files"


LINES = Wording()
"""The words for two files whose lines belong together, and for two lists."""

ROWS = Wording(line="row", sides="columns", of_both="", from_both="", no_validation="no validation rows")
"""The words for two columns of a table."""


class Lines(Protocol):
    """Lines that can be read again and again. `data.text.LineReader` reads them from a file."""

    @property
    def path(self) -> Path:
        """The path of the file, or the name of the list in messages."""

    @property
    def num_lines(self) -> int:
        """The number of lines read so far."""

    @property
    def words(self) -> Wording:
        """How messages speak of the lines."""

    @property
    def pairs(self) -> bool:
        """Whether each line is a pair of texts (`data.text_pairs`)."""

    @property
    def name(self) -> str:
        """What messages call all lines together: the path, or the path and a column."""

    def where(self, index: int) -> str:
        """Returns the place of a line that was read, by its index from 0, such as `path:line`."""

    def numbers(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (N,) the numbers, from 1, by which users know some lines.

        Args:
            rows_N: (N,) the indices of lines that were read, from 0.
        """

    def doubts(self) -> list[str]:
        """Returns warnings, one line each, about how the lines were made from what is stored."""

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


def at(lines: Lines, rows: Sequence[int] | np.ndarray, total: int | None = None) -> str:
    """Returns the numbers of the first lines of some, in brackets: ` (lines 3, 8)`, ` (rows 3, 8)`.

    Args:
        lines: the lines.
        rows: indices, from 0: all of them, or at least the first five.
        total: the number of all; None if `rows` has all.
    """
    total = len(rows) if total is None else total
    numbers_N = lines.numbers(np.asarray(rows[:5], dtype=np.int64))
    return at_lines(numbers_N, total, noun=lines.words.line)


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


class NumberedLines:
    """What files of lines and lists of texts have in common: each item is a string already, and its number is
    its place, counted from 1.

    Attributes:
        path: the path of the file, or the name of the list.
    """

    words = LINES
    pairs = False
    path: Path

    @property
    def name(self) -> str:
        """The path of the file, or the name of the list."""
        return str(self.path)

    def where(self, index: int) -> str:
        """Returns the name and the number of an item, from 1."""
        return f"{self.path}:{index + 1}"

    def numbers(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns the numbers of some items, from 1."""
        return rows_N + 1

    def doubts(self) -> list[str]:
        """Returns nothing, because every item is read as it is."""
        return []


class ListedLines(NumberedLines):
    """A list of texts that is read like the lines of a file. Unlike lines, its texts may contain line breaks.

    Args:
        name: the name of the list in messages, in the place of a path.
        texts: the strings.
        pairs: whether each is a pair of texts.
    """

    def __init__(self, name: str, texts: Sequence[str], *, pairs: bool = False) -> None:
        self.path, self.num_lines = Path(name), 0
        self._texts, self.pairs = texts, pairs

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
