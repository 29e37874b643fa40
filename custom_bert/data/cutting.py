"""Documents cut into pieces and written as shards; an interrupted preparation goes on where it was.

Each document's tokens are cut into pieces of `max_length`, of which the last one is what remains. How far it
has come is written after each shard (`shards.py`), with the tokens that are in no piece yet.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from custom_bert import files
from custom_bert.data.corpus import Corpus
from custom_bert.data.draws import uniform
from custom_bert.data.shards import (
    SPLITS,
    UNTIL_THEN,
    Progress,
    ShardWriter,
    Split,
    is_whole,
    read_progress,
    write_progress,
)
from custom_bert.data.text import LineReader, is_blank
from custom_bert.data.tokenizer import EncodedTexts, TextTokenizer

SHARD = 1 << 25
"""Tokens after which a shard is written: 64 MB of a vocabulary of at most 65,536 entries."""

GROUP = 4096
"""Lines tokenised at a time."""

LONGEST = 20_000
"""Characters of a paragraph that are tokenised at a time; a longer one is cut at a space."""

FEW = 5
"""Held-out documents below which single pieces are held out instead."""


def write_store(
    directory: Path,
    identity: str,
    corpus: Corpus,
    tokenizer: TextTokenizer,
    max_length: int,
    held_out: float,
    seed: int,
    progress: Callable[[int, float], None] | None,
) -> Progress:
    """Writes the shards of a store that are not there yet.

    Args:
        directory: of the store; nobody else writes into it.
        identity: what its content depends on.
        corpus: checked.
        tokenizer: turns paragraphs into ids.
        max_length: tokens of a piece at most, the start and end token included.
        held_out: share of the documents that is held out.
        seed: of which ones.
        progress: called with the bytes read and the seconds since the begin, about once a second.

    Raises:
        DataError: if a file is no longer the one that was checked.
        WriteError: if the system refuses.
    """
    about = read_progress(directory / UNTIL_THEN)
    if about is None or about.identity != identity or not is_whole(directory, about):
        about = Progress(identity, "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    by_document = corpus.documents * held_out >= FEW
    cut = _Cutting(directory, about, tokenizer, max_length, _Draw(held_out, seed), by_document)
    begun = last = time.perf_counter()
    read_before = sum(file.stored for file in corpus.files[: about.file])
    for paragraphs, reader, encoded in _encoded(_groups(corpus, about.file, about.line), tokenizer):
        cut.take_lines(paragraphs, encoded)
        if reader is None:  # the end of a file
            cut.end_document()
            read_before += corpus.files[about.file].stored
            about.file, about.line = about.file + 1, 0
        if cut.largest >= SHARD:
            cut.save()
        if progress and time.perf_counter() - last > 1:
            last = time.perf_counter()
            progress(read_before + (reader.num_bytes if reader else 0), last - begun)
    about.complete = True
    cut.save()
    files.remove_file(directory / UNTIL_THEN)
    return about


class _Draw:
    """Which documents, or pieces, are held out: of each number the same in every run."""

    def __init__(self, held_out: float, seed: int) -> None:
        self._held_out, self._seed = held_out, seed
        self._last: tuple[int, Split] = (-1, "train")

    def __call__(self, number: int) -> Split:
        if self._last[0] != number:  # the pieces of a document share a number
            draw = uniform(self._seed, 0, np.array([number]), np.array([0]), stream=0)[0]
            self._last = (number, "held_out" if draw < self._held_out else "train")
        return self._last[1]


class _Cutting:
    """Takes documents line by line, and has their tokens written in pieces.

    Args:
        directory: where shards are written.
        about: how far it has come; kept up to date.
        tokenizer: whose start and end tokens frame each piece.
        max_length: tokens of a piece, these two included.
        draw: the split of a number.
        by_document: whether that is a document's number, or a piece's.
    """

    def __init__(
        self,
        directory: Path,
        about: Progress,
        tokenizer: TextTokenizer,
        max_length: int,
        draw: Callable[[int], Split],
        by_document: bool,
    ) -> None:
        self._directory, self._about, self._draw, self._by_document = directory, about, draw, by_document
        self._writers: dict[Split, ShardWriter] = {split: ShardWriter(about.dtype) for split in SPLITS}
        self._room = max_length - 2
        self._start, self._end = np.array([tokenizer.cls_id]), np.array([tokenizer.sep_id])
        self._pending = [np.array(about.pending, dtype=np.int64)]  # of this document, in no piece yet
        self._held = len(about.pending)
        self._pieces = sum(shard.pieces for split in SPLITS for shard in about.shards(split))

    @property
    def largest(self) -> int:
        """Tokens of the split that has most of them in no shard yet."""
        return max(writer.tokens for writer in self._writers.values())

    def take_lines(self, paragraphs: Paragraphs, encoded: EncodedTexts) -> None:
        """Some lines more, of which a blank one ends a document."""
        about, arrays = self._about, iter(encoded.sequences)
        about.characters += int(encoded.characters_N.sum())
        about.unknown += int(encoded.unknown_N.sum())
        for parts in paragraphs:
            if not parts:
                self.end_document()
            for _ in parts:
                about.inside = True
                self._take(next(arrays))
        about.line += len(paragraphs)

    def end_document(self) -> None:
        """What remains of the document is its last piece."""
        if self._about.inside:
            if self._held:
                self._emit(np.concatenate(self._pending))
            self._pending, self._held = [], 0
            self._about.document, self._about.inside = self._about.document + 1, False

    def save(self) -> None:
        """Makes shards of the pieces so far, then says so."""
        about = self._about
        for split in SPLITS:
            shard = self._writers[split].flush(self._directory, split, len(about.shards(split)))
            if shard:
                about.shards(split).append(shard)
        about.pending = np.concatenate([np.zeros(0, np.int64), *self._pending]).tolist()
        write_progress(self._directory, about)

    def _take(self, ids: np.ndarray) -> None:
        """Tokens of the present document."""
        self._pending.append(ids)
        self._held += len(ids)
        if self._held >= self._room:
            whole = np.concatenate(self._pending)
            end = len(whole) // self._room * self._room
            for start in range(0, end, self._room):
                self._emit(whole[start : start + self._room])
            self._pending, self._held = [whole[end:]], len(whole) - end

    def _emit(self, ids: np.ndarray) -> None:
        """One piece, framed."""
        split = self._draw(self._about.document if self._by_document else self._pieces)
        self._writers[split].add(np.concatenate([self._start, ids, self._end]))
        self._pieces += 1


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
