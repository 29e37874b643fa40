"""Divides the lines of a file: a stratified, seeded share of them is set aside for validation.

Lines that belong together all go to the same side. Those are the lines with equal texts (`divide`) or, where
lines have groups, the lines that are connected by equal texts and equal groups (`units`, `divide_units`).
"""

from __future__ import annotations

import numpy as np

from custom_bert.ranges import joined_ranges


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
    place = joined_ranges(counts_C)
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


def units(hashes_N: np.ndarray, groups_N: np.ndarray, has_group_N: np.ndarray) -> np.ndarray:
    """Returns (N,) int64 equal numbers for the rows that belong together.

    Two rows belong together if their texts are equal, or their groups are, or both belong to a third row.

    Args:
        hashes_N: (N,) a hash of each row's text.
        groups_N: (N,) a hash of each row's group.
        has_group_N: (N,) whether a row has a group at all.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts, text_N = np.unique(hashes_N, return_inverse=True)
    groups, group_N = np.unique(groups_N, return_inverse=True)
    # texts and groups are the nodes of a graph, and each row with a group is an edge of it
    edges = np.ones(int(has_group_N.sum()), dtype=np.int32), (text_N[has_group_N], group_N[has_group_N])
    nodes = len(texts) + len(groups)
    graph = coo_array((edges[0], (edges[1][0], len(texts) + edges[1][1])), shape=(nodes, nodes))
    _, component_of_node = connected_components(graph, directed=False)
    return np.asarray(component_of_node[text_N], dtype=np.int64)


def divide_units(strata_N: np.ndarray, units_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Chooses validation rows: about a share of each stratum, in whole units.

    The units are looked at in an order that the seed draws. A unit is chosen if that brings the chosen rows
    of its strata nearer to the share: the sum over strata of (chosen - share)^2 / rows has to fall. Then each
    stratum without a chosen row gets the smallest unit that has such rows. No unit is ever chosen that would
    leave a stratum without training rows. So a stratum whose rows are all of one unit stays in training.

    Args:
        strata_N: (N,) int64 the stratum of each row.
        units_N: (N,) int64 the unit of each row; see `units`.
        fraction: the share of each stratum to choose.
        seed: the seed of the draw.

    Returns:
        The chosen row indices, sorted. The values of the units, which differ between processes, have no
        effect.
    """
    leader_N = leaders(units_N)
    firsts, unit_N = np.unique(leader_N, return_inverse=True)
    draw_U = np.random.Generator(np.random.PCG64(seed)).random(len(leader_N))[firsts]
    rows_C = np.bincount(strata_N)
    # the rows of each stratum in each unit: three arrays, ordered by unit
    pairs, counts = np.unique(unit_N * len(rows_C) + strata_N, return_counts=True)
    bounds = np.searchsorted(pairs, np.arange(len(firsts) + 1) * len(rows_C)).tolist()
    strata, counts = (pairs % len(rows_C)).tolist(), counts.tolist()
    total, wanted, chosen = rows_C.tolist(), (fraction * rows_C).tolist(), [0] * len(rows_C)
    taken_U = np.zeros(len(firsts), dtype=bool)

    def parts(unit: int) -> list[tuple[int, int]]:
        return [(strata[i], counts[i]) for i in range(bounds[unit], bounds[unit + 1])]

    def leaves_training_rows(some: list[tuple[int, int]]) -> bool:
        return all(chosen[c] + n < total[c] for c, n in some)

    def take(unit: int, some: list[tuple[int, int]]) -> None:
        taken_U[unit] = True
        for c, n in some:
            chosen[c] += n

    for unit in np.argsort(draw_U, kind="stable").tolist():
        some = parts(unit)
        change = sum(n * (2 * (chosen[c] - wanted[c]) + n) / total[c] for c, n in some)
        if change < 0 and leaves_training_rows(some):
            take(unit, some)
    if 0 in chosen:
        sizes_U = np.bincount(unit_N)
        for unit in np.lexsort((draw_U, sizes_U)).tolist():
            some = parts(unit)
            if not taken_U[unit] and any(not chosen[c] for c, _ in some) and leaves_training_rows(some):
                take(unit, some)
    return np.flatnonzero(taken_U[unit_N])
