"""A source: the texts that a run learns from, and their form after tokenising."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from custom_bert.config import LongTexts
from custom_bert.data.cache import Cache
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.store import StoreInfo
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.layout import Layout


@dataclass(frozen=True)
class VocabularyText:
    """The text on which a vocabulary is trained.

    Attributes:
        characters: the number of its characters.
        sha256: the SHA-256 hash of its content.
        blocks: yields its lines in lists. It can be called several times.
    """

    characters: int
    sha256: str
    blocks: Callable[[], Iterator[list[str]]]


@dataclass(frozen=True)
class WaysOut:
    """What a user can do about characters that the vocabulary does not know, for warnings.

    Attributes:
        training: the advice if they are in training texts.
        other: the advice if they are in other texts.
    """

    training: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Tokenising:
    """Everything that decides how the texts of a source become tokens and batches.

    Attributes:
        tokenizer: turns texts into ids.
        max_length: the largest number of tokens of a text, or of each of its windows.
        long_texts: which tokens of a longer text are kept.
        cache: keeps the ids between runs.
        pin_memory: whether to put batches into page-locked memory, for asynchronous copies to a GPU.
        ways_out: the advice about unknown characters, for warnings.
        say: prints a line about the progress.
        ahead: plans what the kernels of a GPU need to know of each batch; see `BatchBuilder`.
    """

    tokenizer: TextTokenizer
    max_length: int
    long_texts: LongTexts
    cache: Cache
    pin_memory: bool
    ways_out: WaysOut
    say: Callable[[str], None]
    ahead: Callable[[Layout, bool], None] | None = None


@dataclass(frozen=True)
class Tokenised:
    """A source after tokenising.

    Attributes:
        train, val: build batches of the training and of the validation examples.
        choosing: builds batches of the examples on which values are chosen, such as thresholds; None where
            there are none.
        truncation: the description of each split's token store, which says how many tokens were cut off.
        warnings: what a user should know of the tokenised texts, one line each.
        test: builds batches of the test examples; None where there are none.
    """

    train: BatchBuilder
    val: BatchBuilder
    choosing: BatchBuilder | None
    truncation: dict[str, StoreInfo]
    warnings: tuple[str, ...]
    test: BatchBuilder | None = None


class Source(Protocol):
    """Checked texts that a run learns from, with targets or without."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes; empty if the targets are not classes."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about the data, one line each."""

    @property
    def validates(self) -> bool:
        """Whether there are validation examples that do not train."""

    @property
    def pairs(self) -> bool:
        """Whether the texts are pairs of texts (`data.text_pairs`)."""

    def text(self) -> VocabularyText:
        """Returns the training text, for a vocabulary."""

    def tokenised(self, how: Tokenising) -> Tokenised:
        """Reads the texts once more, and returns them as token ids.

        Raises:
            DataError: if a file has changed since it was checked, or nothing can be learned from the tokens.
        """

    def sizes(self, train: BatchBuilder, val: BatchBuilder) -> str:
        """Returns the numbers of texts or tokens, in a few words."""

    def columns(self) -> list[str]:
        """Returns what a user has to know of which columns of a table are read, one line each."""

    def notes(self) -> list[str]:
        """Returns what a user should know of how the data is used, one line each."""

    def hashes(self) -> dict[str, str]:
        """Returns the hashes, by name, by which a run recognises its data when it continues."""

    def description(self) -> dict[str, Any]:
        """Returns sizes, hashes and counts, for run.json."""

    def unread_settings(self) -> dict[str, str]:
        """Returns the settings about data that have no effect on this source, with the reasons."""
