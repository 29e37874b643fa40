"""The number of threads that a process may compute with. Used before torch is loaded, so only Python is
needed.

The answers are constant for a machine, a container and an environment. So the same choices follow from
them each time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from custom_bert import cgroups

LIMIT, WISH = "OMP_THREAD_LIMIT", "OMP_NUM_THREADS"
"""OpenMP's variables for the most threads that a program may have, and for the number that it should use."""

MOST = 1 << 20
"""The most threads that a process could have. OpenMP ignores larger numbers too."""

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""A variable that torchrun sets. It also sets OMP_NUM_THREADS to 1, which is then not the user's wish."""


def cores() -> int:
    """Returns the number of CPU cores that this process may use, by affinity and quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = cgroups.processors_limit()
    return count if limit is None else min(count, max(1, int(limit)))


def processes(environment: Mapping[str, str] = os.environ) -> int:
    """Returns the number of this run's processes on this machine, as torchrun sets it; 1 without torchrun."""
    return max(1, _number(environment, "LOCAL_WORLD_SIZE") or 1)


def limit(environment: Mapping[str, str] = os.environ) -> int | None:
    """Returns the most threads that OpenMP gives this process; None if the user has set no limit."""
    return _number(environment, LIMIT)


def allowed(environment: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Returns the number of threads to compute with, and the reason.

    It is this process's share of the cores, or what OMP_NUM_THREADS asks for, and at most OpenMP's limit.
    """
    count, reason = max(1, cores() // processes(environment)), "cores that this process may use"
    wish = None if TORCHRUN in environment else _number(environment, WISH)
    if wish is not None:
        count, reason = wish, WISH
    most = limit(environment)
    return (most, LIMIT) if most is not None and most <= count else (count, reason)


def thread_count() -> int:
    """Returns the number of threads to compute with; see `allowed`."""
    return allowed()[0]


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """Returns the number in a variable, or the first of a list of them. None if it is not set, or if it
    cannot be a number of threads."""
    text = environment.get(name, "").partition(",")[0]
    try:  # int() of a very long text takes long, and refuses some
        number = int(text) if len(text) < 20 else 0
    except ValueError:
        return None
    return number if 0 < number <= MOST else None
