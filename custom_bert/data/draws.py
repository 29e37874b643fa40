"""Random numbers that are a function of a counter and need no generator with a state.

So the numbers of an example do not depend on the batch that it is in, or on where a run was continued.
"""

from __future__ import annotations

import numpy as np


def uniform(seed: int, epoch: int, example: np.ndarray, position: np.ndarray, *, stream: int) -> np.ndarray:
    """Returns uniform numbers in [0, 1), float64, of the shape of `example`.

    They are the arguments mixed by the finaliser of SplitMix64 (Steele et al. 2014).

    Args:
        seed: the seed of the run.
        epoch: the number of the epoch, from 0.
        example, position: integer arrays of one shape, the index of an example and a position in it.
        stream: 0 to 3. Draws of different streams are independent, so each use takes another stream.
    """
    key = _mix(np.array([(seed * 4 + stream) % (1 << 64)], dtype=np.uint64))
    key = _mix(key + np.uint64(epoch))
    state = _mix(_mix(key + example.astype(np.uint64)) + position.astype(np.uint64))
    return np.asarray((state >> np.uint64(11)) * (1.0 / (1 << 53)))  # the upper 53 bits fill a float64


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
