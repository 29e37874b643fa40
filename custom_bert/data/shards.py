"""The shards in which pieces of text lie on disk, and how far a store of them has come.

Shards are written one after the other, each durable before the next one begins, so that what was prepared
before an interruption stays:

    train-00000.ids      every piece's token ids, uint16 or uint32, little-endian
    train-00000.lengths  int32, tokens of each piece
    held_out-00000.ids ...
    store.json           shards with their hashes, written last; until then progress.json
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from custom_bert import files

COMPLETE, UNTIL_THEN = "store.json", "progress.json"
"""Where a store's `Progress` stands."""

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")


@dataclass(frozen=True)
class Shard:
    """What was written.

    Attributes:
        pieces, tokens: that it holds.
        ids_sha256, lengths_sha256: of its two files.
    """

    pieces: int
    tokens: int
    ids_sha256: str
    lengths_sha256: str


@dataclass
class Progress:
    """How far a store has come; as JSON in progress.json, and in store.json when it is complete.

    Attributes:
        identity: what the content depends on.
        dtype: of ids, "<u2" or "<u4".
        train, held_out: their shards.
        file, line: the next line of the corpus.
        document: the next one's number.
        pending: tokens of the present document that are in no piece yet.
        inside: whether the present document has begun.
        characters: of the paragraphs so far.
        unknown: of these, characters that became unknown tokens.
        complete: whether that is all.
    """

    identity: str
    dtype: str
    train: list[Shard] = field(default_factory=list)
    held_out: list[Shard] = field(default_factory=list)
    file: int = 0
    line: int = 0
    document: int = 0
    pending: list[int] = field(default_factory=list)
    inside: bool = False
    characters: int = 0
    unknown: int = 0
    complete: bool = False

    def shards(self, split: Split) -> list[Shard]:
        """Of a split."""
        return self.train if split == "train" else self.held_out

    @property
    def tokens(self) -> int:
        """Of all shards."""
        return sum(shard.tokens for split in SPLITS for shard in self.shards(split))


def names_of(split: Split, number: int) -> tuple[str, str]:
    """The files of a shard: token ids, and lengths."""
    return f"{split}-{number:05d}.ids", f"{split}-{number:05d}.lengths"


def read_progress(path: Path) -> Progress | None:
    """How far a store has come; None if that is not told, or damaged."""
    try:
        value: dict[str, Any] = files.parse_json(files.read_regular(path))
        for split in SPLITS:
            value[split] = [Shard(**shard) for shard in value[split]]
        return Progress(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_progress(directory: Path, about: Progress) -> None:
    """Says how far a store has come, in the file of that name if it is complete."""
    files.write_json(directory / (COMPLETE if about.complete else UNTIL_THEN), asdict(about))


def complete_store(directory: Path) -> Progress | None:
    """The description of a store whose files are as they were written; None if anything differs."""
    about = read_progress(directory / COMPLETE)
    return about if about is not None and about.complete and is_whole(directory, about) else None


def is_whole(directory: Path, about: Progress) -> bool:
    """Whether every shard's files are as they were written."""
    try:
        for split in SPLITS:
            for number, shard in enumerate(about.shards(split)):
                wanted = (shard.ids_sha256, shard.lengths_sha256)
                for file, sha256 in zip(names_of(split, number), wanted, strict=True):
                    with files.open_regular(directory / file) as stream:
                        if files.sha256_of(stream) != sha256:
                            return False
    except OSError:
        return False
    return True


class ShardWriter:
    """Collects the pieces of a split until they are a shard's worth.

    Attributes:
        tokens: collected.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype, self._ids, self._lengths, self.tokens = dtype, list[np.ndarray](), list[int](), 0

    def add(self, ids: np.ndarray) -> None:
        """One piece more, of (length,) token ids."""
        self._ids.append(ids.astype(self._dtype))
        self._lengths.append(len(ids))
        self.tokens += len(ids)

    def flush(self, directory: Path, split: Split, number: int) -> Shard | None:
        """Writes the pieces so far as a shard of that number; None if there are none."""
        if not self._ids:
            return None
        ids, lengths = names_of(split, number)
        with files.writing(directory / ids) as ids_file:
            ids_file.write(np.concatenate(self._ids).tobytes())
        with files.writing(directory / lengths) as lengths_file:
            lengths_file.write(np.array(self._lengths, dtype="<i4").tobytes())
        shard = Shard(len(self._lengths), self.tokens, ids_file.sha256, lengths_file.sha256)
        self._ids, self._lengths, self.tokens = [], [], 0
        return shard
