"""Phrases that messages about data have in common: how many there are, and on which lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def counted(count: int, noun: str) -> str:
    """`1 text`, `1,200 texts`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def at_lines(lines: Sequence[int] | np.ndarray, total: int | None = None) -> str:
    """` (line 3)`, ` (lines 3, 8, 9, 12, 40, ...)`: the first five."""
    total = len(lines) if total is None else total
    first = ", ".join(str(int(line)) for line in lines[:5])
    more = ", ..." if total > 5 else ""
    return f" (line{'' if total == 1 else 's'} {first}{more})"
