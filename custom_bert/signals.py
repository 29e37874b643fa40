"""Requests to end: Ctrl-C and SIGTERM are noted at once, and obeyed where the run can be continued later."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

NAMES = ("SIGINT", "SIGTERM")

HANDED_ON = 20.0
"""Seconds within which torchrun repeats a signal to its processes; it kills them 30 s after that."""


class StopRequested(BaseException):
    """Raised where a request to end interrupts something that can be done again."""


class Requests:
    """Whether the process has been asked to end.

    Attributes:
        number: the number of the signal that asked for it; 0 if there was none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._noted = 0.0

    def _handed_on(self) -> bool:
        """Whether a second signal is only torchrun's copy of the first."""
        return "TORCHELASTIC_RUN_ID" in os.environ and time.monotonic() - self._noted < HANDED_ON

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Notes a signal. A second signal ends the process at once; the files on the disk are complete.

        A supervisor may send SIGTERM to all processes of a job, and torchrun then passes its own on to the
        processes that it started. Such a pair counts as one signal.
        """
        if self.number == number == signal.SIGTERM and self._handed_on():
            return
        self._noted = time.monotonic()
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt  # not os._exit, which would end a notebook
        if self.number:
            os._exit(128 + number)
        self.number = number

    def between(
        self, items: Iterable[T], agreed: Callable[[int, T], int] = lambda number, item: number
    ) -> Iterator[T]:
        """Yields the items until there is a request to end.

        Args:
            items: the work, one step each.
            agreed: maps this process's signal number, and the next item, to the number that all processes
                agree on, so that all of them end before the same item.

        Raises:
            StopRequested: before an item, once there is a request.
        """
        for item in items:
            number = agreed(self.number, item)
            if number:
                if not self.number:  # another process noted it; our own signal may still arrive
                    self._noted = time.monotonic()
                self.number = number
                raise StopRequested
            # if a request came while the processes agreed, self.number has it for the next agreement
            yield item

    def obey(self) -> None:
        """Ends as the signal asks.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM, with the code 143.
        """
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.number)


@contextmanager
def noted() -> Iterator[Requests]:
    """Notes requests to end instead of obeying them. At the end the earlier handlers are put back.

    A signal that the process ignores stays ignored, because a shell starts background jobs that way. Python
    sets signal handlers in the main thread only, so in another thread nothing is noted.
    """
    requests = Requests()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in NAMES:
            number = getattr(signal, name, None)
            # None: a handler that is not Python's, which could not be put back
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, requests.note)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
