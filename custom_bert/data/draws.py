"""Random numbers from a counter, so that what an example draws depends on nothing but itself."""

from __future__ import annotations

import numpy as np


def uniform(seed: int, epoch: int, example: np.ndarray, position: np.ndarray, *, stream: int) -> np.ndarray:
    """Uniform numbers in [0, 1), the SplitMix64 finaliser (Steele et al. 2014) of what it is given.

    Args:
        seed: of the run.
        epoch: from 0.
        example, position: indices, of one shape.
        stream: 0 to 3; each use has its own.
    """
    key = _mix(np.array([(seed * 4 + stream) % (1 << 64)], dtype=np.uint64))
    key = _mix(key + np.uint64(epoch))
    state = _mix(_mix(key + example.astype(np.uint64)) + position.astype(np.uint64))
    return np.asarray((state >> np.uint64(11)) * (1.0 / (1 << 53)))


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
