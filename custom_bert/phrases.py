"""How messages write counts, line numbers and times."""

from __future__ import annotations

from typing import Any


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 text`, `1,200 texts`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def as_set(value: Any) -> str:
    """Returns the value of a setting; a string whose end cannot be seen, such as a tab, in quotes."""
    visible = not isinstance(value, str) or (value.isprintable() and value == value.strip() != "")
    return str(value) if visible else repr(value)


def at_lines(lines: Any, total: int | None = None, *, noun: str = "line") -> str:
    """Returns the first five line numbers, in brackets: ` (line 3)`, ` (lines 3, 8, 9, 12, 40, ...)`.

    Args:
        lines: line numbers, counted from 1: all of them, or at least the first five.
        total: the number of all lines; None if `lines` has all.
        noun: what a line is called.
    """
    total = len(lines) if total is None else total
    first = ", ".join(str(int(line)) for line in lines[:5])
    more = ", ..." if total > 5 else ""
    return f" ({noun}{'' if total == 1 else 's'} {first}{more})"


def duration(seconds: float) -> str:
    """Returns seconds as a person reads them: `45 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
