"""Divides the lines of a file: a stratified, seeded share of them is set aside for validation."""

from __future__ import annotations

import numpy as np


def divide(strata_N: np.ndarray, hashes_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Chooses validation rows: a random share of each stratum. Equal texts all go to the same side.

    A stratum with a single different text stays in training. Of every other stratum at least one text goes to
    each side. The result depends only on the strata, on which texts are equal, on the fraction and on the
    seed. The values of the hashes, which differ between processes, have no effect.

    Args:
        strata_N: (N,) int64 the stratum of each row.
        hashes_N: (N,) int64 a hash of each row's text.
        fraction: the share of each stratum to choose.
        seed: the seed of the draw.

    Returns:
        The chosen row indices, sorted.
    """
    leader_N = leaders(hashes_N)
    draw_N = np.random.Generator(np.random.PCG64(seed)).random(len(leader_N))
    texts = np.flatnonzero(leader_N == np.arange(len(leader_N)))  # the first row of each different text
    # ordered by stratum, at random within each; the first texts of a stratum are chosen
    texts = texts[np.lexsort((draw_N[texts], strata_N[texts]))]
    counts_C = np.bincount(strata_N[texts])
    wanted_C = np.minimum(np.maximum(np.rint(fraction * counts_C), 1), counts_C - 1)
    place = np.arange(len(texts)) - np.repeat(np.cumsum(counts_C) - counts_C, counts_C)
    chosen_N = np.zeros(len(leader_N), dtype=bool)
    chosen_N[texts[place < np.repeat(wanted_C, counts_C)]] = True
    return np.flatnonzero(chosen_N[leader_N])


def leaders(hashes_N: np.ndarray) -> np.ndarray:
    """Returns (N,) for each row the first row with the same text.

    Args:
        hashes_N: (N,) a hash of each row's text.
    """
    _, first, inverse_N = np.unique(hashes_N, return_index=True, return_inverse=True)
    return np.asarray(first[inverse_N])
