"""Between the loop and the computing thread: requests wait here, and their answers come back here.

The loop reads and writes for all clients, and must never wait for a computation. The computing thread must
never wait for a client. An explanation, which asks for many texts and then does arithmetic, has a thread of
its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from custom_bert.server.bodies import AskedWords
from custom_bert.server.joining import ClosedError, Job, Joiner, OverdueError, QueueFullError
from custom_bert.server.limits import BUDGET, OVERHEAD, Limits, RefusalError
from custom_bert.server.measures import Measures
from custom_bert.server.serving import Kind, Offer

Scope = dict[str, Any]

TICK = 0.25
"""Seconds between two looks for requests that have waited too long."""

GONE = "custom_bert.gone"
"""The key of a scope beneath which the connection finds whom to tell that the client went away."""


EXPLAINING = 16
"""The largest number of explanations at one time. Each is as much work as many predictions."""

Waiting = asyncio.Future[Sequence[Any]] | Future[Sequence[Any]]
"""What waits for the answers of a job: a request in the loop, or a thread that explains."""


class ClientGoneError(Exception):
    """The client went away before it was answered."""


class Computing:
    """The queue, its thread, and what waits for them.

    Args:
        offer: what is computed.
        limits: the most that is taken on.
        measures: counts.
        failed: takes an error that ends the computing thread.
        clock: the time in seconds.

    Attributes:
        joiner: the queue.
    """

    def __init__(
        self,
        offer: Offer,
        limits: Limits,
        measures: Measures,
        *,
        failed: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._offer, self._limits, self._measures = offer, limits, measures
        self._failed, self._clock = failed, clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._explaining = 0
        self._explainers = ThreadPoolExecutor(2, "explaining")
        self._thread = threading.Thread(target=self._run, name="computing", daemon=True)
        self._watching: asyncio.Task[None] | None = None
        self.joiner = Joiner(
            offer.compute,
            self._deliver,
            budget=BUDGET,
            most_jobs=limits.queue,
            most_characters=limits.waiting_characters,
            clock=clock,
            measured=measures.batch,
        )

    def start(self) -> None:
        """Starts to compute for the loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._watching = asyncio.create_task(self._watch())

    async def end(self) -> None:
        """Takes no more requests, and waits until all that were accepted are finished."""
        self.joiner.close()
        while self._thread.is_alive():
            await asyncio.sleep(0.01)
        if self._watching is not None:
            self._watching.cancel()
        self._explainers.shutdown(wait=False)

    async def answers(
        self, scope: Scope, kind: Kind, items: Sequence[Any], sizes: Sequence[int]
    ) -> Sequence[Any]:
        """Returns the answers of some items, from the computing thread."""
        if not items:
            return []
        loop = self._loop
        assert loop is not None, "the application was not started"
        future: asyncio.Future[Sequence[Any]] = loop.create_future()
        job = self._put(kind, items, sizes, future)
        scope[GONE] = lambda: self._gone(job)
        with self._lateness():
            answers = await future
        self._measures.answered += 1
        self._measures.texts(scope["path"], len(items))
        return answers

    async def explanation(self, scope: Scope, asked: AskedWords) -> dict[str, Any]:
        """Returns an explanation, as JSON holds it.

        Raises:
            RefusalError: if there are too many at a time, it is too late, or the label is unknown.
        """
        if self._explaining >= EXPLAINING:
            raise RefusalError(429, "too many explanations are on their way; try again", retry_after=1)
        self._explaining += 1
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._explainers, self._explained, asked)
        finally:
            self._explaining -= 1
        self._measures.answered += 1
        self._measures.texts(scope["path"], 1)
        return answer

    async def load_vectors(self) -> None:
        """Loads the encoder for vectors, if that has not been done, beside what is computed.

        Raises:
            RefusalError: if it takes too long for this request; it goes on for the next.
        """
        if not self._offer.vectors_loaded:
            loading = asyncio.get_running_loop().run_in_executor(None, self._offer.load_vectors)
            try:
                await asyncio.wait_for(asyncio.shield(loading), self._limits.seconds)
            except TimeoutError:
                line = "the encoder for vectors is still being loaded"
                raise RefusalError(503, line, retry_after=5) from None

    def _explained(self, asked: AskedWords) -> dict[str, Any]:
        """Returns an explanation. It waits for the computing thread, and so has a thread of its own."""

        def compute(texts: list[str]) -> Sequence[Any]:
            future: Future[Sequence[Any]] = Future()
            self._put(Kind.SCORES, texts, [len(text) + OVERHEAD for text in texts], future)
            with self._lateness():
                return future.result()

        return self._offer.explain(asked, compute)

    def _put(self, kind: Kind, items: Sequence[Any], sizes: Sequence[int], target: Waiting) -> Job:
        """Puts items into the queue.

        Raises:
            RefusalError: if there is no room, or the server is ending.
        """
        job = Job(kind, items, sizes, self._clock() + self._limits.seconds, target)
        try:
            self.joiner.put(job)
        except QueueFullError:
            raise RefusalError(429, "the queue is full; try again", retry_after=1) from None
        except ClosedError:
            raise RefusalError(503, "the server is ending; ask another one", retry_after=5) from None
        return job

    @contextmanager
    def _lateness(self) -> Iterator[None]:
        """Turns what is too late into a refusal."""
        try:
            yield
        except OverdueError as late:
            seconds = f"{self._limits.seconds:g} s"
            if late.begun:
                line = f"the answer was not there after {seconds}; ask for fewer texts"
                raise RefusalError(504, line) from None
            raise RefusalError(503, f"the request has waited for {seconds}", retry_after=5) from None

    def _gone(self, job: Job) -> None:
        """Leaves out a request whose client went away."""
        self.joiner.give_up(job)
        self._measures.gone += 1
        job.error = ClientGoneError()
        _settle([job])

    def _deliver(self, jobs: list[Job]) -> None:
        """Hands finished jobs from the computing thread to the loop."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the server was told to end at once
                self._loop.call_soon_threadsafe(_settle, jobs)

    def _run(self) -> None:
        try:
            self.joiner.run()
        except BaseException as error:
            self._failed(error)

    async def _watch(self) -> None:
        """Looks now and then for requests that have waited too long."""
        while True:
            await asyncio.sleep(TICK)
            _settle(self.joiner.overdue())


def _settle(jobs: list[Job]) -> None:
    """Wakes the requests that wait for these jobs."""
    for job in jobs:
        future: Waiting = job.target
        if future.done():
            continue
        if job.error is None:
            future.set_result(job.answers)
        else:
            future.set_exception(job.error)
