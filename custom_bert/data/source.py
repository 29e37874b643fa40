"""What a run learns from: a source of texts, and what it is once it has been tokenised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from custom_bert.config import LongTexts
from custom_bert.data.cache import Cache
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.store import StoreInfo
from custom_bert.data.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Text:
    """The text on which a vocabulary is trained.

    Attributes:
        characters: how many it has.
        sha256: of its content.
        blocks: gives its lines, in lists, as often as it is called.
    """

    characters: int
    sha256: str
    blocks: Callable[[], Iterator[list[str]]]


@dataclass(frozen=True)
class WaysOut:
    """What a user can do about text that the vocabulary does not know.

    Attributes:
        training: where it stands in training texts.
        other: where it stands in other texts.
    """

    training: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Tokenising:
    """How texts become tokens.

    Attributes:
        tokenizer: turns texts into ids.
        max_length: tokens that are kept of a text, or of each of its windows.
        long_texts: what becomes of a longer text.
        cache: keeps the ids between runs.
        pin_memory: put batches into page-locked memory, for asynchronous copies to a GPU.
        ways_out: of unknown text, for warnings.
        say: is told how far it has come.
    """

    tokenizer: TextTokenizer
    max_length: int
    long_texts: LongTexts
    cache: Cache
    pin_memory: bool
    ways_out: WaysOut
    say: Callable[[str], None]


@dataclass(frozen=True)
class Tokenised:
    """A source as token ids.

    Attributes:
        train, val: build batches of what trains and of what measures.
        choosing: builds batches of the examples by which thresholds are chosen; None where there are none.
        truncation: how many texts were cut, and by how much, by split.
        warnings: one line each.
    """

    train: BatchBuilder
    val: BatchBuilder
    choosing: BatchBuilder | None
    truncation: dict[str, StoreInfo]
    warnings: tuple[str, ...]


class Source(Protocol):
    """Checked texts, with targets or without."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes; none where the targets are no classes."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the data, one line each."""

    def text(self) -> Text:
        """The training text."""

    def tokenised(self, how: Tokenising) -> Tokenised:
        """The texts as token ids; reads them once more.

        Raises:
            DataError: if they are no longer the ones that were checked, or nothing can be learned from them.
        """

    def sizes(self, train: BatchBuilder, val: BatchBuilder) -> str:
        """How much there is, in a few words."""

    def notes(self) -> list[str]:
        """What a user should know of how the data was taken, one line each."""

    def hashes(self) -> dict[str, str]:
        """What makes this data this data, by name."""

    def description(self) -> dict[str, Any]:
        """Sizes, hashes and counts, for run.json."""

    def unread_settings(self) -> dict[str, str]:
        """Settings about data that this source does not read, and why."""
