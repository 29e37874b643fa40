"""Running text as a source: checked files, and their documents in pieces on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.data.corpus import Corpus
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.pieces import open_pieces
from custom_bert.data.source import Text, Tokenised, Tokenising
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.errors import DataError

MEASURED = 200_000
"""Held-out tokens that an evaluation reads; of more, every n-th piece."""


@dataclass(frozen=True)
class RunningText:
    """A corpus that a run learns from; see `data.source.Source`.

    Attributes:
        corpus: read and checked.
        held_out: share of the documents that measures and does not train.
        seed: by which they are drawn.
    """

    corpus: Corpus
    held_out: float
    seed: int

    @property
    def labels(self) -> tuple[str, ...]:
        """Running text has no classes."""
        return ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the files, one line each."""
        return self.corpus.warnings

    def text(self) -> Text:
        """All files' text."""
        return Text(self.corpus.characters, self.corpus.sha256, self.corpus.blocks)

    def tokenised(self, how: Tokenising) -> Tokenised:
        """See `data.source.Source`."""
        train, val = open_pieces(
            self.corpus,
            how.tokenizer,
            max_length=how.max_length,
            held_out=self.held_out,
            seed=self.seed,
            cache=how.cache,
            progress=_Preparation(self.corpus.stored, how.say),
        )
        about = train.about
        unknown = UnknownText(characters=about.characters, unknown=about.unknown)
        warnings = (
            (f"{unknown.message()}: {how.ways_out.training}",) if unknown.hinders_learning else tuple[str]()
        )
        every = max(1, -(-int(val.lengths_N.sum()) // MEASURED))
        train_builder, val_builder = (
            BatchBuilder(pieces, np.arange(0, len(pieces), step), None, how.tokenizer.pad_id, how.pin_memory)
            for pieces, step in ((train, 1), (val, every))
        )
        for builder, what in ((train_builder, "texts"), (val_builder, "held-out texts")):
            _check_something_to_hide(builder, how.tokenizer, what)
        return Tokenised(train_builder, val_builder, None, {}, warnings)

    def sizes(self, train: BatchBuilder, val: BatchBuilder) -> str:
        """See `data.source.Source`."""
        return (
            f"{self.corpus.documents:,} documents, {int(train.lengths_N.sum()):,} tokens in "
            f"{len(train.rows_N):,} pieces; {int(val.lengths_N.sum()):,} tokens are held out"
        )

    def notes(self) -> list[str]:
        """See `data.source.Source`."""
        return []

    def hashes(self) -> dict[str, str]:
        """See `data.source.Source`."""
        return self.corpus.hashes()

    def description(self) -> dict[str, Any]:
        """See `data.source.Source`."""
        return self.corpus.description()

    def unread_settings(self) -> dict[str, str]:
        """See `data.source.Source`."""
        return {}


def _check_something_to_hide(builder: BatchBuilder, tokenizer: TextTokenizer, what: str) -> None:
    """Raises DataError if no piece has a token that could be hidden and predicted; looks until one has."""
    pieces = (builder.store[row] for row in builder.rows_N.tolist())
    if not any(np.isin(ids, tokenizer.special_ids, invert=True).any() for ids in pieces):
        raise DataError(
            "data.corpus",
            f"the {what} hold no token that could be hidden; the vocabulary knows none of their characters",
        )


class _Preparation:
    """Says how far tokenising has come, every few seconds.

    Args:
        total: bytes to read.
        say: where to.
    """

    EVERY = 5.0

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say, self._last = total, say, 0.0
        self._first: tuple[int, float] | None = None

    def __call__(self, read: int, seconds: float) -> None:
        if self._first is None:  # what an earlier process had done takes no time
            self._first = (read, seconds)
            return
        if seconds - self._last < self.EVERY:
            return
        self._last = seconds
        rate = (read - self._first[0]) / max(1e-9, seconds - self._first[1])
        left = (self._total - read) / max(1.0, rate)
        self._say(
            f"tokenising: {read / 1e6:,.0f} of {self._total / 1e6:,.0f} MB, {rate / 1e6:.1f} MB/s, "
            f"left {left / 60:.0f} min {left % 60:02.0f} s"
        )
