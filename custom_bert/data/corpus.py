"""Running text: files of UTF-8, plain, .gz or .zst, with a paragraph a line and a blank line between
documents.

The end of a file ends a document too. Text is streamed, once to check and hash it, once for the vocabulary,
once for the tokens; memory does not grow with its size. What a check found is kept beside the tokens, so that
a later start, or another process of the same run, need not read the text again.
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
from custom_bert.data.phrases import counted
from custom_bert.data.text import LineReader, is_blank, status_of
from custom_bert.errors import DataError

ENDINGS = (".txt", ".txt.gz", ".txt.zst")
"""Names of the files that are taken from a folder; a file that is named itself may have any."""


@dataclass(frozen=True)
class Content:
    """What a check of a file found.

    Attributes:
        sha256: of what it holds, unpacked.
        lines, documents, paragraphs, characters: of it.
    """

    sha256: str
    lines: int
    documents: int
    paragraphs: int
    characters: int


@dataclass(frozen=True)
class CorpusFile:
    """One file, read and checked.

    Attributes:
        path: of the file.
        sha256: of what it holds, unpacked.
        stored: its bytes as they are stored.
    """

    path: str
    sha256: str
    stored: int


@dataclass(frozen=True)
class Corpus:
    """Checked files.

    Attributes:
        files: in the order in which they are read.
        documents, paragraphs, characters: of all files.
        warnings: one line each.
    """

    files: tuple[CorpusFile, ...]
    documents: int
    paragraphs: int
    characters: int
    warnings: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def sha256(self) -> str:
        """Of all files' content, in order."""
        return hashlib.sha256(" ".join(file.sha256 for file in self.files).encode()).hexdigest()

    @property
    def stored(self) -> int:
        """Bytes of all files as they are stored."""
        return sum(file.stored for file in self.files)

    def hashes(self) -> dict[str, str]:
        """What makes this text this text."""
        return {"corpus": self.sha256}

    def description(self) -> dict[str, Any]:
        """Sizes and hashes, for run.json."""
        return {
            "documents": self.documents,
            "paragraphs": self.paragraphs,
            "characters": self.characters,
            "files": {file.path: file.sha256 for file in self.files},
        }

    def blocks(self) -> Iterator[list[str]]:
        """The lines of all files, in lists.

        Raises:
            DataError: if a file is no longer the one that was checked.
        """
        for file in self.files:
            yield from LineReader(file.path, unpack=True).blocks(file.sha256)


def read_corpus(paths: Sequence[str], cache: Cache | None = None) -> Corpus:
    """Reads and checks files, and those of folders.

    Args:
        paths: of files and folders.
        cache: where what a check found is kept; None to check anew.

    Raises:
        DataError: for a path that is missing or holds no text, and for what is no UTF-8 text, with its line.
        WriteError: if no place of the cache can be written.
    """
    found: list[tuple[CorpusFile, Content]] = []
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
        found.append((CorpusFile(str(path), content.sha256, status.st_size), content))
    documents, paragraphs, characters = (
        sum(getattr(content, name) for _, content in found)
        for name in ("documents", "paragraphs", "characters")
    )
    if not documents:
        raise DataError(str(paths[0]), "no text; expected paragraphs, one a line")
    return Corpus(tuple(file for file, _ in found), documents, paragraphs, characters, tuple(warnings))


def _content(path: Path, status: os.stat_result, cache: Cache | None) -> Content:
    """What a file holds: as an earlier check found it if the file is the same to the system, or read now."""
    if cache is None:
        return _checked(path)
    # of one that has just been written, another write might leave the same time
    settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED
    name = f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"
    if not settled:
        return _checked(path)
    checked = functools.cache(partial(_checked, path))  # once, in however many places it is noted in vain

    def note(root: Path) -> Content:
        found, now = checked(), status_of(path)
        if now is not None and _stamp(now) == _stamp(status):
            files.write_json(cache.folder(root, CHECKED) / name, {"stamp": _stamp(status), **asdict(found)})
        return found

    return cache.get(lambda root: _known(root / CHECKED / name, _stamp(status)), note)


def _stamp(status: os.stat_result) -> list[int]:
    """What differs after any write to a file: its place, its size, its times; the last of them is the
    system's own, which nobody sets."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _known(note: Path, stamp: list[int]) -> Content | None:
    """What was noted of a file with this stamp; None if there is nothing, or it is damaged."""
    try:
        value: dict[str, Any] = files.parse_json(files.read_regular(note))
        if value.pop("stamp") != stamp:
            return None
        found = Content(**value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    counts = (found.lines, found.documents, found.paragraphs, found.characters)
    return found if isinstance(found.sha256, str) and all(type(n) is int for n in counts) else None


def _checked(path: Path) -> Content:
    """Reads a file to its end."""
    reader = LineReader(path, unpack=True)
    inside = False
    documents = paragraphs = characters = 0
    for block in reader.blocks():
        for line in block:
            blank = is_blank(line)
            documents += not blank and not inside
            paragraphs += not blank
            inside = not blank
        characters += sum(map(len, block))
    return Content(reader.sha256, reader.num_lines, documents, paragraphs, characters)


CHECKED = "checked-2"
"""Directory of the cache that keeps what checks found; its number rises when they count otherwise."""

SETTLED = 2_000_000_000
"""Nanoseconds for which a file has to be unchanged before what was found is kept: file systems count time in
steps of up to two seconds."""

MANY = 10_000
"""Lines without a blank one that are worth a warning."""


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files themselves and those in folders, each folder's by name.

    Raises:
        DataError: if one is missing or can be read only once, a folder holds none, or a file stands there
            twice.
    """
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.name.endswith(ENDINGS) and p.is_file())
            if not inside:
                raise DataError(name, f"the folder holds no {', '.join(ENDINGS)} file")
            found += inside
        else:
            LineReader(path).check_repeatable()  # tells what is missing, too
            found.append(path)
    seen: set[Path] = set()
    for path in found:
        real = path.resolve()
        if real in seen:
            raise DataError(str(path), "is given twice")
        seen.add(real)
    return found
