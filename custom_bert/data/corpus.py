"""Running text: UTF-8 files, plain, .gz or .zst, with one paragraph a line and a blank line between
documents.

The end of a file ends a document too. Text is streamed three times: to check and hash it, for the vocabulary,
and for the tokens. Memory does not grow with its size. The result of a check is kept in the cache, so that a
later start, or another process of the same run, need not read the text again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.data.cache import Cache
from custom_bert.data.text import LineReader, is_blank, status_of
from custom_bert.errors import DataError
from custom_bert.phrases import counted

ENDINGS = (".txt", ".txt.gz", ".txt.zst")
"""Endings of the files that are taken from a folder. A file that the user names may have any ending."""


@dataclass(frozen=True)
class Content:
    """The result of checking one file.

    Attributes:
        sha256: the SHA-256 hash of the file's content, unpacked.
        lines, documents, paragraphs, characters: how many of each the file has.
    """

    sha256: str
    lines: int
    documents: int
    paragraphs: int
    characters: int


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus, read and checked.

    Attributes:
        path: the path of the file.
        sha256: the SHA-256 hash of the file's content, unpacked.
        stored: the size of the file on disk in bytes, packed if it is.
    """

    path: str
    sha256: str
    stored: int


@dataclass(frozen=True)
class Corpus:
    """The checked files of a corpus.

    Attributes:
        files: the files, in the order in which they are read.
        documents, paragraphs, characters: how many of each all files have together.
        warnings: what a user should know of the files, one line each.
    """

    files: tuple[CorpusFile, ...]
    documents: int
    paragraphs: int
    characters: int
    warnings: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the content of all files, in order."""
        return hashlib.sha256(" ".join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def stored(self) -> int:
        """The size of all files on disk in bytes."""
        return sum(file.stored for file in self.files)

    def hashes(self) -> dict[str, str]:
        """Returns the hash by which a run recognises the corpus when it continues."""
        return {"corpus": self.sha256}

    def description(self) -> dict[str, Any]:
        """Returns sizes and hashes, for run.json."""
        return {
            "documents": self.documents,
            "paragraphs": self.paragraphs,
            "characters": self.characters,
            "files": {file.path: file.sha256 for file in self.files},
        }

    def blocks(self) -> Iterator[list[str]]:
        """Yields the lines of all files, in lists.

        Raises:
            DataError: if a file is no longer the one that was checked.
        """
        for file in self.files:
            yield from LineReader(file.path, unpack=True).blocks(file.sha256)


def read_corpus(paths: Sequence[str], cache: Cache | None = None) -> Corpus:
    """Reads and checks the files of a corpus.

    Args:
        paths: files, and folders of files.
        cache: keeps the results of checks; None to check every file again.

    Raises:
        DataError: if a path is missing, there is no text, or a file is not UTF-8 text, with the line.
        WriteError: if no place of the cache can be written.
    """
    checked: list[tuple[CorpusFile, Content]] = []
    warnings = []
    for path in find_files(paths):
        status = status_of(path)
        if status is None or not status.st_size:
            warnings.append(f"{path}: is empty")
            continue
        content = _content(path, status, cache)
        if content.documents == 0:
            warnings.append(f"{path}: holds no text")
        elif content.documents == 1 and content.lines > MANY:
            warnings.append(
                f"{path}: {counted(content.lines, 'line')} and no blank one: it is taken for one document"
            )
        checked.append((CorpusFile(str(path), content.sha256, status.st_size), content))
    documents, paragraphs, characters = (
        sum(getattr(content, name) for _, content in checked)
        for name in ("documents", "paragraphs", "characters")
    )
    if not documents:
        raise DataError(str(paths[0]), "no text; expected paragraphs, one a line")
    return Corpus(tuple(file for file, _ in checked), documents, paragraphs, characters, tuple(warnings))


def _content(path: Path, status: os.stat_result, cache: Cache | None) -> Content:
    """Returns the result of checking a file: the cached one if the file has not changed since, or a new
    one."""
    if cache is None:
        return _checked(path)
    # a file that has just been written may be written again within one tick of the file system's clock
    settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED
    name = f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"
    if not settled:
        return _checked(path)
    # if a place of the cache refuses the entry, the next one is tried, and the file is not read again for it
    checked = functools.cache(partial(_checked, path))

    def write(root: Path) -> Content:
        content, now = checked(), status_of(path)
        if now is not None and _stamp(now) == _stamp(status):
            entry = {"stamp": _stamp(status), **asdict(content)}
            files.write_json(cache.folder(root, CHECKED) / name, entry)
        return content

    return cache.get(lambda root: _cached(root / CHECKED / name, _stamp(status)), write)


def _stamp(status: os.stat_result) -> list[int]:
    """Returns the place, size and times of a file; at least one of them differs after any write.

    A program can set the time of modification back. It cannot set st_ctime_ns, which is the system's own.
    """
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _cached(entry: Path, stamp: list[int]) -> Content | None:
    """Returns the cached result for a file with this stamp; None if there is none, or it is damaged."""
    try:
        value: dict[str, Any] = files.parse_json(files.read_regular(entry))
        if value.pop("stamp") != stamp:
            return None
        content = Content(**value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    counts = (content.lines, content.documents, content.paragraphs, content.characters)
    return content if isinstance(content.sha256, str) and all(type(n) is int for n in counts) else None


def _checked(path: Path) -> Content:
    """Reads a file to its end, and counts what it holds.

    Raises:
        DataError: for the first line that cannot be used.
    """
    reader = LineReader(path, unpack=True)
    inside = False
    documents = paragraphs = characters = 0
    for block in reader.blocks():
        for line in block:
            blank = is_blank(line)
            documents += not blank and not inside  # a document begins with its first line that is not blank
            paragraphs += not blank
            inside = not blank
        characters += sum(map(len, block))
    return Content(reader.sha256, reader.num_lines, documents, paragraphs, characters)


CHECKED = "checked-2"
"""Directory of the cache for the results of checks. Its number rises when a check counts in another way."""

SETTLED = 2_000_000_000
"""Nanoseconds for which a file has to be unchanged before the result of its check is kept. File systems count
time in steps of up to two seconds."""

MANY = 10_000
"""A file with more lines than this and no blank one is worth a warning."""


def find_files(paths: Sequence[str]) -> list[Path]:
    """Returns the given files, and the files in given folders, those of a folder sorted by name.

    Raises:
        DataError: if a file is missing, can be read only once or is given twice, or a folder holds no file
            with a known ending.
    """
    selected: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.name.endswith(ENDINGS) and p.is_file())
            if not inside:
                raise DataError(name, f"the folder holds no {', '.join(ENDINGS)} file")
            selected += inside
        else:
            LineReader(path).check_repeatable()  # making the reader raises if the file is missing
            selected.append(path)
    seen: set[Path] = set()
    for path in selected:
        real = path.resolve()
        if real in seen:
            raise DataError(str(path), "is given twice")
        seen.add(real)
    return selected
