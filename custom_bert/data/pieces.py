"""Running text as token ids on disk: documents are cut into pieces of at most max_length tokens.

A piece is one sequence of a batch. It never crosses from one document into another, and attention never
crosses from one piece into another. Batches under a token budget are filled with pieces of any length, so
that almost none of their rows are padding (`batching.py`). A store of pieces is written once
(`piece_writing.py`), and `piece_files.py` describes its files.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from custom_bert import files
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import Corpus
from custom_bert.data.encoded import Frame
from custom_bert.data.piece_files import SPLITS, CorpusSplit, StoreProgress, read_complete, shard_names
from custom_bert.data.piece_writing import Cutting, StoreWriter
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import DataError

FORMAT = 2
"""Version of the files and of what is in them. It is part of a store's identity."""

FOLDER = "corpus"
"""The folder of the cache that holds the stores."""

MAPPED = 256
"""The number of shards of a split that are memory-mapped at a time. Each counts as an open file, and the
system allows a process only some hundreds of them."""


class Pieces:
    """The pieces of a split, by number. It is a `loader.TokenisedTexts`.

    Args:
        directory: the directory of a complete store.
        split: the split whose pieces are read.
        info: the final state of the store.
        frame: the special tokens around each piece.

    Attributes:
        lengths_N: (N,) int64 the number of tokens of each piece, special ones included.
    """

    def __init__(self, directory: Path, split: CorpusSplit, info: StoreProgress, frame: Frame) -> None:
        self.info, self.frame, shards = info, frame, info.shards(split)
        names = [shard_names(split, i) for i in range(len(shards))]
        lengths = [np.fromfile(directory / name, dtype="<i4") for _, name in names]
        self.lengths_N = np.concatenate([np.zeros(0, "<i4"), *lengths]).astype(np.int64)
        mapped = functools.partial(np.memmap, dtype=info.dtype, mode="r")
        self._ids = functools.lru_cache(MAPPED)(lambda shard: mapped(directory / names[shard][0]))
        self._first = np.cumsum([0, *map(len, lengths)])  # the number of the first piece of each shard
        # where each piece starts among the tokens of all shards, and where each shard does
        ends = np.cumsum(self.lengths_N)
        self._start_N = ends - self.lengths_N
        self._base = [
            int(self._start_N[first]) if len(part) else 0
            for first, part in zip(self._first, lengths, strict=False)
        ]

    def __len__(self) -> int:
        return len(self.lengths_N)

    def __getitem__(self, row: int) -> np.ndarray:
        """Returns (length,) int64 the token ids of piece `row`, special tokens included."""
        shard = int(np.searchsorted(self._first, row, side="right")) - 1
        start = int(self._start_N[row]) - self._base[shard]
        return np.asarray(self._ids(shard)[start : start + int(self.lengths_N[row])], dtype=np.int64)

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Returns (L,) int64 the token ids of some pieces, one piece after the other."""
        return np.concatenate([self[row] for row in rows.tolist()])

    def special(self, rows: np.ndarray) -> np.ndarray:
        """Returns (len(rows), S) the positions, ascending, of the special tokens in some of the pieces."""
        return self.frame.special(self.lengths_N[rows])

    def seconds(self, rows: np.ndarray) -> None:
        """Returns None, because a piece is a single text."""


def open_pieces(
    corpus: Corpus,
    tokenizer: TextTokenizer,
    *,
    max_length: int,
    held_out: float,
    seed: int,
    cache: Cache,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Pieces, Pieces]:
    """Returns the training and the held-out pieces of a corpus, from the cache if an earlier run made them.

    Args:
        corpus: the checked corpus.
        tokenizer: turns paragraphs into ids.
        max_length: the largest number of tokens of a piece, special tokens included.
        held_out: the share of the documents that is held out.
        seed: the seed that decides which documents are held out.
        cache: keeps the stores.
        progress: called about once a second with the bytes read and the seconds since the start.

    Raises:
        DataError: if a file has changed since it was checked, or there is too little text.
        RunError: if another process prepares the same text at the moment.
        WriteError: if no place of the cache can be written.
    """
    cutting = Cutting(corpus=corpus, tokenizer=tokenizer, max_length=max_length, held_out=held_out, seed=seed)
    identity = f"{FORMAT} {cutting.identity}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]

    def known(root: Path) -> tuple[Path, StoreProgress] | None:
        info = read_complete(root / FOLDER / name)
        return None if info is None else (root / FOLDER / name, info)

    def build(root: Path) -> tuple[Path, StoreProgress]:
        directory = cache.folder(root, FOLDER) / name

        def prepare(partial: Path) -> StoreProgress:
            return StoreWriter(partial, identity, cutting, progress).run()

        return directory, _build(directory, prepare)

    directory, info = cache.get(known, build)
    train, val = (Pieces(directory, split, info, tokenizer.frame) for split in SPLITS)
    if not len(train) or not len(val):
        purpose, change = ("to hold some out", "raise") if len(train) else ("to train on", "lower")
        raise DataError(
            corpus.files[0].path, f"too little text {purpose}; add text, or {change} data.val_fraction"
        )
    return train, val


def _build(directory: Path, prepare: Callable[[Path], StoreProgress]) -> StoreProgress:
    """Makes a store, or continues where an earlier process stopped. A lock admits one process at a time."""
    partial = directory.with_name(f"{directory.name}.partial")
    files.make_directory(partial)
    with files.locked(partial, "prepares the same text; wait for it"):
        info = read_complete(directory)  # another process may have made it while this one waited
        if info is not None:
            files.remove_directory(partial)
            return info
        files.remove_litter(partial)
        files.remove_directory(directory)
        try:
            info = prepare(partial)
        except DataError:  # the file has changed, so the shards may contain text that it no longer has
            files.remove_directory(partial)
            raise
        files.rename_directory(partial, directory)
        return info
