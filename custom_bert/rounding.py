"""Rounding whole numbers."""

from __future__ import annotations


def round_up(value: int, step: int) -> int:
    """Returns the smallest multiple of `step` that is at least `value`."""
    return -(-value // step) * step
