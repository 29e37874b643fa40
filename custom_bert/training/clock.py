"""The one clock of a run: its whole time, the time of a phase, and the time of training alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """Seconds of a run, those of earlier processes included.

    The whole run and the phase go on whatever happens. Training alone stands still while `stopped`: for
    evaluations, checkpoints, and whatever else is no step.

    Attributes:
        trained: seconds of training in the present phase, by this process, up to the last stop.
        waited: of these, seconds spent waiting for batches.
        tokens, rows: of the steps since they were last read.
    """

    def __init__(self) -> None:
        now = time.perf_counter()
        self._run_begun = self._phase_begun = now
        self.trained = self.waited = 0.0
        self.tokens = self.rows = 0
        self._since: float | None = None
        self._trained_mark = self._waited_mark = 0.0

    def set_run(self, seconds: float) -> None:
        """Says how long earlier processes took for the run."""
        self._run_begun = time.perf_counter() - seconds

    def begin_phase(
        self, seconds: float, *, tokens: int = 0, rows: int = 0, log_seconds: float = 0.0
    ) -> None:
        """Begins a phase, or goes on with one.

        Args:
            seconds: that earlier processes took for it.
            tokens, rows, log_seconds: of the steps since the last record of metrics.jsonl, by these.
        """
        self._phase_begun = time.perf_counter() - seconds
        self.trained = self.waited = self._waited_mark = 0.0
        self.tokens, self.rows, self._trained_mark = tokens, rows, -log_seconds
        self._since = time.perf_counter()

    @property
    def run_seconds(self) -> float:
        """Of the run so far."""
        return time.perf_counter() - self._run_begun

    @property
    def phase_seconds(self) -> float:
        """Of the phase so far."""
        return time.perf_counter() - self._phase_begun

    @property
    def log_seconds(self) -> float:
        """Of training since tokens and rows were last read, up to the last stop."""
        return self.trained - self._trained_mark

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Within, training stands still."""
        went_on = self._since is not None
        self._stop()
        try:
            yield
        finally:
            if went_on:
                self._since = time.perf_counter()

    def _stop(self) -> None:
        if self._since is not None:
            self.trained += time.perf_counter() - self._since
            self._since = None

    def end_phase(self) -> None:
        """Ends the training of a phase."""
        self._stop()

    def count(self, tokens: int, rows: int) -> None:
        """Counts a step."""
        self.tokens += tokens
        self.rows += rows

    def waiting_for(self, items: Iterable[T]) -> Iterator[T]:
        """The items, with the time that each took to come."""
        iterator = iter(items)
        while True:
            begun = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.waited += time.perf_counter() - begun
            yield item

    def read(self) -> dict[str, float]:
        """Real tokens per second, and the shares of padding and of waiting for batches, since the last
        call."""
        with self.stopped():
            seconds = max(self.log_seconds, 1e-9)
            found = {
                "tokens_per_second": self.tokens / seconds,
                "padding": 1 - self.tokens / self.rows if self.rows else 0.0,
                "data_wait": min(1.0, (self.waited - self._waited_mark) / seconds),
            }
        self._trained_mark, self._waited_mark = self.trained, self.waited
        self.tokens = self.rows = 0
        return found
