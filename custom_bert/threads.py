"""How many threads a process may compute with. Standard library only: asked before torch is there.

All of it is constant for a machine, a container and an environment, so that choices made from it repeat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

LIMIT, WISH = "OMP_THREAD_LIMIT", "OMP_NUM_THREADS"
"""Of the OpenMP standard: the most threads that a program may have, and how many it shall take."""

MOST = 1 << 20
"""Threads that a process could have. OpenMP, too, ignores a larger number."""

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""torchrun sets it, and OMP_NUM_THREADS too, to 1: there that is nobody's wish."""


def cores() -> int:
    """CPU cores that this process may use: affinity and the container's quota respected."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except OSError:
        return count
    if len(quota) == 2 and quota[0] != "max":
        count = min(count, max(1, int(int(quota[0]) / int(quota[1]))))
    return count


def processes(environment: Mapping[str, str] = os.environ) -> int:
    """Processes of this run on this machine, as torchrun says."""
    return max(1, _number(environment, "LOCAL_WORLD_SIZE") or 1)


def limit(environment: Mapping[str, str] = os.environ) -> int | None:
    """The most threads that OpenMP gives this process, where the user has set a limit."""
    return _number(environment, LIMIT)


def allowed(environment: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Threads to compute with, and why so many: this process's share of the cores, or what OpenMP's variables
    ask for, and never more than its limit."""
    count, reason = max(1, cores() // processes(environment)), "cores that this process may use"
    wish = None if TORCHRUN in environment else _number(environment, WISH)
    if wish is not None:
        count, reason = wish, WISH
    most = limit(environment)
    return (most, LIMIT) if most is not None and most <= count else (count, reason)


def thread_count() -> int:
    """Threads to compute with; see `allowed`."""
    return allowed()[0]


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """A variable's value, the first of a list; None if it is not set, or no possible number of threads."""
    text = environment.get(name, "").partition(",")[0]
    try:
        number = int(text) if len(text) < 20 else 0
    except ValueError:
        return None
    return number if 0 < number <= MOST else None
