"""Processes that compute shards. Each loads the model by itself, takes shards, and says what it has done.

They are started by spawn, so that nothing of this process is copied: a fork would take along a model that has
    computed, without its threads. A worker ends when this process does, however it ends. If a worker dies,
    the whole ends, and what is done is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from custom_bert.bulk.computing import Computer, Work
from custom_bert.bulk.partial import Done
from custom_bert.bulk.shards import Shard
from custom_bert.errors import UserError, WorkerError
from custom_bert.inference.chosen_model import ChosenModel

START = "spawn"
"""How processes are started. Tests fork, which is faster."""

AHEAD = 2
"""The number of shards that a worker has at a time: one that it computes, and the next one."""

RAYON = "RAYON_NUM_THREADS"
"""The variable by which the tokenizer takes its number of threads. It does not change what it returns."""


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its model."""


@dataclass(frozen=True)
class Failed:
    """A worker cannot go on.

    Attributes:
        message: why, for the user.
        exit_code: that of the user's error; None for a mistake in this package, whose message is a traceback.
    """

    message: str
    exit_code: int | None


@dataclass(frozen=True)
class Warned:
    """A worker warns of something, in one line."""

    line: str


Report = Ready | Failed | Warned | Done


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    ahead: set[int] = field(default_factory=set)


class Workers:
    """Processes that compute shards. Another one is only started when there is a shard that no other takes.

    Args:
        model: what computes.
        work: what is done with each shard.
        most: the largest number of processes.
    """

    def __init__(self, model: ChosenModel, work: Work, most: int) -> None:
        self._model, self._work, self._most = model, work, most
        self._workers: list[_Worker] = []
        self._context: Any = multiprocessing.get_context(START)

    def run(self, shards: Iterator[Shard]) -> Iterator[Report]:
        """Yields what the workers report: that they are ready, and each shard that is done, in any order.

        Args:
            shards: what is to be computed; read as it is needed.

        Raises:
            WorkerError: if a worker dies, or has an error that the user can correct.
        """
        try:
            for shard in shards:
                while (worker := self._free()) is None:
                    yield from self._reports()
                self._send(worker, shard)
                yield from self._reports(0.0)
            while any(worker.ahead for worker in self._workers):
                yield from self._reports()
        finally:
            self._end()

    def _free(self) -> _Worker | None:
        """Returns a worker that can take a shard; a new one if there may be more; None if all are busy."""
        idle = min(self._workers, key=lambda worker: len(worker.ahead), default=None)
        if (idle is None or idle.ahead) and len(self._workers) < self._most:
            return self._start()
        return idle if idle is not None and len(idle.ahead) < AHEAD else None

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._model, self._work)
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _send(self, worker: _Worker, shard: Shard) -> None:
        try:
            worker.connection.send(shard)
        except OSError:
            raise self._died(worker) from None
        worker.ahead.add(shard.index)

    def _reports(self, seconds: float | None = None) -> Iterator[Report]:
        """Yields what has been reported, after waiting until something is; at most so many seconds."""
        waiting = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(waiting), seconds):
            worker = waiting[connection]  # type: ignore[index]
            try:
                report: Report = worker.connection.recv()
            except (EOFError, OSError):
                raise self._died(worker) from None
            if isinstance(report, Failed):
                if report.exit_code is None:
                    raise RuntimeError(f"a worker process failed:\n{report.message}")
                raise WorkerError(report.message, report.exit_code)
            if isinstance(report, Done):
                worker.ahead.discard(report.shard)
            yield report

    def _died(self, worker: _Worker) -> WorkerError:
        """Returns the error for a worker that has ended without a word."""
        worker.process.join(10)
        code = worker.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            why = ", as the system does where memory runs out" if name == "SIGKILL" else ""
            how = f"was ended by {name}{why}"
        else:
            how = f"ended with the code {code}"
        return WorkerError(f"a worker process (number {worker.process.pid}) {how}")

    def _end(self) -> None:
        """Ends all workers at once; a shard that is not complete leaves nothing that counts."""
        for worker in self._workers:
            worker.process.kill()
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()


def _serve(connection: Connection, model: ChosenModel, work: Work) -> None:
    """Computes shards until the other process has ended. It runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the other process ends this one
    os.environ.setdefault(RAYON, "1")
    shards: queue.SimpleQueue[Shard] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, shards), daemon=True).start()
    said = 0
    try:
        computer = Computer(model)
        connection.send(Ready())
        while True:
            for line in computer.warnings[said:]:
                connection.send(Warned(line))
            said = len(computer.warnings)
            connection.send(computer.compute(shards.get(), work))
    except UserError as error:
        connection.send(Failed(str(error), error.exit_code))
    except MemoryError:
        connection.send(Failed("a worker process ran out of memory", WorkerError.exit_code))
    except BaseException:
        connection.send(Failed(traceback.format_exc(), None))


def _receive(connection: Connection, shards: queue.SimpleQueue[Any]) -> None:
    """Takes shards as they come, so that the other process need not wait; ends this one with the other."""
    try:
        while True:
            shards.put(connection.recv())
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGKILL)
