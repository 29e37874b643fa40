"""Running text as token ids on disk: documents in pieces of at most max_length tokens.

A piece is one sequence of a batch: it never crosses from one document into another, and attention never
crosses from one piece into another. Batches under a token budget fill up with pieces of any length, so that
next to nothing of them is padding (`batching.py`). A store of pieces is written once (`piece_writing.py`), in
files that are read by number (`piece_files.py`).
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
from custom_bert.data.piece_writing import Cutting, Preparation
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.errors import DataError

FORMAT = 2

FOLDER = "corpus"
"""Of the cache."""

MAPPED = 256
"""Shards of a split that are mapped at a time; each takes one of the open files of a process."""


class Pieces:
    """The pieces of a split, by number; a `loader.TokenisedTexts`.

    Args:
        directory: of a complete store.
        split: which one.
        about: its description.
        frame: of its tokenizer.
    """

    def __init__(self, directory: Path, split: CorpusSplit, about: StoreProgress, frame: Frame) -> None:
        self.about, self.frame, shards = about, frame, about.shards(split)
        names = [shard_names(split, i) for i in range(len(shards))]
        lengths = [np.fromfile(directory / name, dtype="<i4") for _, name in names]
        self.lengths_N = np.concatenate([np.zeros(0, "<i4"), *lengths]).astype(np.int64)
        mapped = functools.partial(np.memmap, dtype=about.dtype, mode="r")
        self._ids = functools.lru_cache(MAPPED)(lambda shard: mapped(directory / names[shard][0]))
        self._first = np.cumsum([0, *map(len, lengths)])  # piece with which each shard begins
        ends = np.cumsum(self.lengths_N)
        self._start_N = ends - self.lengths_N
        self._base = [
            int(self._start_N[first]) if len(part) else 0
            for first, part in zip(self._first, lengths, strict=False)
        ]

    def __len__(self) -> int:
        return len(self.lengths_N)

    def __getitem__(self, row: int) -> np.ndarray:
        """(length,) int64 token ids, special tokens included."""
        shard = int(np.searchsorted(self._first, row, side="right")) - 1
        start = int(self._start_N[row]) - self._base[shard]
        return np.asarray(self._ids(shard)[start : start + int(self.lengths_N[row])], dtype=np.int64)

    def special(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), S) positions of the special tokens in some of the pieces; their lengths tell them."""
        return self.frame.special(self.lengths_N[rows])


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
    """Training and held-out pieces: those of an earlier run, or new ones.

    Args:
        corpus: checked.
        tokenizer: turns paragraphs into ids.
        max_length: tokens of a piece at most, special tokens included.
        held_out: share of the documents that is held out.
        seed: of which ones.
        cache: where stores are kept.
        progress: called with the bytes read and the seconds since the begin, about once a second.

    Raises:
        DataError: if a file is no longer the one that was checked, or there is too little text.
        RunError: if another process prepares the same text.
        WriteError: if no place of the cache can be written.
    """
    cutting = Cutting(corpus=corpus, tokenizer=tokenizer, max_length=max_length, held_out=held_out, seed=seed)
    identity = f"{FORMAT} {cutting.identity}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]

    def known(root: Path) -> tuple[Path, StoreProgress] | None:
        about = read_complete(root / FOLDER / name)
        return None if about is None else (root / FOLDER / name, about)

    def build(root: Path) -> tuple[Path, StoreProgress]:
        directory = cache.folder(root, FOLDER) / name

        def prepare(partial: Path) -> StoreProgress:
            return Preparation(partial, identity, cutting, progress).run()

        return directory, _build(directory, prepare)

    directory, about = cache.get(known, build)
    train, val = (Pieces(directory, split, about, tokenizer.frame) for split in SPLITS)
    if not len(train) or not len(val):
        which = "to hold some out" if len(train) else "to train on"
        raise DataError(corpus.files[0].path, f"too little text {which}; add text, or raise data.val_fraction")
    return train, val


def _build(directory: Path, prepare: Callable[[Path], StoreProgress]) -> StoreProgress:
    """Makes a store, or goes on where an earlier process stopped; one process at a time."""
    partial = directory.with_name(f"{directory.name}.partial")
    files.make_directory(partial)
    with files.locked(partial, "prepares the same text; wait for it"):
        about = read_complete(directory)  # another process may have been through meanwhile
        if about is not None:
            files.remove_directory(partial)
            return about
        files.remove_litter(partial)
        files.remove_directory(directory)
        try:
            about = prepare(partial)
        except DataError:  # the shards may hold what is no longer the text
            files.remove_directory(partial)
            raise
        files.rename_directory(partial, directory)
        return about
