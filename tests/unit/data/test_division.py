"""Lines that belong together stand on one side of a division, and every label keeps lines to train on."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.data.division import divide_units, units

quiet = settings(deadline=None, derandomize=True, database=None)

ROWS = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(0, 3), min_size=count, max_size=count),
        st.lists(st.integers(0, 9), min_size=count, max_size=count),
        st.lists(st.integers(0, 6), min_size=count, max_size=count),
        st.lists(st.booleans(), min_size=count, max_size=count),
    )
)
Rows = tuple[list[int], list[int], list[int], list[bool]]


def together(texts: list[int], groups: list[int], has_group: list[bool]) -> list[int]:
    """The same as `units`, row by row: each row takes the smallest number that it can reach."""
    found = list(range(len(texts)))
    for _ in texts:
        for i in range(len(texts)):
            for k in range(len(texts)):
                same_group = has_group[i] and has_group[k] and groups[i] == groups[k]
                if texts[i] == texts[k] or same_group:
                    found[i] = found[k] = min(found[i], found[k])
    return found


@settings(quiet, max_examples=40)
@given(rows=ROWS)
def test_units_are_rows_that_texts_and_groups_connect(rows: Rows) -> None:
    _, texts, groups, has_group = rows
    found = units(np.array(texts), np.array(groups), np.array(has_group))
    expected = together(texts, groups, has_group)
    for i in range(len(texts)):
        assert [found[i] == one for one in found] == [expected[i] == one for one in expected]


@quiet
@given(rows=ROWS, fraction=st.floats(0.05, 0.9), seed=st.integers(0, 5))
def test_units_stay_whole_and_every_stratum_keeps_training_rows(
    rows: Rows, fraction: float, seed: int
) -> None:
    strata, texts, groups, has_group = rows
    strata_N = np.array(strata)
    units_N = units(np.array(texts), np.array(groups), np.array(has_group))
    chosen = divide_units(strata_N, units_N, fraction, seed)
    rest = np.setdiff1d(np.arange(len(strata)), chosen)
    assert not set(units_N[chosen]) & set(units_N[rest])
    assert set(strata_N[rest]) == set(strata)
    # the numbers of units have no meaning
    assert np.array_equal(divide_units(strata_N, 1000 - units_N, fraction, seed), chosen)


def test_many_small_groups_keep_the_share_of_every_label() -> None:
    draw = np.random.default_rng(0)
    strata_N = draw.choice(3, size=9000, p=[0.7, 0.25, 0.05])
    units_N = draw.integers(0, 2000, size=9000)
    chosen = divide_units(strata_N, units_N, 0.1, seed=0)
    shares = np.bincount(strata_N[chosen], minlength=3) / np.bincount(strata_N)
    assert np.abs(shares - 0.1).max() < 0.015
    other = divide_units(strata_N, units_N, 0.1, seed=1)
    assert not np.array_equal(chosen, other)


def test_a_group_that_is_most_of_the_data_trains() -> None:
    strata_N = np.array([0, 1] * 50)
    units_N = np.array([0] * 80 + list(range(1, 21)))
    chosen = divide_units(strata_N, units_N, 0.1, seed=0)
    assert len(chosen) == 10 and chosen.min() >= 80
