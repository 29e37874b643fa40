"""Running text as the source of a run: a checked corpus, and its documents as pieces on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.data.corpus import Corpus
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.pieces import open_pieces
from custom_bert.data.source import Tokenised, Tokenising, VocabularyText
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.errors import DataError

MEASURED = 200_000
"""The number of held-out tokens that an evaluation reads. If there are more, it reads every n-th piece."""


@dataclass(frozen=True)
class RunningText:
    """A corpus that a run learns from. It is a `data.source.Source`.

    Attributes:
        corpus: the corpus, read and checked.
        held_out: the share of the documents that is kept from training, to measure.
        seed: the seed that decides which documents are held out.
    """

    corpus: Corpus
    held_out: float
    seed: int

    @property
    def labels(self) -> tuple[str, ...]:
        """Empty, because running text has no classes."""
        return ()

    @property
    def validates(self) -> bool:
        """True: some documents are always held out."""
        return True

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about the files, one line each."""
        return self.corpus.warnings

    @property
    def pairs(self) -> bool:
        """False, because running text is no pair of texts."""
        return False

    def text(self) -> VocabularyText:
        """Returns the text of all files, for a vocabulary."""
        return VocabularyText(self.corpus.characters, self.corpus.sha256, self.corpus.blocks)

    def tokenised(self, how: Tokenising) -> Tokenised:
        """Returns batch builders over the pieces. The cache keeps the store of the pieces.

        Raises:
            DataError: if a file has changed since it was checked, or a split holds too little text, or no
                token that could be hidden.
        """
        train, val = open_pieces(
            self.corpus,
            how.tokenizer,
            max_length=how.max_length,
            held_out=self.held_out,
            seed=self.seed,
            cache=how.cache,
            progress=_ProgressLines(self.corpus.stored, how.say),
        )
        unknown = UnknownText(characters=train.info.characters, unknown=train.info.unknown)
        warnings = (
            (f"{unknown.message()}: {how.ways_out.training}",) if unknown.hinders_learning else tuple[str]()
        )
        every = max(1, -(-int(val.lengths_N.sum()) // MEASURED))
        train_builder, val_builder = (
            BatchBuilder(
                pieces,
                np.arange(0, len(pieces), step),
                None,
                how.tokenizer.pad_id,
                how.pin_memory,
                ahead=how.ahead,
            )
            for pieces, step in ((train, 1), (val, every))
        )
        for builder, what in ((train_builder, "texts"), (val_builder, "held-out texts")):
            _check_something_to_hide(builder, how.tokenizer, what)
        return Tokenised(train_builder, val_builder, None, {}, warnings)

    def sizes(self, train: BatchBuilder, val: BatchBuilder) -> str:
        """Returns the numbers of documents, pieces and tokens, in a few words."""
        return (
            f"{self.corpus.documents:,} documents, {int(train.lengths_N.sum()):,} tokens in "
            f"{len(train.rows_N):,} pieces; {int(val.lengths_N.sum()):,} tokens are held out"
        )

    def columns(self) -> list[str]:
        """Returns no lines, because running text has no columns."""
        return []

    def notes(self) -> list[str]:
        """Returns no lines, because nothing is decided about running text that a user has to know."""
        return []

    def hashes(self) -> dict[str, str]:
        """Returns the hash by which a run recognises the corpus when it continues."""
        return self.corpus.hashes()

    def description(self) -> dict[str, Any]:
        """Returns sizes and hashes, for run.json."""
        return self.corpus.description()

    def unread_settings(self) -> dict[str, str]:
        """Returns no settings, because running text reads all settings about a corpus."""
        return {}


def _check_something_to_hide(builder: BatchBuilder, tokenizer: TextTokenizer, what: str) -> None:
    """Raises DataError if no piece has a token that could be hidden and predicted.

    It reads pieces only up to the first that has one.
    """
    pieces = (builder.store[row] for row in builder.rows_N.tolist())
    if not any(np.isin(ids, tokenizer.special_ids, invert=True).any() for ids in pieces):
        raise DataError(
            "data.corpus",
            f"the {what} hold no token that could be hidden; the vocabulary knows none of their characters",
        )


class _ProgressLines:
    """Prints how far tokenising has come, every few seconds.

    Args:
        total: the number of bytes to read.
        say: prints a line.
    """

    EVERY = 5.0

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say, self._last = total, say, 0.0
        self._first: tuple[int, float] | None = None

    def __call__(self, read: int, seconds: float) -> None:
        if self._first is None:  # bytes that an earlier process had read must not count for the rate
            self._first = (read, seconds)
            return
        if seconds - self._last < self.EVERY:
            return
        self._last = seconds
        rate = (read - self._first[0]) / max(1e-9, seconds - self._first[1])
        left = (self._total - read) / max(1.0, rate)
        self._say(
            f"tokenising: {read / 1e6:,.0f} of {self._total / 1e6:,.0f} MB, {rate / 1e6:.1f} MB/s, "
            f"{left / 60:.0f} min {left % 60:02.0f} s left"
        )
