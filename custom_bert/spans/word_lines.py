"""The sentences of a CoNLL file as texts to predict: what `predict` reads from it. Tags need not be there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from custom_bert.data.lines import NumberedLines
from custom_bert.data.text import LineReader
from custom_bert.errors import DataError
from custom_bert.spans.conll import DOCUMENT, cells_of, joined
from custom_bert.spans.spanned import Range

ENDING = ".conll"
"""The ending of files with a word a line."""


class WordLines(NumberedLines):
    """The sentences of a file. Each is a text: its words, the first column, with one space between them.

    Args:
        path: the file.
        unpack: whether to read the content of a .gz or .zst file.

    Attributes:
        places: for each text of the block that was yielded last where its words stand.
    """

    def __init__(self, path: str | Path, *, unpack: bool = False) -> None:
        self._reader = LineReader(path, unpack=unpack)
        self.path, self.num_lines = self._reader.path, 0
        self.places: list[list[Range]] = []

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the file, after `blocks` has ended."""
        return self._reader.sha256

    def check_repeatable(self) -> None:
        """Raises DataError if the file can be read only once."""
        self._reader.check_repeatable()

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive texts; see `Lines.blocks`. A sentence is yielded once its blank line is
        read.

        Raises:
            DataError: for a line whose first column is empty, and what `LineReader.blocks` raises.
        """
        self.num_lines, number = 0, 0
        now: list[str] = []
        for block in self._reader.blocks(sha256):
            sentences: list[list[str]] = []
            for line in block:
                number += 1
                word = cells_of(line)[0]
                if word == DOCUMENT or not line.strip():
                    sentences += [now] if now else []
                    now = []
                elif not word:
                    raise DataError(
                        f"{self.path}:{number}", "the first column is empty; write the word into it"
                    )
                else:
                    now.append(word)
            yield from self._texts(sentences)
        yield from self._texts([now] if now else [])

    def _texts(self, sentences: list[list[str]]) -> Iterator[list[str]]:
        """Yields the texts of some sentences, if there are any."""
        if sentences:
            both = [joined(words) for words in sentences]
            self.places = [ranges for _, ranges in both]
            self.num_lines += len(both)
            yield [text for text, _ in both]
