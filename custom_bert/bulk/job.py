"""Labels a file: reads it, hands out its shards, records what is done, and puts the shards together.

Several machines work on one output if all of them are started with the same command (`torchrun`): rank r of n
takes every n-th shard. They need a file system that all of them see, and nothing else in common. The rank
that finishes last puts the shards together.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from custom_bert import files
from custom_bert.bulk import shards
from custom_bert.bulk.computing import Computer, Work
from custom_bert.bulk.joining import join, was_complete
from custom_bert.bulk.partial import Done, Partial, discard_if_empty, opened, part_of
from custom_bert.bulk.progress import Progress
from custom_bert.bulk.shards import Shard
from custom_bert.bulk.sources import Source
from custom_bert.bulk.workers import Ready, Report, Warned, Workers
from custom_bert.data.unknown import NAMED, OF_A_MODEL, UnknownText
from custom_bert.errors import RunError, UserError
from custom_bert.inference.chosen_model import ChosenModel
from custom_bert.phrases import counted


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes that work on a file.

    Attributes:
        processes: the largest number of processes that compute for this one; 1 if it computes itself.
        rank: the number of this process among those that were started with the same command, from 0.
        ranks: how many these are.
    """

    processes: int = 1
    rank: int = 0
    ranks: int = 1


def is_finished(out: Path, rank: int, warn: Callable[[str], None]) -> bool:
    """Returns whether nothing is left to do for an output, because a process before was killed after it.

    Args:
        out: the output.
        rank: the number of this process.
        warn: takes a line for the user.

    Raises:
        WriteError: if there is another file of that name.
    """
    if rank and out.exists() and not part_of(out).exists():
        return True  # rank 0 says that it exists, or the other ranks had nothing left to do and have ended
    if was_complete(out):
        warn(f"{out}: was complete already when the process before was ended")
        return True
    return False


def label(
    source: Source,
    out: Path,
    model: ChosenModel,
    computer: Computer,
    work: Work,
    identity: Mapping[str, str],
    team: Team,
    *,
    warn: Callable[[str], None],
    shown: bool = True,
) -> None:
    """Labels the rows of a file, or goes on where an earlier process was stopped.

    Args:
        source: the rows.
        out: the file to write, which must not exist.
        model: what computes.
        computer: the model, loaded; it computes, or is let go if other processes do.
        work: what is done with each shard. Its folder is set here.
        identity: what a run that goes on has to have been begun with.
        team: the processes that work on it.
        warn: takes a line for the user, such as a warning.
        shown: whether progress is shown.

    Raises:
        UserError: if it cannot be labelled, with what is done kept.
        KeyboardInterrupt: after Ctrl-C, with what is done kept.
        SystemExit: after SIGTERM, likewise.
    """
    with opened(out, identity, rank=team.rank, ranks=team.ranks, warn=warn) as partial:
        partial.check_computed_by(computer.by)
        run = _Run(source, out, replace(work, folder=partial.own), team, partial, warn, shown=shown)
        with _told_how_to_go_on(run):
            run.compute(model, computer)
            run.join()


class _Run:
    """One process's part of labelling a file. See `label`."""

    def __init__(
        self,
        source: Source,
        out: Path,
        work: Work,
        team: Team,
        partial: Partial,
        warn: Callable[[str], None],
        *,
        shown: bool,
    ) -> None:
        self._source, self._out, self._work, self._team = source, out, work, team
        self.partial, self._warn = partial, warn
        self.noun = source.lines.words.line
        self.progress = Progress(self.noun, self.rows_done, shown=shown)
        self._shards = self._computed = self._warned_at = 0
        self._unknown, self._warned = UnknownText(), set[str]()

    @property
    def rows_done(self) -> int:
        """The number of rows that are done, by all ranks."""
        return sum(done.rows for done, _ in self.partial.done.values())

    @property
    def ranks(self) -> int:
        """The number of processes that were started with the same command."""
        return self._team.ranks

    def compute(self, model: ChosenModel, computer: Computer) -> None:
        """Computes all shards of this rank that are not done."""
        with closing(self._reports(self._todo(), model, computer)) as reports:
            for report in reports:
                if isinstance(report, Ready):
                    self.progress.ready()
                elif isinstance(report, Warned):
                    self._warn_once(f"warning: {report.line}")
                elif isinstance(report, Done):
                    self.partial.add(report)
                    self._note(report)

    def join(self) -> None:
        """Puts the shards together if all are done, and warns of what was seen in the texts."""
        if self.ranks == 1:
            self._join()
            return
        if self._team.rank and not self._computed:
            return  # what was done before, rank 0 puts together
        try:
            self.partial.read()
            with files.locked(self.partial.path, warn=lambda line: None):
                self._join()
        except (RunError, FileNotFoundError):
            if self._out.exists() or self.partial.path.exists():
                return  # another rank puts them together at this moment, or has done so
            raise

    def _join(self) -> None:
        missing = sum(index not in self.partial.done for index in range(self._shards))
        if missing:
            self.progress.end(f"rank {self._team.rank}: {missing:,} shards of other ranks are not done yet")
            return
        rows = self.rows_done
        self._warn_of_unknown()
        for doubt in self._source.doubts():
            self.warn(f"warning: {doubt}")
        join(self.partial, self._out, self._shards)
        self.progress.end(f"{self._out}: {counted(rows, self.noun)}")

    def _warn_once(self, line: str) -> None:
        if line not in self._warned:  # several workers warn of the same
            self._warned.add(line)
            self.warn(line)

    def warn(self, line: str) -> None:
        """Prints a line for the user."""
        self.progress.clear()
        self._warn(line)

    def _todo(self) -> Iterator[Shard]:
        """Yields the shards that this rank has to compute, and checks the rows of those that are done."""
        for shard in shards.cut(self._source.read(), shards.ROWS, shards.CHARACTERS):
            self._shards = shard.index + 1
            done = self.partial.done.get(shard.index)
            if done is not None:
                self._check_input(shard, done[0])
            elif shard.index % self._team.ranks == self._team.rank:
                yield shard
        if any(index >= self._shards for index in self.partial.done):
            raise self._changed(f"has fewer {self.noun}s than are")

    def _check_input(self, shard: Shard, done: Done) -> None:
        """Raises RunError if a shard that is done was made of other rows."""
        if shard.sha256 != done.input or len(shard.texts) != done.rows:
            last = shard.start + len(shard.texts)
            raise self._changed(f"has changed in {self.noun}s {shard.start + 1:,} to {last:,}, which are")

    def _changed(self, how: str) -> RunError:
        return RunError(
            f"{self._source.lines.path}: {how} labelled already; give the file as it was, or remove "
            f"{self.partial.path} to begin anew"
        )

    def _reports(
        self, todo: Iterator[Shard], model: ChosenModel, computer: Computer
    ) -> Generator[Report, None, None]:
        """Yields what becomes of shards: in this process if it is to be one, or there is one shard alone."""
        first = list(itertools.islice(todo, 2))
        todo = itertools.chain(first, todo)
        yield from map(Warned, computer.warnings)
        if len(first) < 2 or self._team.processes == 1:
            yield from _here(computer, self._work, todo)
        else:
            computer.release()
            yield from Workers(model, self._work, self._team.processes).run(todo)

    def _note(self, done: Done) -> None:
        """Counts a shard that this process has just had computed."""
        self._computed += 1
        self.progress.add(done.rows, self._source.expected_rows())
        _add(self._unknown, done)
        if self._unknown.spoils_predictions and not self._warned_at:
            self._warn_of(self._unknown)  # early, since a file may take hours

    def _warn_of_unknown(self) -> None:
        """Warns of texts that the vocabulary does not know, with the counts of the whole file."""
        unknown = UnknownText()
        for index in range(self._shards):
            _add(unknown, self.partial.done[index][0])
        if unknown.spoils_predictions and unknown.unknown > self._warned_at:
            self._warn_of(unknown)

    def _warn_of(self, unknown: UnknownText) -> None:
        self._warned_at, lines = unknown.unknown, self._source.lines
        self.warn(f"warning: {lines.name}: {unknown.message(of=lines)}: {OF_A_MODEL}")


def _add(unknown: UnknownText, done: Done) -> None:
    """Adds the counts of a shard."""
    unknown.texts += done.rows
    unknown.characters += done.characters
    unknown.unknown += done.unknown
    unknown.mostly_unknown += done.mostly_unknown
    unknown.first = [*unknown.first, *done.first][:NAMED]


def _here(computer: Computer, work: Work, shards: Iterator[Shard]) -> Iterator[Report]:
    """Computes shards in this process, and yields what workers would report."""
    said = len(computer.warnings)
    yield Ready()
    for shard in shards:
        done = computer.compute(shard, work)
        yield from map(Warned, computer.warnings[said:])
        said = len(computer.warnings)
        yield done


@contextmanager
def _told_how_to_go_on(run: _Run) -> Iterator[None]:
    """Says after Ctrl-C, SIGTERM and errors how the run goes on, and removes its folder if nothing is
    done."""
    before = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    try:
        signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread
        before = None
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, OSError):
        if run.partial.path.exists():
            run.partial.read()  # the shard that was being recorded may count
            discard_if_empty(run.partial, run.ranks)
        if run.partial.done and run.partial.path.exists():
            kept = f"{counted(run.rows_done, run.noun)} done and kept in {run.partial.path}"
            run.warn(f"{kept}; the same command goes on there")
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
