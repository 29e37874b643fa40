"""The folder FILE.part, in which the output FILE grows.

    state.json          what the run was begun with: the model, the options, the versions
    computed_by.json    the device and the library that computed the first shard
    0-of-1/             what one process has done: rank 0 of 1
        done.jsonl      a line for each of its shards, written after the shard is durable
        00000000        the first shard: a part of FILE, byte for byte (for Parquet, a small file of its own)
    whole               all shards together, before they get the name FILE

A shard counts if it has its line and its size. A line that a kill cut short is dropped, and its shard is
computed again. Processes never write into each other's folders, and each holds a lock on its own.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.bulk.identity import check_same
from custom_bert.errors import RunError, WriteError

STATE, COMPUTED_BY, DONE, WHOLE = "state.json", "computed_by.json", "done.jsonl", "whole"

FORMAT = "custom-bert-part/1"

RANK_FOLDER = re.compile(r"\d+-of-\d+")

LARGEST_LOG = 1 << 32
"""The most bytes that a list of shards may have."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A shard that is complete.

    Attributes:
        shard: its index.
        rows: the number of its rows.
        input: the hash of these rows.
        size: the number of its bytes.
        sha256: the hash of its bytes.
        characters, unknown, mostly_unknown, first: what the vocabulary knows of its texts; see
            `data.unknown.UnknownText`. `first` has indices of rows of the whole file.
    """

    shard: int
    rows: int
    input: str
    size: int
    sha256: str
    characters: int = 0
    unknown: int = 0
    mostly_unknown: int = 0
    first: tuple[int, ...] = ()


def part_of(out: Path) -> Path:
    """Returns the folder in which an output grows."""
    return out.with_name(f"{out.name}.part")


def shard_name(index: int) -> str:
    """Returns the name of a shard's file."""
    return f"{index:08d}"


class Partial:
    """The folder of an output, held by one process. `opened` makes it.

    Attributes:
        path: the folder.
        own: the folder in it that this process writes.
        done: the shards that are complete, by index, with their files.
    """

    def __init__(self, path: Path, own: Path, warn: Callable[[str], None]) -> None:
        self.path, self.own, self._warn = path, own, warn
        self.done: dict[int, tuple[Done, Path]] = {}
        self._log: files.LineLog | None = None
        self.read()

    def read(self) -> None:
        """Reads which shards are complete, of all processes.

        Raises:
            RunError: if a list of shards is damaged.
        """
        self.done = {}
        for folder in sorted(self.path.iterdir()):
            if RANK_FOLDER.fullmatch(folder.name):
                self._read(folder)

    def add(self, done: Done) -> None:
        """Notes that a shard is complete. Its file has to be durable."""
        if self._log is None:
            log = self.own / DONE
            self._log = files.LineLog(log, keep=_whole_lines(log))
        self._log.write(asdict(done))
        self._log.sync()
        self.done[done.shard] = (done, self.own / shard_name(done.shard))

    def close(self) -> None:
        """Closes the list of shards."""
        if self._log is not None:
            self._log.close()

    def check_computed_by(self, found: Mapping[str, str]) -> None:
        """Checks that shards are computed by what computed the first of them, and notes it there.

        Raises:
            RunError: if it is another device or library.
        """
        path = self.path / COMPUTED_BY
        if not path.exists():
            files.write_json(path, dict(found))
        check_same(self.path, _strings(path), found)

    def _read(self, folder: Path) -> None:
        """Reads which shards of one process are complete."""
        try:
            content = files.read_at_most(folder / DONE, LARGEST_LOG) if (folder / DONE).exists() else b""
        except OSError as error:
            raise RunError(f"{folder / DONE}: cannot read: {error.strerror}") from error
        lost = 0
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                done = _record(files.parse_json(line))
            except ValueError as error:
                raise _damaged(self.path, f"{folder.name}/{DONE}:{number} is no record of a shard") from error
            path = folder / shard_name(done.shard)
            if path.is_file() and path.stat().st_size == done.size:
                self.done[done.shard] = (done, path)
            else:
                lost += 1
        if lost:
            some, their = ("1 shard is", "its") if lost == 1 else (f"{lost:,} shards are", "their")
            self._warn(f"{folder}: {some} missing or cut short; {their} rows are labelled again")


def _record(value: Any) -> Done:
    """Returns what a line says of a shard; raises ValueError if it is no such line."""
    names = {one.name: one.type for one in fields(Done)}
    if not isinstance(value, dict) or not value.keys() <= names.keys():
        raise ValueError("other names than those of a shard")
    given = {**value, "first": tuple(value.get("first", ()))}
    for name, one in given.items():
        if names[name] == "str":
            fits = isinstance(one, str)
        else:
            fits = all(type(number) is int and number >= 0 for number in (one if name == "first" else (one,)))
        if not fits:
            raise ValueError(f"{name} has no such value")
    try:
        return Done(**given)
    except TypeError as error:
        raise ValueError(str(error)) from error


@contextmanager
def opened(
    out: Path, identity: Mapping[str, str], *, rank: int, ranks: int, warn: Callable[[str], None]
) -> Iterator[Partial]:
    """Yields the folder of an output, which is made if it is not there, and holds it for this process.

    Args:
        out: the output.
        identity: what the run is begun with, or has to have been begun with.
        rank: the number of this process, from 0.
        ranks: the number of processes that work on the output, on this machine and others.
        warn: takes a warning, in one line.

    Raises:
        RunError: if the run was begun with something else, another process works on it, or it is damaged.
        WriteError: if the system refuses.
    """
    path = part_of(out)
    _make(path, identity, alone=ranks == 1)
    check_same(path, _identity(path), identity)
    own = path / f"{rank}-of-{ranks}"
    files.make_directory(own)
    with ExitStack() as stack:
        stack.enter_context(files.locked(own, OCCUPATION, warn=warn))
        _check_alone(path, ranks)
        files.remove_litter(own)
        partial = Partial(path, own, warn)
        stack.callback(partial.close)
        yield partial


OCCUPATION = "labels into it; wait for it, or choose another --out"


def discard_if_empty(partial: Partial, ranks: int) -> None:
    """Removes the folder of an output of which nothing is done, if no other process works on it."""
    if ranks == 1 and not partial.done:
        files.remove_directory(partial.path)


def _make(path: Path, identity: Mapping[str, str], *, alone: bool) -> None:
    """Makes the folder of an output, with what it is begun with. One that is there stays.

    Args:
        path: the folder.
        identity: what it is begun with.
        alone: whether no other process may be making it at this moment.
    """
    if path.is_dir():
        return
    for litter in path.parent.glob(f".{glob.escape(path.name)}.*") if alone else ():
        if files.LITTER.fullmatch(litter.name):  # of a process that was killed while it made the folder
            files.remove_directory(litter)
    if path.exists():
        raise WriteError(f"{path}: is in the way, and no folder; move it, or choose another --out")
    try:
        with files.new_directory(path) as folder:
            files.write_json(folder / STATE, {"format": FORMAT, "begun with": dict(identity)})
    except WriteError:
        if not (path / STATE).exists():  # otherwise another process has made it meanwhile
            raise


def _identity(path: Path) -> dict[str, str]:
    """Returns what an output was begun with."""
    if not (path / STATE).is_file():
        raise RunError(
            f"{path}: no partial output of this program, which would have a {STATE}; choose another --out"
        )
    try:
        state = files.read_run_json(path, STATE)
    except RunError as error:
        raise _damaged(path, f"{STATE} cannot be read") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise _damaged(path, f"{STATE} has another format than {FORMAT}")
    return _checked(path, STATE, state.get("begun with"))


def _strings(path: Path) -> dict[str, str]:
    """Returns an object of strings from a file."""
    try:
        return _checked(path.parent, path.name, files.read_run_json(path.parent, path.name))
    except RunError as error:
        raise _damaged(path.parent, f"{path.name} cannot be read") from error


def _checked(folder: Path, name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise _damaged(folder, f"{name} is no object of texts")
    return value


def _damaged(path: Path, what: str) -> RunError:
    return RunError(f"{path}: damaged: {what}; remove {path} to begin anew")


def _check_alone(path: Path, ranks: int) -> None:
    """Raises RunError if processes of another number work on the output."""
    for folder in path.iterdir():
        if RANK_FOLDER.fullmatch(folder.name) and not folder.name.endswith(f"-of-{ranks}"):
            with files.locked(folder, OCCUPATION, warn=lambda line: None):
                pass


def _whole_lines(log: Path) -> int:
    """Returns the number of bytes up to the end of the last whole line."""
    return files.read_at_most(log, LARGEST_LOG).rfind(b"\n") + 1 if log.exists() else 0
