"""The clock of a run, which measures the time of the run, of its present phase, and of training alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """Counts the seconds of a run. The run begins when the clock is made.

    The time of the run and of the phase goes on whatever happens, and includes what earlier processes took.
    The time of training stands still while the clock is `stopped`: for evaluations, checkpoints and
    everything that is no step.

    Attributes:
        trained: the seconds of training in the present phase, by this process, up to the last stop.
        waited: how many of these seconds were spent waiting for batches.
        tokens, rows: the tokens and rows of the steps since `read` was last called.
    """

    def __init__(self) -> None:
        now = time.perf_counter()
        self._run_begun = self._phase_begun = now
        self.trained = self.waited = 0.0
        self.tokens = self.rows = 0
        self._since: float | None = None
        self._trained_mark = self._waited_mark = 0.0

    def set_run(self, seconds: float) -> None:
        """Sets the time of the run to the seconds that earlier processes took for it."""
        self._run_begun = time.perf_counter() - seconds

    def begin_phase(
        self, seconds: float, *, tokens: int = 0, rows: int = 0, log_seconds: float = 0.0
    ) -> None:
        """Begins a phase, or continues one.

        Args:
            seconds: the seconds that earlier processes took for the phase.
            tokens, rows, log_seconds: what earlier processes read and took since the last record of
                metrics.jsonl.
        """
        self._phase_begun = time.perf_counter() - seconds
        self.trained = self.waited = self._waited_mark = 0.0
        self.tokens, self.rows, self._trained_mark = tokens, rows, -log_seconds
        self._since = time.perf_counter()

    @property
    def run_seconds(self) -> float:
        """The seconds of the run so far."""
        return time.perf_counter() - self._run_begun

    @property
    def phase_seconds(self) -> float:
        """The seconds of the phase so far."""
        return time.perf_counter() - self._phase_begun

    @property
    def log_seconds(self) -> float:
        """The seconds of training since `read` was last called, up to the last stop."""
        return self.trained - self._trained_mark

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Within the block, the time of training stands still. Blocks may be nested."""
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
        """Stops the time of training at the end of a phase."""
        self._stop()

    def count(self, tokens: int, rows: int) -> None:
        """Counts the tokens and rows of a step."""
        self.tokens += tokens
        self.rows += rows

    def waiting_for(self, items: Iterable[T]) -> Iterator[T]:
        """Yields the items, and counts the time that each took to come as waiting."""
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
        """Returns, for the steps since the last call, the tokens per second (padding not counted), the share
        of padding among the rows, and the share of the time in which the host waited for the next batch. A
        GPU may have been busy meanwhile with the batches before."""
        with self.stopped():
            seconds = max(self.log_seconds, 1e-9)
            rates = {
                "tokens_per_second": self.tokens / seconds,
                "padding": 1 - self.tokens / self.rows if self.rows else 0.0,
                "host_data_wait": min(1.0, (self.waited - self._waited_mark) / seconds),
            }
        self._trained_mark, self._waited_mark = self.trained, self.waited
        self.tokens = self.rows = 0
        return rates
