"""How much memory a process holds, alone and with the processes that it has started."""

from __future__ import annotations

import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PAUSE = 0.1
"""The seconds between two looks at a process and those that it has started."""


def peak_mb() -> int:
    """The peak of this process's resident memory in MiB.

    On Linux it is VmHWM, because `ru_maxrss` there includes what the parent held when it started the process.
    """
    try:
        kib = _kib("/proc/self/status", "VmHWM")
    except (OSError, StopIteration):  # not Linux
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kib //= 1024 if sys.platform == "darwin" else 1
    return round(kib / 1024)


class FamilyPeak:
    """Looks, as long as it is entered, at the resident memory of a process and all that it has started.

    Pages that two of them share are counted twice, so that the sum is an upper bound. A process that has just
    been started seems to hold all that its parent holds until it begins its own program. So only what two
    looks in a row see counts. On other systems than Linux nothing is seen, and the peak stays 0.

    Attributes:
        peak_mb: the largest sum that was seen twice in a row, in MiB.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        before = 0
        while not self._over.wait(PAUSE):
            now = round(sum(map(_resident_kib, _family(self._pid))) / 1024)
            self.peak_mb = max(self.peak_mb, min(before, now))
            before = now


def _family(pid: int) -> list[int]:
    """A process and all that descend from it. Those that ended meanwhile may be among them."""
    found = [pid]
    for parent in found:  # grows while it is read
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in thread.read_text(encoding="ascii").split()]
    return found


def _resident_kib(pid: int) -> int:
    try:
        return _kib(f"/proc/{pid}/status", "VmRSS")
    except (OSError, StopIteration):  # it has ended
        return 0


def _kib(path: str, field: str) -> int:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
