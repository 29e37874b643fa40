"""Targets of lines: taken, counted, renumbered and divided as if they were written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.data.division import divide
from custom_bert.data.targets import STRATUM, ClassIds, ClassSets

quiet = settings(deadline=None, derandomize=True, database=None, max_examples=80)
SETS = st.lists(st.lists(st.integers(0, 4), unique=True, max_size=4), min_size=1, max_size=25)


@quiet
@given(SETS, st.randoms(use_true_random=False))
def test_sets_are_what_a_list_of_sets_is(sets: list[list[int]], draw: object) -> None:
    found = ClassSets.of(sets, 5)
    assert len(found) == len(sets)
    assert [found.classes_of(i) for i in range(len(sets))] == [sorted(one) for one in sets]
    rows = np.array([draw.randrange(len(sets)) for _ in range(7)])  # type: ignore[attr-defined]
    taken = found.take(rows)
    assert [taken.classes_of(i) for i in range(7)] == [sorted(sets[row]) for row in rows]
    hot = np.zeros((7, 5))
    for i, row in enumerate(rows):
        hot[i, sets[row]] = 1
    assert (found.values(rows) == hot).all() and found.values(rows).dtype == np.float32
    assert found.counts(5).tolist() == [sum(i in one for one in sets) for i in range(5)]
    for index in range(5):
        if any(index in one for one in sets):
            assert found.first_line(index) == 1 + next(i for i, one in enumerate(sets) if index in one)
    again = found.renumbered(np.array([2, 0, 1, 4, 3]))
    wanted = [sorted({0: 2, 1: 0, 2: 1, 3: 4, 4: 3}[i] for i in one) for one in sets]
    assert [again.classes_of(i) for i in range(len(sets))] == wanted


@quiet
@given(SETS)
def test_lines_are_alike_where_their_sets_are(sets: list[list[int]]) -> None:
    distinct_ids_N = ClassSets.of(sets, 5).distinct_ids_N
    for i, one in enumerate(sets):
        for k, other in enumerate(sets):
            assert (distinct_ids_N[i] == distinct_ids_N[k]) == (set(one) == set(other))


def test_a_division_keeps_the_share_of_frequent_sets_and_of_rare_classes() -> None:
    sets = [[0]] * 200 + [[0, 1]] * 100 + [[2, i % 2] for i in range(2 * (STRATUM - 1))] + [[]] * 60
    targets = ClassSets.of(sets, 3)
    chosen = divide(targets.strata_N, np.arange(len(sets)), 0.1, 0)
    inside = targets.take(chosen)
    kinds = [tuple(inside.classes_of(i)) for i in range(len(inside))]
    assert (kinds.count((0,)), kinds.count((0, 1)), kinds.count(())) == (20, 10, 6)
    assert sum(2 in kind for kind in kinds) == round(0.1 * 2 * (STRATUM - 1))


def test_one_class_a_line_is_a_set_of_one() -> None:
    ids_N = np.array([2, 0, 2, 1])
    one, many = ClassIds(ids_N), ClassSets.of([[int(i)] for i in ids_N], 3)
    for index in range(3):
        assert one.first_line(index) == many.first_line(index)
    assert one.counts(3).tolist() == many.counts(3).tolist() == [1, 1, 2]
    assert [one.classes_of(i) for i in range(4)] == [many.classes_of(i) for i in range(4)]
    assert one.values(np.array([0, 3])).tolist() == [2, 1]
