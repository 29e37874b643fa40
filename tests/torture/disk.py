"""A model of what a power cut leaves: files and directory entries that were flushed, any part of the rest.

Every call that changes the disk is recorded. A cut after any of them leaves of each file that was written
since its last flush the old content, the new, a part of it, or zeros; and of each directory's entries that
changed since its last flush any subset of the changes, in their order. That is more than file systems in use
lose, which keep the order of some.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from custom_bert.files.system import System

Event = tuple[str, tuple[object, ...]]


@dataclass
class File:
    """Content now, and what was flushed."""

    content: bytes = b""
    flushed: bytes = b""


@dataclass
class Directory:
    """Entries now, what was flushed, and the changes since: (name, what it names from then on)."""

    entries: dict[str, File | Directory] = field(default_factory=dict)
    flushed: dict[str, File | Directory] = field(default_factory=dict)
    changes: list[dict[str, File | Directory | None]] = field(default_factory=list)

    def change(self, **named: File | Directory | None) -> None:
        """Some names get another meaning at once; None removes."""
        self.changes.append(named)
        _apply(self.entries, named)


def _apply(entries: dict[str, File | Directory], named: dict[str, File | Directory | None]) -> None:
    for name, what in named.items():
        if what is None:
            entries.pop(name, None)
        else:
            entries[name] = what


class Disk:
    """A directory's tree as it was, and the calls since.

    Attributes:
        root: the tree.
        events: the calls.
        cut_at_the_end: whether the last `materialise` lost power after the last call.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        self.cut_at_the_end = False
        self._links: dict[int, File] = {}
        self._start = self._snapshot(root)

    def _snapshot(self, path: Path) -> Directory:
        found = Directory()
        for entry in os.scandir(path):
            if entry.is_dir():
                found.entries[entry.name] = self._snapshot(Path(entry.path))
            else:
                content = Path(entry.path).read_bytes()
                file = self._links.setdefault(entry.inode(), File(content, content))
                found.entries[entry.name] = file
        found.flushed = dict(found.entries)
        return found

    def materialise(self, target: Path, random: np.random.Generator) -> Path:
        """What may be there after a power cut at a random moment."""
        self._links = {}
        top = self._snapshot_again()
        self.cut_at_the_end = bool(random.random() < 0.3)
        count = len(self.events) if self.cut_at_the_end else int(random.integers(len(self.events)))
        opened: dict[int, File | Directory] = {}
        for name, arguments in self.events[:count]:
            getattr(self, f"_{name}")(top, opened, *arguments)
        self._write(top, target, random, {})
        return target

    def _snapshot_again(self) -> Directory:
        copies: dict[int, File] = {}

        def copy(directory: Directory) -> Directory:
            made = Directory()
            for name, what in directory.flushed.items():
                if isinstance(what, File):
                    made.entries[name] = copies.setdefault(id(what), File(what.flushed, what.flushed))
                else:
                    made.entries[name] = copy(what)
            made.flushed = dict(made.entries)
            return made

        return copy(self._start)

    def _write(
        self, directory: Directory, target: Path, random: np.random.Generator, kept: dict[int, bytes]
    ) -> None:
        target.mkdir()
        entries = dict(directory.flushed)
        for named in directory.changes:
            if random.random() < 0.5:
                _apply(entries, named)
        for name, what in entries.items():
            if isinstance(what, Directory):
                self._write(what, target / name, random, kept)
            else:  # two names of a file have the same content
                content = kept.setdefault(id(what), _left_of(what, random))
                (target / name).write_bytes(content)

    def _find(self, top: Directory, path: str) -> tuple[Directory, str]:
        """The directory that holds a path's last name, and that name."""
        parts = Path(path).relative_to(self.root).parts
        for part in parts[:-1]:
            inner = top.entries[part]
            assert isinstance(inner, Directory)
            top = inner
        return top, parts[-1] if parts else ""

    def _open(
        self, top: Directory, opened: dict[int, File | Directory], fd: int, path: str, new: bool
    ) -> None:
        directory, name = self._find(top, path)
        if new:
            file = File()
            directory.change(**{name: file})
            opened[fd] = file
        else:
            opened[fd] = directory.entries[name] if name else directory

    def _write_to(self, top: Directory, opened: dict[int, File | Directory], fd: int, data: bytes) -> None:
        file = opened[fd]
        assert isinstance(file, File)
        file.content += data

    def _fsync(self, top: Directory, opened: dict[int, File | Directory], fd: int) -> None:
        what = opened[fd]
        if isinstance(what, File):
            what.flushed = what.content
        else:
            what.flushed, what.changes = dict(what.entries), []

    def _move(self, top: Directory, opened: dict[int, File | Directory], source: str, target: str) -> None:
        (directory, name), (other, new) = self._find(top, source), self._find(top, target)
        assert directory is other, "everything is renamed inside its directory"
        directory.change(**{name: None, new: directory.entries[name]})

    def _link(self, top: Directory, opened: dict[int, File | Directory], source: str, target: str) -> None:
        (directory, name), (other, new) = self._find(top, source), self._find(top, target)
        other.change(**{new: directory.entries[name]})

    def _remove(self, top: Directory, opened: dict[int, File | Directory], path: str) -> None:
        directory, name = self._find(top, path)
        directory.change(**{name: None})

    def _mkdir(self, top: Directory, opened: dict[int, File | Directory], path: str) -> None:
        directory, name = self._find(top, path)
        directory.change(**{name: Directory()})


def _left_of(file: File, random: np.random.Generator) -> bytes:
    """Of a file's content."""
    if file.content == file.flushed:
        return file.flushed
    way = random.integers(4)
    if way == 0:
        return file.flushed
    if way == 1:
        return file.content
    kept = int(random.integers(len(file.content)))
    return file.content[:kept] + (bytes(len(file.content) - kept) if way == 2 else b"")


class Recorder(System):
    """Does every call and records it.

    Args:
        disk: where to.
        without: number of the flush that is left out; -1 for none.

    Attributes:
        flushes: so far.
    """

    def __init__(self, disk: Disk, without: int = -1) -> None:
        self._disk, self._without, self.flushes = disk, without, 0

    def _note(self, name: str, *arguments: object) -> None:
        self._disk.events.append((name, arguments))

    def open(self, path: Path, flags: int) -> int:
        descriptor = super().open(path, flags)
        self._note("open", descriptor, str(path), bool(flags & os.O_CREAT))
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        count = super().write(descriptor, data)
        self._note("write_to", descriptor, bytes(data[:count]))
        return count

    def fsync(self, descriptor: int) -> None:
        if self.flushes != self._without:
            super().fsync(descriptor)
            self._note("fsync", descriptor)
        self.flushes += 1

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self._note("move", str(source), str(target))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._note("move", str(source), str(target))

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self._note("link", str(source), str(target))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._note("remove", str(path))

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        super().mkdir(path, mode)
        self._note("mkdir", str(path))

    def rmdir(self, path: Path) -> None:
        super().rmdir(path)
        self._note("remove", str(path))
