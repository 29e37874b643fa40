"""Joins requests: what waits is computed together by one thread, and each request gets its own answers.

Nothing waits for company. While one batch is computed, requests gather, and the next batch takes them in the
order in which they came, up to a budget of characters. A request that is larger than the budget is computed
in parts, and goes to the end of the queue after each, behind all that came meanwhile.

The queue is bounded in requests and in characters. `Joiner` knows nothing of HTTP and nothing of models.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

Compute = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""Returns one answer for each of some items of one kind, in their order."""


class QueueFullError(Exception):
    """There is no room in the queue for another request."""


class ClosedError(Exception):
    """The queue takes no more requests, because the server ends or its computing thread has failed."""


class OverdueError(Exception):
    """A request has waited too long.

    Args:
        begun: whether its computation had begun.
    """

    def __init__(self, *, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


@dataclass(eq=False, slots=True)
class Job:
    """A request that waits for its answers.

    Attributes:
        kind: what is to be computed. Neighbours of one kind in a batch are computed in one call.
        items: what it is to be computed for.
        sizes: the characters that each item counts.
        deadline: the time by which it has to be answered.
        target: whatever the receiver of the answers needs; unused here.
        answers: the answers so far, in the order of the items.
        error: why there are no answers.
        finished: whether it was handed to the receiver, or was given up.
    """

    kind: Hashable
    items: Sequence[Any]
    sizes: Sequence[int]
    deadline: float
    target: Any = None
    answers: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    finished: bool = False
    begun: int = 0

    @property
    def size(self) -> int:
        """The characters of all items."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Part:
    """The items `start` to `end` of a job, which are computed in one batch."""

    job: Job
    start: int
    end: int

    @property
    def items(self) -> Sequence[Any]:
        """The items."""
        return self.job.items[self.start : self.end]


class Joiner:
    """A bounded queue and the thread that computes what is in it.

    Args:
        compute: computes items of one kind.
        deliver: takes jobs that are finished. The computing thread calls it, once for each batch.
        budget: the characters of a batch. An item that is larger makes a batch alone.
        most_jobs: the largest number of jobs that are not finished.
        most_characters: the largest number of their characters; a single job may have more.
        clock: the time in seconds, which deadlines refer to.
        measured: takes the number of items and the seconds of each batch.

    Attributes:
        accepted: the number of jobs that were accepted so far.
    """

    def __init__(
        self,
        compute: Compute,
        deliver: Callable[[list[Job]], None],
        *,
        budget: int,
        most_jobs: int,
        most_characters: int,
        clock: Callable[[], float] = time.monotonic,
        measured: Callable[[int, float], None] = lambda items, seconds: None,
    ) -> None:
        self._compute, self._deliver, self._budget = compute, deliver, budget
        self._most_jobs, self._most_characters = most_jobs, most_characters
        self._clock, self._measured = clock, measured
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._open: dict[Job, int] = {}  # the jobs that are not finished, with their sizes
        self._characters = 0
        self._closed = False
        self.accepted = 0

    @property
    def jobs(self) -> int:
        """The number of jobs that are not finished."""
        return len(self._open)

    @property
    def characters(self) -> int:
        """The characters of the jobs that are not finished."""
        return self._characters

    @property
    def closed(self) -> bool:
        """Whether it takes no more jobs."""
        return self._closed

    def put(self, job: Job) -> None:
        """Accepts a job: it will be handed to the receiver once, with answers or an error.

        Raises:
            QueueFullError: if there is no room for it.
            ClosedError: if no more jobs are taken.
        """
        size = job.size
        with self._changed:
            if self._closed:
                raise ClosedError
            full = self._open and self._characters + size > self._most_characters
            if full or len(self._open) >= self._most_jobs:
                raise QueueFullError
            self._open[job] = size
            self._characters += size
            self.accepted += 1
            self._waiting.append(job)
            self._changed.notify()

    def give_up(self, job: Job) -> None:
        """Leaves out a job that nobody waits for any more."""
        with self._changed:
            self._finish(job)

    def overdue(self) -> list[Job]:
        """Gives up the jobs whose deadlines are over, and returns them with their errors."""
        now = self._clock()
        with self._changed:
            late = [job for job in self._open if job.deadline <= now]
            for job in late:
                job.error = OverdueError(begun=job.begun > 0)
                self._finish(job)
        return late

    def close(self) -> None:
        """Takes no more jobs. `run` returns when all that were accepted are finished."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Computes until `close` was called and nothing waits. It is what the computing thread does."""
        try:
            while parts := self._next():
                self._answer(parts)
        except BaseException as error:
            self._fail(error)
            raise

    def _next(self) -> list[Part]:
        """Waits for jobs, and takes the parts of the next batch; none at the end."""
        with self._changed:
            while True:
                if parts := self._taken():
                    return parts
                if self._closed:
                    return []
                self._changed.wait()

    def _taken(self) -> list[Part]:
        """Takes what fits into the budget, in the order of the queue."""
        parts: list[Part] = []
        room = self._budget
        while self._waiting:
            job = self._waiting[0]
            if job.finished:
                self._waiting.popleft()
                continue
            start = end = job.begun
            while end < len(job.items) and (job.sizes[end] <= room or not (parts or end > start)):
                room -= job.sizes[end]
                end += 1
            if end == start and job.items:
                break
            self._waiting.popleft()
            parts.append(Part(job, start, end))
            job.begun = end
            if end < len(job.items):
                break
        return parts

    def _answer(self, parts: list[Part]) -> None:
        """Computes a batch and hands over the jobs that it completes."""
        began = self._clock()
        for kind, same in groupby(sorted(parts, key=_by_kind), key=lambda part: part.job.kind):
            self._computed(kind, list(same))
        self._measured(sum(part.end - part.start for part in parts), self._clock() - began)
        complete = []
        with self._changed:
            for part in parts:
                job = part.job
                if not job.finished and (job.error is not None or len(job.answers) == len(job.items)):
                    self._finish(job)
                    complete.append(job)
                elif not job.finished:
                    self._waiting.append(job)  # behind those that came meanwhile
        if complete:
            self._deliver(complete)

    def _computed(self, kind: Any, parts: list[Part]) -> None:
        """Computes parts of one kind together; if that fails, each alone, so that one cannot spoil others."""
        items = [item for part in parts for item in part.items]
        try:
            answers = list(self._compute(kind, items))
            if len(answers) != len(items):
                raise AssertionError(f"{len(answers)} answers for {len(items)} items")
        except Exception as error:
            if len(parts) == 1:
                parts[0].job.error = error
            else:
                for part in parts:
                    self._computed(kind, [part])
            return
        at = 0
        for part in parts:
            count = part.end - part.start
            part.job.answers += answers[at : at + count]
            at += count

    def _finish(self, job: Job) -> None:
        """Takes a job off the books; `self._changed` is held."""
        job.finished = True
        self._characters -= self._open.pop(job, 0)

    def _fail(self, error: BaseException) -> None:
        """Refuses all that waits, because the computing thread cannot go on."""
        with self._changed:
            self._closed = True
            lost = list(self._open)
            for job in lost:
                job.error = error
                self._finish(job)
        self._deliver(lost)


def _by_kind(part: Part) -> str:
    return str(part.job.kind)
