"""The files of a store of pieces, and the check that they are as they were written.

A store is a directory of shards of training and of held-out text. Shards are written one after the other, and
each is durable before the next one begins. So an interruption loses no finished shard:

    train-00000.ids      every piece's token ids, uint16 or uint32, little-endian
    train-00000.lengths  int32, tokens of each piece
    held_out-00000.ids ...
    store.json           the shards with their hashes, written last; until then progress.json
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from custom_bert import files

CorpusSplit = Literal["train", "held_out"]
SPLITS: tuple[CorpusSplit, ...] = ("train", "held_out")

PROGRESS, STORE = "progress.json", "store.json"


@dataclass(frozen=True)
class Shard:
    """A shard that is on disk.

    Attributes:
        pieces, tokens: the numbers of pieces and of tokens in the shard.
        ids_sha256, lengths_sha256: the SHA-256 hashes of the shard's two files.
    """

    pieces: int
    tokens: int
    ids_sha256: str
    lengths_sha256: str


@dataclass
class StoreProgress:
    """The state of a store that is being written. It is JSON in progress.json, and in store.json at the end.

    Attributes:
        identity: everything that the content of the store depends on.
        dtype: the type of token ids, "<u2" or "<u4".
        train, held_out: the shards of each split.
        file, line: the place in the corpus where reading continues: the index of the file, and of the line in
            it.
        document: the number of the present document, from 0.
        pending: the tokens of the present document that are in no piece yet.
        inside: whether the present document has begun.
        characters: the number of characters of the paragraphs so far, without white space.
        unknown: the number of these characters that the vocabulary does not know.
        complete: whether the store is complete.
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

    def shards(self, split: CorpusSplit) -> list[Shard]:
        """Returns the shards of a split, in the order in which they were written."""
        return self.train if split == "train" else self.held_out

    @property
    def pieces(self) -> int:
        """The number of pieces in all shards."""
        return sum(shard.pieces for split in SPLITS for shard in self.shards(split))

    @property
    def tokens(self) -> int:
        """The number of tokens in all shards."""
        return sum(shard.tokens for split in SPLITS for shard in self.shards(split))

    def write(self, directory: Path) -> None:
        """Writes the state durably, into store.json if the store is complete, otherwise into
        progress.json."""
        files.write_json(directory / (STORE if self.complete else PROGRESS), asdict(self))


def shard_names(split: CorpusSplit, number: int) -> tuple[str, str]:
    """Returns the names of a shard's two files, with the ids and the lengths."""
    return f"{split}-{number:05d}.ids", f"{split}-{number:05d}.lengths"


def read_unfinished(directory: Path, identity: str) -> StoreProgress | None:
    """Returns the state in which writing this store was interrupted; None if there is none, or it is
    damaged."""
    store = _read(directory / PROGRESS)
    return store if store is not None and store.identity == identity and _intact(directory, store) else None


def read_complete(directory: Path) -> StoreProgress | None:
    """Returns the state of a complete store whose files are as they were written; None if anything
    differs."""
    store = _read(directory / STORE)
    return store if store is not None and store.complete and _intact(directory, store) else None


def _read(path: Path) -> StoreProgress | None:
    """Returns the state in a file; None if there is none, or it is damaged."""
    try:
        value: dict[str, Any] = files.parse_json(files.read_regular(path))
        for split in SPLITS:
            value[split] = [Shard(**shard) for shard in value[split]]
        return StoreProgress(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _intact(directory: Path, store: StoreProgress) -> bool:
    """Returns whether the files of every shard are as they were written."""
    try:
        for split in SPLITS:
            for number, shard in enumerate(store.shards(split)):
                wanted = (shard.ids_sha256, shard.lengths_sha256)
                for file, sha256 in zip(shard_names(split, number), wanted, strict=True):
                    with files.open_regular(directory / file) as stream:
                        if files.sha256_of(stream) != sha256:
                            return False
    except OSError:
        return False
    return True
