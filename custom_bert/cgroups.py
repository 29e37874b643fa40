"""The limits that Linux's control groups set for this process: memory, and a share of the processors.

Containers and services run in control groups, of which there are two versions, and both are read. A group
is bound by the limits of all groups that it lies in. Inside a container the own group often appears as the
root. So all of these places are looked at, and the lowest limit counts. Only Python is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

UNLIMITED = 1 << 60
"""The first version has no word for no limit: it then names a number about this large."""


def memory_limit() -> int | None:
    """Returns the bytes of memory that this process and its neighbours may take; None without a limit."""
    found = [_number(folder / "memory.max") for folder in _groups("")]
    found += [_number(folder / "memory.limit_in_bytes") for folder in _groups("memory")]
    limits = [limit for limit in found if limit is not None and 0 < limit < UNLIMITED]
    return min(limits, default=None)


def processors_limit() -> float | None:
    """Returns how many processors' time this process may use, such as 1.5; None without a limit."""
    limits = []
    for folder in _groups(""):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit():
            limits.append(int(quota) / int(period))
    for folder in _groups("cpu"):
        quota_us, period_us = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota_us and period_us and quota_us > 0:  # -1 for no limit
            limits.append(quota_us / period_us)
    return min(limits, default=None)


def _groups(controller: str) -> Iterator[Path]:
    """Yields the folders of this process's group and of all groups around it.

    Args:
        controller: the name of a controller of the first version; the empty string for the second version.
    """
    base = ROOT / controller
    yield base
    for line in _text(OWN).splitlines():
        names, _, path = line.partition(":")[2].partition(":")
        if controller in names.split(","):
            folder = base / path.strip("/")
            while folder != base and base in folder.parents:
                yield folder
                folder = folder.parent


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    """Returns the content of a file; the empty string if there is none, as on other systems than Linux."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
