"""Writes the documents of a corpus as pieces: tokenised, cut, divided into the two splits, and stored in
shards.

With every shard the tokens that are in no shard yet are saved, and the place in the corpus that was reached.
So a preparation that is interrupted at any moment continues from its last shard, and writes the same bytes.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from custom_bert import files
from custom_bert.data.corpus import Corpus
from custom_bert.data.draws import uniform
from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.piece_files import (
    PROGRESS,
    SPLITS,
    CorpusSplit,
    Shard,
    StoreProgress,
    read_unfinished,
    shard_names,
)
from custom_bert.data.text import LineReader, is_blank
from custom_bert.data.tokenizer import TextTokenizer

SHARD = 1 << 25
"""The number of tokens after which a shard is written: 64 MB if the vocabulary has at most 65,536 entries."""

GROUP = 4096
"""The number of lines that are tokenised at a time."""

LONGEST = 20_000
"""The largest number of characters that are tokenised as one text. A longer paragraph is cut at a space,
because the time of a tokenizer can grow faster than the length of a text."""

FEW = 5
"""With fewer held-out documents than this, single pieces are held out instead."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """Everything that decides how a corpus becomes pieces.

    Attributes:
        corpus: the checked corpus.
        tokenizer: turns paragraphs into ids.
        max_length: the largest number of tokens of a piece, special tokens included.
        held_out: the share of the documents that is held out.
        seed: the seed that decides which documents are held out.
    """

    corpus: Corpus
    tokenizer: TextTokenizer
    max_length: int
    held_out: float
    seed: int

    @property
    def identity(self) -> str:
        """Everything that the content of a store depends on, as text that is the same in every process."""
        hashes = f"{self.corpus.sha256} {self.tokenizer.sha256}"
        return f"{hashes} {self.max_length} {self.held_out} {self.seed} {LONGEST}"

    @property
    def by_document(self) -> bool:
        """Whether whole documents are held out. If they would be few, single pieces are held out instead."""
        return self.corpus.documents * self.held_out >= FEW

    def split_of(self, number: int) -> CorpusSplit:
        """Returns the split of a document, or of a piece, by its number."""
        draw = uniform(self.seed, 0, np.array([number]), np.array([0]), stream=0)[0]
        return "held_out" if draw < self.held_out else "train"


class ShardWriter:
    """Collects the pieces of a split until they are enough for a shard.

    Args:
        dtype: the type of the token ids on disk.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype, self._ids, self._lengths, self.tokens = dtype, list[np.ndarray](), list[int](), 0

    def add(self, ids: np.ndarray) -> None:
        """Adds a piece to the next shard."""
        self._ids.append(ids.astype(self._dtype))
        self._lengths.append(len(ids))
        self.tokens += len(ids)

    def flush(self, directory: Path, split: CorpusSplit, number: int) -> Shard | None:
        """Writes the collected pieces as a shard; returns None if there are none."""
        if not self._ids:
            return None
        ids, lengths = shard_names(split, number)
        with files.writing(directory / ids) as ids_file:
            ids_file.write(np.concatenate(self._ids).tobytes())
        with files.writing(directory / lengths) as lengths_file:
            lengths_file.write(np.array(self._lengths, dtype="<i4").tobytes())
        shard = Shard(len(self._lengths), self.tokens, ids_file.sha256, lengths_file.sha256)
        self._ids, self._lengths, self.tokens = [], [], 0
        return shard


class StoreWriter:
    """Writes a store, or the shards of it that an interrupted process has not written.

    Args:
        directory: the directory of the store, where an interrupted process may have left shards.
        identity: everything that the content of the store depends on.
        cutting: how the corpus becomes pieces.
        progress: called about once a second with the bytes read and the seconds since the start.
    """

    def __init__(
        self,
        directory: Path,
        identity: str,
        cutting: Cutting,
        progress: Callable[[int, float], None] | None = None,
    ) -> None:
        tokenizer = cutting.tokenizer
        dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"
        self._directory, self._cutting, self._progress = directory, cutting, progress
        self._store = store = read_unfinished(directory, identity) or StoreProgress(identity, dtype)
        self._writers = {split: ShardWriter(store.dtype) for split in SPLITS}
        self._pieces = store.pieces  # also the number of the next piece
        # the tokens of the present document that are in no piece yet, and how many they are
        self._pending, self._num_pending = [np.array(store.pending, dtype=np.int64)], len(store.pending)
        self._room = cutting.max_length - tokenizer.frame.size
        self._before = np.array(tokenizer.frame.before, dtype=np.int64)
        self._after = np.array(tokenizer.frame.after, dtype=np.int64)
        self._by_document = cutting.by_document
        self._split_of = functools.lru_cache(1)(cutting.split_of)  # all pieces of a document ask the same
        self._started = self._reported = time.perf_counter()

    def run(self) -> StoreProgress:
        """Reads the corpus from where the store ends, writes the missing shards, and returns the final state.

        Raises:
            DataError: if a file has changed since it was checked.
            WriteError: if the system refuses to write.
        """
        store = self._store
        groups = _groups(self._cutting.corpus, store.file, store.line)
        for paragraphs, reader, encoded in _encoded(groups, self._cutting.tokenizer):
            self._take_lines(paragraphs, encoded)
            if reader is None:
                self._end_file()
            if max(writer.tokens for writer in self._writers.values()) >= SHARD:
                self._save()
            self._report(reader.num_bytes if reader else 0)
        store.complete = True
        self._save()
        files.remove_file(self._directory / PROGRESS)
        return store

    def _take_lines(self, paragraphs: Paragraphs, encoded: EncodedTexts) -> None:
        """Adds some lines to the present document. A blank line ends it."""
        store, arrays = self._store, iter(encoded.sequences)
        store.characters += int(encoded.characters_N.sum())
        store.unknown += int(encoded.unknown_N.sum())
        for parts in paragraphs:
            if not parts:
                self._end_document()
            for _ in parts:
                store.inside = True
                self._take_tokens(next(arrays))
        store.line += len(paragraphs)

    def _take_tokens(self, ids: np.ndarray) -> None:
        """Adds tokens to the present document, and writes the pieces that are full now."""
        self._pending.append(ids)
        self._num_pending += len(ids)
        if self._num_pending >= self._room:
            whole = np.concatenate(self._pending)
            end = len(whole) // self._room * self._room
            for start in range(0, end, self._room):
                self._write(whole[start : start + self._room])
            self._pending, self._num_pending = [whole[end:]], len(whole) - end

    def _end_document(self) -> None:
        """Writes the last tokens of the present document as a piece, which may be short."""
        if self._store.inside:
            if self._num_pending:
                self._write(np.concatenate(self._pending))
            self._pending, self._num_pending = [], 0
            self._store.document += 1
            self._store.inside = False

    def _end_file(self) -> None:
        self._end_document()
        self._store.file, self._store.line = self._store.file + 1, 0

    def _write(self, ids: np.ndarray) -> None:
        """Puts special tokens around a piece, and gives it to the writer of its split."""
        split = self._split_of(self._store.document if self._by_document else self._pieces)
        self._writers[split].add(np.concatenate([self._before, ids, self._after]))
        self._pieces += 1

    def _save(self) -> None:
        """Writes the collected shards, and then the state, which must never name a shard that is not on
        disk."""
        store = self._store
        for split, writer in self._writers.items():
            shard = writer.flush(self._directory, split, len(store.shards(split)))
            if shard:
                store.shards(split).append(shard)
        store.pending = list(itertools.chain.from_iterable(ids.tolist() for ids in self._pending))
        store.write(self._directory)

    def _report(self, read_of_file: int) -> None:
        """Reports how many bytes of the corpus were read, about once a second."""
        now = time.perf_counter()
        if self._progress and now - self._reported > 1:
            self._reported = now
            before = sum(file.stored for file in self._cutting.corpus.files[: self._store.file])
            self._progress(before + read_of_file, now - self._started)


Paragraphs = list[list[str]]
"""The parts of each of some lines; see `_parts`."""


def _encoded(
    groups: Iterable[tuple[list[str], LineReader | None]], tokenizer: TextTokenizer
) -> Iterator[tuple[Paragraphs, LineReader | None, EncodedTexts]]:
    """Yields groups of lines as paragraphs, the reader of each group, and the ids of each part.

    While one group is used, a thread encodes the next one. The tokenizers library uses all cores for it.
    """
    with ThreadPoolExecutor(1) as pool:
        before: tuple[Paragraphs, LineReader | None, Future[EncodedTexts]] | None = None
        for lines, reader in groups:
            paragraphs = [_parts(line) for line in lines]
            encoding = pool.submit(tokenizer.encode_plain, list(itertools.chain(*paragraphs)))
            if before is not None:
                yield before[0], before[1], before[2].result()
            before = paragraphs, reader, encoding
        if before is not None:
            yield before[0], before[1], before[2].result()


def _groups(corpus: Corpus, first: int, line: int) -> Iterator[tuple[list[str], LineReader | None]]:
    """Yields groups of lines and their reader. An empty group without a reader marks the end of each file.

    Args:
        corpus: the corpus with the files.
        first: the index of the file to begin with.
        line: the index of the line to begin with in this file.

    Raises:
        DataError: if a file has changed since it was checked.
    """
    for number, file in enumerate(corpus.files[first:]):
        reader, skip = LineReader(file.path, unpack=True), 0 if number else line
        for block in reader.blocks(file.sha256):
            lines, skip = block[skip:], max(0, skip - len(block))
            for start in range(0, len(lines), GROUP):
                yield lines[start : start + GROUP], reader
        yield [], None


def _parts(line: str) -> list[str]:
    """Returns a paragraph, or its parts of at most `LONGEST` characters; nothing for a blank line."""
    if is_blank(line):
        return []
    if len(line) <= LONGEST:
        return [line]
    parts = []
    while len(line) > LONGEST:
        at = line.rfind(" ", LONGEST // 2, LONGEST)
        at = LONGEST if at < 0 else at + 1
        parts.append(line[:at])
        line = line[at:]
    return [*parts, line] if line else parts
