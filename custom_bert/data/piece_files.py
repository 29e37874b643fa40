"""What a store of pieces holds on disk, and whether it is as it was written.

A store is a directory of shards, for training and held-out text. Shards are written one after the other, each
durable before the next one begins, so that what was prepared before an interruption stays:

    train-00000.ids      every piece's token ids, uint16 or uint32, little-endian
    train-00000.lengths  int32, tokens of each piece
    held_out-00000.ids ...
    store.json           shards with their hashes, written last; until then progress.json
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
        pieces, tokens: that it holds.
        ids_sha256, lengths_sha256: of its two files.
    """

    pieces: int
    tokens: int
    ids_sha256: str
    lengths_sha256: str


@dataclass
class StoreProgress:
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

    def shards(self, split: CorpusSplit) -> list[Shard]:
        """The shards of a split, in the order in which they were written."""
        return self.train if split == "train" else self.held_out

    @property
    def pieces(self) -> int:
        """Pieces of all shards."""
        return sum(shard.pieces for split in SPLITS for shard in self.shards(split))

    @property
    def tokens(self) -> int:
        """Tokens of all shards."""
        return sum(shard.tokens for split in SPLITS for shard in self.shards(split))

    def write(self, directory: Path) -> None:
        """Writes this, durably, under the name that says whether the store is complete."""
        files.write_json(directory / (STORE if self.complete else PROGRESS), asdict(self))


def shard_names(split: CorpusSplit, number: int) -> tuple[str, str]:
    """The names of a shard's two files: ids, and lengths."""
    return f"{split}-{number:05d}.ids", f"{split}-{number:05d}.lengths"


def read_unfinished(directory: Path, identity: str) -> StoreProgress | None:
    """How far an interrupted preparation of this has come; None if there was none, or files are damaged."""
    about = _read(directory / PROGRESS)
    return about if about is not None and about.identity == identity and _whole(directory, about) else None


def read_complete(directory: Path) -> StoreProgress | None:
    """The description of a store whose files are as they were written; None if anything differs."""
    about = _read(directory / STORE)
    return about if about is not None and about.complete and _whole(directory, about) else None


def _read(path: Path) -> StoreProgress | None:
    """A description; None if there is none, or it is damaged."""
    try:
        value: dict[str, Any] = files.parse_json(files.read_regular(path))
        for split in SPLITS:
            value[split] = [Shard(**shard) for shard in value[split]]
        return StoreProgress(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _whole(directory: Path, about: StoreProgress) -> bool:
    """Whether every shard's files are as they were written."""
    try:
        for split in SPLITS:
            for number, shard in enumerate(about.shards(split)):
                wanted = (shard.ids_sha256, shard.lengths_sha256)
                for file, sha256 in zip(shard_names(split, number), wanted, strict=True):
                    with files.open_regular(directory / file) as stream:
                        if files.sha256_of(stream) != sha256:
                            return False
    except OSError:
        return False
    return True
