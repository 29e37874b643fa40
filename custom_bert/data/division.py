"""Which lines of a file measure and do not train: a stratified, seeded share."""

from __future__ import annotations

import numpy as np

from custom_bert.data.text import leaders


def divide(strata_N: np.ndarray, hashes_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Chooses validation rows: a seeded share of each stratum, equal texts all on one side.

    A pure function of strata, equalities between texts, fraction and seed; the value of a hash plays no
    part. Strata with a single text stay in training.

    Returns:
        Sorted row indices.
    """
    leader_N = leaders(hashes_N)
    draw_N = np.random.Generator(np.random.PCG64(seed)).random(len(leader_N))
    texts = np.flatnonzero(leader_N == np.arange(len(leader_N)))  # the different ones
    texts = texts[np.lexsort((draw_N[texts], strata_N[texts]))]
    counts_C = np.bincount(strata_N[texts])
    wanted_C = np.minimum(np.maximum(np.rint(fraction * counts_C), 1), counts_C - 1)
    place = np.arange(len(texts)) - np.repeat(np.cumsum(counts_C) - counts_C, counts_C)
    chosen_N = np.zeros(len(leader_N), dtype=bool)
    chosen_N[texts[place < np.repeat(wanted_C, counts_C)]] = True
    return np.flatnonzero(chosen_N[leader_N])
