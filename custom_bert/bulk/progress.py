"""What a person sees while a file is labelled: rows that are done, rows a second, and the time that is left.

On a terminal one line is written over and over. In a file there is a line now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from custom_bert.phrases import counted, duration
from custom_bert.terminal import StatusLine

LINE_EVERY = 60.0
"""Seconds between two lines where standard error is no terminal."""

DRAW_EVERY = 0.2
"""Seconds between two lines on a terminal."""

FASTEST = 5.0
"""Seconds of work before which no time is estimated."""


class Progress:
    """Shows how far a file is.

    Args:
        noun: what a row is called: line or row.
        done: the number of rows that were done before.
        shown: whether anything is shown.
        now: returns the time in seconds.
    """

    def __init__(
        self, noun: str, done: int, *, shown: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._noun, self._before, self._now = noun, done, now
        self._line = StatusLine() if shown else None
        self._done, self._begun, self._last = done, now(), now()

    def ready(self) -> None:
        """Notes that the model is loaded, and the time of rows begins."""
        self._begun = self._now()

    def add(self, rows: int, expected: int) -> None:
        """Notes rows that are done.

        Args:
            rows: their number.
            expected: about how many rows there are in all; 0 if nothing can be said.
        """
        self._done += rows
        if self._line is None:
            return
        every = DRAW_EVERY if self._line.rewrites else LINE_EVERY
        if self._now() - self._last >= every:
            self._last = self._now()
            self._line.show(self.words(expected))

    def clear(self) -> None:
        """Makes room for a line on a terminal."""
        if self._line is not None:
            self._line.clear()

    def words(self, expected: int) -> str:
        """Returns how far it is, in one line."""
        seconds = self._now() - self._begun
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        words = f"{counted(self._done, self._noun)} done"
        if expected > self._done:
            words = f"{self._done:,} of about {expected:,} {self._noun}s ({self._done / expected:.1%})"
        words += f"  {rate:,.0f} {self._noun}s/s"
        if expected > self._done and seconds >= FASTEST and rate:
            words += f"  left {duration((expected - self._done) / rate)}"
        return words

    def end(self, words: str = "") -> None:
        """Ends the line on a terminal, with last words; where lines were never shown, these are not
        either."""
        if self._line is not None:
            self._line.end(words)
