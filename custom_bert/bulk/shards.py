"""Cuts rows into shards, by the rows alone: a shard is the same wherever a run was stopped, and whichever
process computes it.

What is predicted for a text may depend in its last bits on the texts that are computed beside it. So a shard
is computed by itself, and its bytes follow from its rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Text = str | tuple[str, str]
"""A text, or a pair of texts."""

ROWS = 2048
"""The number of rows of a shard. What a kill loses is at most this much for each process."""

CHARACTERS = 1 << 23
"""A shard ends with the row that brings its texts to this length. It bounds the memory where texts are
long."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Consecutive rows, as they were read.

    Attributes:
        texts: the text of each row.
        stored: the rows as `data.tables.batches.Batch.stored` has them; None for lines of text.
        content: returns bytes that tell the content of some of the rows, from one index to another. Two
            neighbouring parts have the bytes of both one after the other.
    """

    texts: list[Text]
    stored: Any = None
    content: Callable[[int, int], bytes]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Consecutive rows that are computed and written together.

    Attributes:
        index: its place among all shards, from 0.
        start: the index of its first row, from 0.
        texts: the text of each row.
        stored: the rows as they are stored, in one part or several; empty for lines of text.
        sha256: the hash of the rows' content.
    """

    index: int
    start: int
    texts: list[Text]
    stored: list[Any]
    sha256: str


@dataclass
class _Growing:
    """A shard that is not complete yet."""

    texts: list[Text] = field(default_factory=list)
    stored: list[Any] = field(default_factory=list)
    characters: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, rows: Rows, start: int, end: int) -> None:
        """Adds some of the rows that were read."""
        self.texts += rows.texts[start:end]
        self.characters += sum(map(_length, rows.texts[start:end]))
        self.digest.update(rows.content(start, end))
        if rows.stored is not None:
            self.stored.append(rows.stored[start:end])


def cut(read: Iterator[Rows], rows: int, characters: int) -> Iterator[Shard]:
    """Yields the shards of a file.

    Args:
        read: all of its rows, from the first on. How they are divided makes no difference.
        rows: the number of rows after which a shard ends.
        characters: the length of all texts after which it ends, too.
    """
    index, start, growing = 0, 0, _Growing()
    for some in read:
        at = 0
        while at < len(some.texts):
            end = _end(some.texts, at, rows - len(growing.texts), characters - growing.characters)
            growing.add(some, at, end)
            at = end
            if len(growing.texts) == rows or growing.characters >= characters:
                yield _complete(growing, index, start)
                index, start, growing = index + 1, start + len(growing.texts), _Growing()
    if growing.texts:
        yield _complete(growing, index, start)


def _complete(growing: _Growing, index: int, start: int) -> Shard:
    return Shard(
        index=index,
        start=start,
        texts=growing.texts,
        stored=growing.stored,
        sha256=growing.digest.hexdigest(),
    )


def _end(texts: list[Text], start: int, rows: int, characters: int) -> int:
    """Returns the index after the last text that still belongs to a shard with room for so many."""
    for i in range(start, min(len(texts), start + rows)):
        characters -= _length(texts[i])
        if characters <= 0:
            return i + 1
    return min(len(texts), start + rows)


def _length(text: Text) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
