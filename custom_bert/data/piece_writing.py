"""Documents become pieces: paragraphs are tokenised, cut, dealt to the two splits, and written in shards.

What is in no shard yet (the rest of the present document, and where in the corpus it ends) is written with
every shard, so that a preparation that was interrupted at any moment goes on there and writes the same bytes.
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
"""Tokens after which a shard is written: 64 MB of a vocabulary of at most 65,536 entries."""

GROUP = 4096
"""Lines tokenised at a time."""

LONGEST = 20_000
"""Characters of a paragraph that are tokenised at a time; a longer one is cut at a space."""

FEW = 5
"""Held-out documents below which single pieces are held out instead."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How a corpus becomes pieces; what is written depends on nothing else.

    Attributes:
        corpus: checked.
        tokenizer: turns paragraphs into ids.
        max_length: tokens of a piece at most, special tokens included.
        held_out: share of the documents that is held out.
        seed: of which ones.
    """

    corpus: Corpus
    tokenizer: TextTokenizer
    max_length: int
    held_out: float
    seed: int

    @property
    def identity(self) -> str:
        """What the content of a store depends on, in words that are the same in every process."""
        hashes = f"{self.corpus.sha256} {self.tokenizer.sha256}"
        return f"{hashes} {self.max_length} {self.held_out} {self.seed} {LONGEST}"

    @property
    def by_document(self) -> bool:
        """Whether whole documents are held out, or, where they are few, single pieces."""
        return self.corpus.documents * self.held_out >= FEW

    def split_of(self, number: int) -> CorpusSplit:
        """The split of a document, or of a piece, by its number."""
        draw = uniform(self.seed, 0, np.array([number]), np.array([0]), stream=0)[0]
        return "held_out" if draw < self.held_out else "train"


class Writer:
    """Collects the pieces of a split until they are a shard's worth."""

    def __init__(self, dtype: str) -> None:
        self._dtype, self._ids, self._lengths, self.tokens = dtype, list[np.ndarray](), list[int](), 0

    def add(self, ids: np.ndarray) -> None:
        """Takes a piece."""
        self._ids.append(ids.astype(self._dtype))
        self._lengths.append(len(ids))
        self.tokens += len(ids)

    def flush(self, directory: Path, split: CorpusSplit, number: int) -> Shard | None:
        """Writes a shard of what was collected; None if that is nothing."""
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


class Preparation:
    """Writes the shards of a store that are not there yet.

    Args:
        directory: of the store, where an interrupted preparation may have left shards.
        identity: of the store.
        cutting: how the corpus becomes pieces.
        progress: called with the bytes read and the seconds since the begin, about once a second.
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
        self._about = about = read_unfinished(directory, identity) or StoreProgress(identity, dtype)
        self._writers = {split: Writer(about.dtype) for split in SPLITS}
        self._pieces = about.pieces  # the number of the next one
        self._pending, self._held = [np.array(about.pending, dtype=np.int64)], len(about.pending)
        self._room = cutting.max_length - tokenizer.frame.size
        self._before = np.array(tokenizer.frame.before, dtype=np.int64)
        self._after = np.array(tokenizer.frame.after, dtype=np.int64)
        self._by_document = cutting.by_document
        self._split_of = functools.lru_cache(1)(cutting.split_of)  # a document's pieces share a number
        self._begun = self._told = time.perf_counter()

    def run(self) -> StoreProgress:
        """Reads on from where the store ends to the end of the corpus; returns the complete description."""
        about = self._about
        groups = _groups(self._cutting.corpus, about.file, about.line)
        for paragraphs, reader, encoded in _encoded(groups, self._cutting.tokenizer):
            self._take_lines(paragraphs, encoded)
            if reader is None:
                self._end_file()
            if max(writer.tokens for writer in self._writers.values()) >= SHARD:
                self._save()
            self._tell(reader.num_bytes if reader else 0)
        about.complete = True
        self._save()
        files.remove_file(self._directory / PROGRESS)
        return about

    def _take_lines(self, paragraphs: Paragraphs, encoded: EncodedTexts) -> None:
        """Takes some lines, of which a blank one ends a document."""
        about, arrays = self._about, iter(encoded.sequences)
        about.characters += int(encoded.characters_N.sum())
        about.unknown += int(encoded.unknown_N.sum())
        for parts in paragraphs:
            if not parts:
                self._end_document()
            for _ in parts:
                about.inside = True
                self._take_tokens(next(arrays))
        about.line += len(paragraphs)

    def _take_tokens(self, ids: np.ndarray) -> None:
        """Adds to the present document, and writes the full pieces that it has then."""
        self._pending.append(ids)
        self._held += len(ids)
        if self._held >= self._room:
            whole = np.concatenate(self._pending)
            end = len(whole) // self._room * self._room
            for start in range(0, end, self._room):
                self._write(whole[start : start + self._room])
            self._pending, self._held = [whole[end:]], len(whole) - end

    def _end_document(self) -> None:
        """Writes the rest of the present document as a piece, which may be short."""
        if self._about.inside:
            if self._held:
                self._write(np.concatenate(self._pending))
            self._pending, self._held = [], 0
            self._about.document += 1
            self._about.inside = False

    def _end_file(self) -> None:
        self._end_document()
        self._about.file, self._about.line = self._about.file + 1, 0

    def _write(self, ids: np.ndarray) -> None:
        """Frames a piece, and gives it to its split."""
        split = self._split_of(self._about.document if self._by_document else self._pieces)
        self._writers[split].add(np.concatenate([self._before, ids, self._after]))
        self._pieces += 1

    def _save(self) -> None:
        """Writes the shards that were collected, and only then how far the store has come."""
        about = self._about
        for split, writer in self._writers.items():
            shard = writer.flush(self._directory, split, len(about.shards(split)))
            if shard:
                about.shards(split).append(shard)
        about.pending = list(itertools.chain.from_iterable(ids.tolist() for ids in self._pending))
        about.write(self._directory)

    def _tell(self, read_of_file: int) -> None:
        """Says how much was read, about once a second."""
        now = time.perf_counter()
        if self._progress and now - self._told > 1:
            self._told = now
            before = sum(file.stored for file in self._cutting.corpus.files[: self._about.file])
            self._progress(before + read_of_file, now - self._begun)


Paragraphs = list[list[str]]
"""Of some lines, the parts of each; see `_parts`."""


def _encoded(
    groups: Iterable[tuple[list[str], LineReader | None]], tokenizer: TextTokenizer
) -> Iterator[tuple[Paragraphs, LineReader | None, EncodedTexts]]:
    """Groups of lines as paragraphs, their reader, and the ids of each part. While one is used, a thread
    encodes the next, on all cores."""
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
    """Some lines and their reader; after each file no lines and no reader.

    Args:
        corpus: of the files.
        first: the file to begin with.
        line: of that file, to begin with.

    Raises:
        DataError: if a file is no longer the one that was checked.
    """
    for number, file in enumerate(corpus.files[first:]):
        reader, skip = LineReader(file.path, unpack=True), 0 if number else line
        for block in reader.blocks(file.sha256):
            lines, skip = block[skip:], max(0, skip - len(block))
            for start in range(0, len(lines), GROUP):
                yield lines[start : start + GROUP], reader
        yield [], None


def _parts(line: str) -> list[str]:
    """A paragraph, or its parts of at most `LONGEST` characters; none of a blank line."""
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
