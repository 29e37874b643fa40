"""Running text: files of UTF-8, plain, .gz or .zst, with a paragraph a line and a blank line between
documents.

The end of a file ends a document too. Text is streamed, once to check and hash it, once for the vocabulary,
once for the tokens; memory does not grow with its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_bert.data.findings import counted
from custom_bert.data.text import LineReader, status_of
from custom_bert.errors import DataError

ENDINGS = (".txt", ".txt.gz", ".txt.zst")
"""Names of the files that are taken from a folder; a file that is named itself may have any."""


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
        """The lines of all files, in lists."""
        for file in self.files:
            yield from LineReader(file.path, unpack=True).blocks()


def read_corpus(paths: Sequence[str]) -> Corpus:
    """Reads and checks files, and those of folders.

    Raises:
        DataError: for a path that is missing or holds no text, and for what is no UTF-8 text, with its line.
    """
    files, warnings = [], []
    documents = paragraphs = characters = 0
    for path in find_files(paths):
        status = status_of(path)
        stored = status.st_size if status else 0
        if not stored:
            warnings.append(f"{path}: is empty")
            continue
        reader = LineReader(path, unpack=True)
        inside, found = False, 0
        for block in reader.blocks():
            for line in block:
                blank = not line or line.isspace()
                found += not blank and not inside
                paragraphs += not blank
                inside = not blank
            characters += sum(map(len, block))
        documents += found
        if found == 0:
            warnings.append(f"{path}: holds no text")
        elif found == 1 and reader.num_lines > MANY:
            warnings.append(
                f"{path}: {counted(reader.num_lines, 'line')} and no blank one: it is taken for one document"
            )
        files.append(CorpusFile(str(path), reader.sha256, stored))
    if not documents:
        raise DataError(str(paths[0]), "no text; expected paragraphs, one a line")
    return Corpus(tuple(files), documents, paragraphs, characters, tuple(warnings))


MANY = 10_000
"""Lines without a blank one that are worth a warning."""


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files themselves and those in folders, each folder's by name.

    Raises:
        DataError: if one is missing, a folder holds none, or a file stands there twice.
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
            LineReader(path)  # tells what is missing
            found.append(path)
    seen: set[Path] = set()
    for path in found:
        real = path.resolve()
        if real in seen:
            raise DataError(str(path), "is given twice")
        seen.add(real)
    return found
