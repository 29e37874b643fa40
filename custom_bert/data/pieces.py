"""Running text as token ids on disk: documents in pieces of at most max_length tokens.

A piece is one sequence of a batch: it never crosses from one document into another, and attention never
crosses from one piece into another. Batches under a token budget fill up with pieces of any length, so that
next to nothing of them is padding (`batching.py`).

A store is a directory of shards, for training and held-out text. Shards are written one after the other, each
durable before the next one begins, so that what was prepared before an interruption stays:

    train-00000.ids      every piece's token ids, uint16 or uint32, little-endian
    train-00000.lengths  int32, tokens of each piece
    held_out-00000.ids ...
    store.json           shards with their hashes, written last; until then progress.json
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from custom_bert import files
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import Corpus
from custom_bert.data.draws import uniform
from custom_bert.data.text import LineReader, is_blank
from custom_bert.data.tokenizer import EncodedTexts, TextTokenizer
from custom_bert.errors import DataError

FORMAT = 2

FOLDER = "corpus"
"""Of the cache."""

SHARD = 1 << 25
"""Tokens after which a shard is written: 64 MB of a vocabulary of at most 65,536 entries."""

GROUP = 4096
"""Lines tokenised at a time."""

LONGEST = 20_000
"""Characters of a paragraph that are tokenised at a time; a longer one is cut at a space."""

MAPPED = 256
"""Shards of a split that are mapped at a time; each takes one of the open files of a process."""

FEW = 5
"""Held-out documents below which single pieces are held out instead."""

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


class Pieces:
    """The pieces of a split, by number; a `loader.TokenisedTexts`.

    Args:
        directory: of a complete store.
        split: which one.
        about: its description.
    """

    def __init__(self, directory: Path, split: Split, about: Progress) -> None:
        self.about, shards = about, about.shards(split)
        names = [_names(split, i) for i in range(len(shards))]
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
        """(length,) int64 token ids, start and end token included."""
        shard = int(np.searchsorted(self._first, row, side="right")) - 1
        start = int(self._start_N[row]) - self._base[shard]
        return np.asarray(self._ids(shard)[start : start + int(self.lengths_N[row])], dtype=np.int64)


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
        max_length: tokens of a piece at most, the start and end token included.
        held_out: share of the documents that is held out.
        seed: of which ones.
        cache: where stores are kept.
        progress: called with the bytes read and the seconds since the begin, about once a second.

    Raises:
        DataError: if a file is no longer the one that was checked, or there is too little text.
        RunError: if another process prepares the same text.
        WriteError: if no place of the cache can be written.
    """
    identity = f"{FORMAT} {corpus.sha256} {tokenizer.sha256} {max_length} {held_out} {seed} {LONGEST}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]

    def known(root: Path) -> tuple[Path, Progress] | None:
        about = _complete(root / FOLDER / name)
        return None if about is None else (root / FOLDER / name, about)

    def build(root: Path) -> tuple[Path, Progress]:
        directory = cache.folder(root, FOLDER) / name

        def prepare(partial: Path) -> Progress:
            return _prepare(partial, identity, corpus, tokenizer, max_length, held_out, seed, progress)

        return directory, _build(directory, prepare)

    directory, about = cache.get(known, build)
    train, val = (Pieces(directory, split, about) for split in SPLITS)
    if not len(train) or not len(val):
        which = "to hold some out" if len(train) else "to train on"
        raise DataError(corpus.files[0].path, f"too little text {which}; add text, or raise data.held_out")
    return train, val


def _build(directory: Path, prepare: Callable[[Path], Progress]) -> Progress:
    """Makes a store, or goes on where an earlier process stopped; one process at a time."""
    partial = directory.with_name(f"{directory.name}.partial")
    files.make_directory(partial)
    with files.locked(partial, "prepares the same text; wait for it"):
        about = _complete(directory)  # another process may have been through meanwhile
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


def _names(split: Split, number: int) -> tuple[str, str]:
    return f"{split}-{number:05d}.ids", f"{split}-{number:05d}.lengths"


def _read(path: Path) -> Progress | None:
    """None if there is none, or it is damaged."""
    try:
        value: dict[str, Any] = files.parse_json(files.read_regular(path))
        for split in SPLITS:
            value[split] = [Shard(**shard) for shard in value[split]]
        return Progress(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _complete(directory: Path) -> Progress | None:
    """The description of a store whose files are as they were written; None if anything differs."""
    about = _read(directory / "store.json")
    return about if about is not None and about.complete and _whole(directory, about) else None


def _whole(directory: Path, about: Progress) -> bool:
    """Whether every shard's files are as they were written."""
    try:
        for split in SPLITS:
            for number, shard in enumerate(about.shards(split)):
                wanted = (shard.ids_sha256, shard.lengths_sha256)
                for file, sha256 in zip(_names(split, number), wanted, strict=True):
                    with files.open_regular(directory / file) as stream:
                        if files.sha256_of(stream) != sha256:
                            return False
    except OSError:
        return False
    return True


class _Writer:
    """Collects the pieces of a split until they are a shard's worth."""

    def __init__(self, dtype: str) -> None:
        self._dtype, self._ids, self._lengths, self.tokens = dtype, list[np.ndarray](), list[int](), 0

    def add(self, ids: np.ndarray) -> None:
        self._ids.append(ids.astype(self._dtype))
        self._lengths.append(len(ids))
        self.tokens += len(ids)

    def flush(self, directory: Path, split: Split, number: int) -> Shard | None:
        """Writes what there is."""
        if not self._ids:
            return None
        ids, lengths = _names(split, number)
        with files.writing(directory / ids) as ids_file:
            ids_file.write(np.concatenate(self._ids).tobytes())
        with files.writing(directory / lengths) as lengths_file:
            lengths_file.write(np.array(self._lengths, dtype="<i4").tobytes())
        shard = Shard(len(self._lengths), self.tokens, ids_file.sha256, lengths_file.sha256)
        self._ids, self._lengths, self.tokens = [], [], 0
        return shard


def _prepare(
    directory: Path,
    identity: str,
    corpus: Corpus,
    tokenizer: TextTokenizer,
    max_length: int,
    held_out: float,
    seed: int,
    progress: Callable[[int, float], None] | None,
) -> Progress:
    """Writes the shards that are not there yet."""
    about = _read(directory / "progress.json")
    if about is None or about.identity != identity or not _whole(directory, about):
        about = Progress(identity, "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
    writers: dict[Split, _Writer] = {split: _Writer(about.dtype) for split in SPLITS}
    by_document = corpus.documents * held_out >= FEW
    room, frame = max_length - 2, (np.array([tokenizer.cls_id]), np.array([tokenizer.sep_id]))
    pending = [np.array(about.pending, dtype=np.int64)]
    counts = {
        "held": sum(map(len, pending)),
        "pieces": sum(s.pieces for x in SPLITS for s in about.shards(x)),
    }

    @functools.lru_cache(maxsize=1)  # the pieces of a document share a number
    def split_of(number: int) -> Split:
        draw = uniform(seed, 0, np.array([number]), np.array([0]), stream=0)[0]
        return "held_out" if draw < held_out else "train"

    def emit(ids: np.ndarray) -> None:
        split = split_of(about.document if by_document else counts["pieces"])
        writers[split].add(np.concatenate([frame[0], ids, frame[1]]))
        counts["pieces"] += 1

    def take(ids: np.ndarray) -> None:
        nonlocal pending
        pending.append(ids)
        counts["held"] += len(ids)
        if counts["held"] >= room:
            whole = np.concatenate(pending)
            end = len(whole) // room * room
            for start in range(0, end, room):
                emit(whole[start : start + room])
            pending, counts["held"] = [whole[end:]], len(whole) - end

    def end_document() -> None:
        nonlocal pending
        if about.inside:
            if counts["held"]:
                emit(np.concatenate(pending))
            pending, counts["held"] = [], 0
            about.document, about.inside = about.document + 1, False

    def save(complete: bool = False) -> None:
        for split in SPLITS:
            shard = writers[split].flush(directory, split, len(about.shards(split)))
            if shard:
                about.shards(split).append(shard)
        about.pending = np.concatenate([np.zeros(0, np.int64), *pending]).tolist()
        about.complete = complete
        files.write_json(directory / ("store.json" if complete else "progress.json"), asdict(about))

    begun = last = time.perf_counter()
    read_before = sum(file.stored for file in corpus.files[: about.file])
    for paragraphs, reader, encoded in _encoded(_groups(corpus, about.file, about.line), tokenizer):
        arrays = iter(encoded.sequences)
        about.characters += int(encoded.characters_N.sum())
        about.unknown += int(encoded.unknown_N.sum())
        for parts in paragraphs:
            if not parts:
                end_document()
            for _ in parts:
                about.inside = True
                take(next(arrays))
        about.line += len(paragraphs)
        if reader is None:  # the end of a file
            end_document()
            read_before += corpus.files[about.file].stored
            about.file, about.line = about.file + 1, 0
        if max(writer.tokens for writer in writers.values()) >= SHARD:
            save()
        if progress and time.perf_counter() - last > 1:
            last = time.perf_counter()
            progress(read_before + (reader.num_bytes if reader else 0), last - begun)
    save(complete=True)
    files.remove_file(directory / "progress.json")
    return about


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
