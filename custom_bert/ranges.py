"""Ranges of whole numbers in one array: rows of texts, or places of tokens within their texts."""

from __future__ import annotations

import numpy as np


def joined_ranges(counts_N: np.ndarray, start_N: np.ndarray | int = 0) -> np.ndarray:
    """Returns the ranges from `start` to before `start + count`, one after the other.

    Args:
        counts_N: (N,) integers, how many numbers each range has.
        start_N: (N,) integers, where each range starts, or one number for all.

    Returns:
        (sum of counts,) int64.
    """
    ends_N = np.cumsum(counts_N, dtype=np.int64)
    joined = np.arange(int(ends_N[-1]) if len(ends_N) else 0)
    joined += np.repeat(start_N + counts_N - ends_N, counts_N)
    return joined
