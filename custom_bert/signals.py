"""Requests to end: Ctrl-C and SIGTERM are noted at once and obeyed where a run can be continued."""

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
    """Whether somebody wants the process to end.

    Attributes:
        number: of the signal; 0 while nobody does.
    """

    def __init__(self) -> None:
        self.number = 0
        self._noted = 0.0

    def _handed_on(self) -> bool:
        return "TORCHELASTIC_RUN_ID" in os.environ and time.monotonic() - self._noted < HANDED_ON

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Notes a signal; a second one ends the process at once, since what is on the disk is complete.

        torchrun hands on what a supervisor may have sent to all processes already: that counts once.
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
        self, items: Iterable[T], agreed: Callable[[int], int] = lambda number: number
    ) -> Iterator[T]:
        """The items.

        Args:
            items: any.
            agreed: what several processes make of their requests, which is the same for all.

        Raises:
            StopRequested: before an item, once there is a request.
        """
        for item in items:
            number = agreed(self.number)
            if number:
                if not self.number:
                    self._noted = time.monotonic()  # another process noted it; ours may be on its way
                self.number = number
                raise StopRequested
            # a request that came while the processes agreed is in self.number, and counts before the next
            # item
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
    """Notes requests to end instead of obeying them; the handlers from before come back at the end.

    A signal that the process ignores stays ignored, as a shell wants it for jobs in the background. Only the
    main thread can have handlers: in another one nothing is noted.
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
