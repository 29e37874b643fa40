"""When a run writes its next checkpoint."""

from __future__ import annotations

import time

SHARE = 0.03
"""The share of the time that saving may take by default."""

DISK = 200e6
"""The bytes per second that a disk is assumed to write, until the first checkpoint was measured."""

SECONDS = 15.0
"""The fewest seconds between two checkpoints by default."""


class Pace:
    """Decides when the next checkpoint is due.

    Args:
        every: the optimizer steps from one checkpoint to the next; 0 for no checkpoints. None for as many as
            `SHARE` of the time allows, at least `SECONDS` apart.
        size: the bytes of a checkpoint, from which the cost of the first one is estimated.
    """

    def __init__(self, every: int | None, size: int = 0) -> None:
        self._every, self._cost, self._last = every, size / DISK, time.perf_counter()

    def due(self, step: int) -> bool:
        """Returns whether to save after this step of the phase."""
        if self._every is not None:
            return self._every > 0 and step % self._every == 0
        return time.perf_counter() - self._last >= max(SECONDS, self._cost / SHARE)

    def saved(self, seconds: float) -> None:
        """Notes that a checkpoint was written, and the seconds that it took."""
        self._cost, self._last = seconds, time.perf_counter()
