"""Random numbers that are a function of a counter and need no generator with a state.

So the numbers of an example do not depend on the batch that it is in, or on where a run was continued.
"""

from __future__ import annotations

import numpy as np

BITS = 53
"""The random bits of a draw: as many as a float64 holds."""


def uniform(seed: int, epoch: int, example: np.ndarray, position: np.ndarray, *, stream: int) -> np.ndarray:
    """Returns uniform numbers in [0, 1), float64, of the shape of `example`.

    They are the arguments mixed by the finaliser of SplitMix64 (Steele et al. 2014).

    Args:
        seed: the seed of the run.
        epoch: the number of the epoch, from 0.
        example, position: integer arrays of one shape, the index of an example and a position in it.
        stream: 0 to 3. Draws of different streams are independent, so each use takes another stream.
    """
    return as_uniform(random_bits(seed, epoch, example, position, stream=stream))


def as_uniform(bits: np.ndarray) -> np.ndarray:
    """Returns the numbers in [0, 1) of random bits."""
    return np.asarray(bits * (1.0 / (1 << BITS)))


def random_bits(
    seed: int,
    epoch: int,
    example: np.ndarray,
    position: np.ndarray,
    *,
    stream: int,
    counts: np.ndarray | None = None,
) -> np.ndarray:
    """Returns uniform whole numbers below 2 ** `BITS`, uint64. `uniform` explains the other arguments.

    Args:
        counts: how many positions, one after the other, belong to each example; None for one each. An example
            is then mixed once and not for each of its tokens.
    """
    key = _mix(np.array([(seed * 4 + stream) % (1 << 64)], dtype=np.uint64))
    key = _mix(key + np.uint64(epoch))
    state = _mix(key + example.astype(np.uint64))
    if counts is not None:
        state = np.repeat(state, counts)
    mixed = _mix(state + position.astype(np.uint64))
    mixed >>= np.uint64(64 - BITS)
    return mixed


def _mix(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    shifted = x >> np.uint64(30)  # reused below, since new arrays cost more than the arithmetic
    x ^= shifted
    x *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(x, np.uint64(27), out=shifted)
    x ^= shifted
    x *= np.uint64(0x94D049BB133111EB)
    np.right_shift(x, np.uint64(31), out=shifted)
    x ^= shifted
    return x
