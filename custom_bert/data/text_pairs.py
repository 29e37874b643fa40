"""Pairs of texts, such as a question and an answer: how a pair is held, and the lines that hold pairs.

A pair is one string, its two texts with `BETWEEN` between them. So whatever reads, counts, hashes or compares
texts does so with pairs too, and need not know of them. Only what looks into a text takes a pair apart: the
tokenizer, the vocabulary and the floor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from custom_bert.data.lines import Lines, Wording, at
from custom_bert.data.text import is_blank
from custom_bert.errors import DataError
from custom_bert.phrases import counted

BETWEEN = "\ud800"
"""What stands between the two texts of a pair: half of a surrogate pair, which UTF-8 cannot express and which
therefore no text has. Whoever writes a pair as if it were a text gets an error, not a wrong text."""


def paired(first: str, second: str) -> str:
    """Returns two texts as a pair."""
    return f"{first}{BETWEEN}{second}"


def sides(pair: str) -> tuple[str, str]:
    """Returns the two texts of a pair."""
    first, _, second = pair.partition(BETWEEN)
    return first, second


def as_line(text: str) -> str:
    """Returns a text as it stands in a line: the texts of a pair have a tab between them."""
    return text.replace(BETWEEN, "\t")


def apart(blocks: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yields lists of texts: in the place of each pair its two texts."""
    return ([text for pair in block for text in sides(pair)] for block in blocks)


NAMED = 5
"""The number of pairs that a warning names."""


class _PairedLines:
    """What lines of pairs have in common. They are known by the lines of their first texts.

    Args:
        lines: the lines that places and numbers are of.
    """

    pairs = True

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._half_empty: list[int] = []
        self._half_empties = 0

    @property
    def path(self) -> Path:
        """The path of the file, or of the file with the first texts."""
        return self._lines.path

    @property
    def num_lines(self) -> int:
        """The number of lines read so far."""
        return self._lines.num_lines

    @property
    def words(self) -> Wording:
        """How messages speak of the lines."""
        return self._lines.words

    @property
    def name(self) -> str:
        """What messages call all lines together."""
        return self._lines.name

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the content, which differs from that of the same lines as single texts."""
        return hashlib.sha256(f"pairs {self._lines.sha256}".encode()).hexdigest()

    def where(self, index: int) -> str:
        """Returns the place of a line that was read, by its index from 0."""
        return self._lines.where(index)

    def numbers(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns (N,) the numbers, from 1, by which users know some lines."""
        return self._lines.numbers(rows_N)

    def check_repeatable(self) -> None:
        """Raises DataError if the lines can be read only once."""
        self._lines.check_repeatable()

    def doubts(self) -> list[str]:
        """Returns warnings of the lines, and one about pairs with only one text that is not empty."""
        if not self._half_empty:
            return self._lines.doubts()
        found = counted(self._half_empties, "pair")
        where = at(self._lines, self._half_empty, self._half_empties)
        return [
            *self._lines.doubts(),
            f"{self.name}: {found} with one text that is empty{where}",
        ]

    def _note(self, start: int, first: list[str], second: list[str]) -> None:
        """Notes the pairs of which one text is empty.

        Args:
            start: the index of the first of the lines.
            first, second: their texts.
        """
        blank = ((is_blank(a), is_blank(b)) for a, b in zip(first, second, strict=True))
        found = [start + i for i, (a, b) in enumerate(blank) if a != b]
        self._half_empty = [*self._half_empty, *found][:NAMED]
        self._half_empties += len(found)


class TabbedLines(_PairedLines):
    """Lines of two texts with a tab between them, as `data.lines.Lines`.

    Args:
        lines: the lines.
        asked: continues the error for a line that is no pair: what says that it has to be one.
        others: what a user can do about a text that holds a tab itself.
    """

    def __init__(self, lines: Lines, asked: str, others: str) -> None:
        super().__init__(lines)
        self._asked, self._others = asked, others

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive pairs.

        Args:
            sha256: the hash that the content had; None if it is read for the first time.

        Raises:
            DataError: for the first line without exactly one tab; after the last line, if the content has
                another hash now.
        """
        self._half_empty, self._half_empties = [], 0
        for block in self._lines.blocks():
            start = self.num_lines - len(block)
            for i, line in enumerate(block):
                if line.count("\t") != 1:
                    raise self._no_pair(start + i, line)
            first, second = ([line.split("\t")[side] for line in block] for side in (0, 1))
            self._note(start, first, second)
            yield list(map(paired, first, second))
        _check_unchanged(self, sha256)

    def _no_pair(self, index: int, line: str) -> DataError:
        tabs = line.count("\t")
        if not tabs:
            what = "the line is empty" if is_blank(line) else "no tab"
            return DataError(
                self.where(index), f"{what}, and {self._asked}: two texts with a tab between them"
            )
        return DataError(
            self.where(index),
            f"{tabs:,} tabs, and {self._asked}: two texts with one tab between them; {self._others}",
        )


class JoinedLines(_PairedLines):
    """Lines of first texts and lines of second texts, as `data.lines.Lines`: two files, or two columns.

    Args:
        first, second: the lines, of which those with the same number are a pair.
        name: what messages call both together.
    """

    def __init__(self, first: Lines, second: Lines, name: str) -> None:
        super().__init__(first)
        self._second, self._name = second, name

    @property
    def name(self) -> str:
        """The two files, or the two columns."""
        return self._name

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the hashes of both sides."""
        both = f"pairs {self._lines.sha256} {self._second.sha256}"
        return hashlib.sha256(both.encode()).hexdigest()

    def check_repeatable(self) -> None:
        """Raises DataError if one side can be read only once."""
        self._lines.check_repeatable()
        self._second.check_repeatable()

    def doubts(self) -> list[str]:
        """Returns the warnings of both sides."""
        return [*super().doubts(), *self._second.doubts()]

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive pairs.

        Args:
            sha256: the hash that both sides had; None if they are read for the first time.

        Raises:
            DataError: if one side has more lines than the other; after the last line, if the content has
                another hash now.
        """
        self._half_empty, self._half_empties, start = [], 0, 0
        seconds = chain.from_iterable(self._second.blocks())
        for first in self._lines.blocks():
            second = list(islice(seconds, len(first)))
            if len(second) < len(first):
                for _ in self._lines.blocks():  # counts the lines, for the message
                    pass
                raise self._unequal(start + len(second))
            self._note(start, first, second)
            start += len(first)
            yield list(map(paired, first, second))
        if sum(1 for _ in seconds):
            raise self._unequal(start)
        _check_unchanged(self, sha256)

    def _unequal(self, index: int) -> DataError:
        """Returns the error at the first line without a partner, by its index."""
        first, second = self._lines, self._second
        counts = f"{first.name} has {first.num_lines:,} lines, {second.name} {second.num_lines:,}"
        longer, other = (first, "second") if first.num_lines > second.num_lines else (second, "first")
        extra = counted(abs(first.num_lines - second.num_lines), "text")
        return DataError(longer.where(index), f"a text without a {other} one: {counts}; {extra} too many")


def _check_unchanged(lines: Lines, sha256: str | None) -> None:
    """Raises DataError if the content has another hash than it had."""
    if sha256 is not None and lines.sha256 != sha256:
        raise DataError(str(lines.path), "the file changed while it was read; start again")
