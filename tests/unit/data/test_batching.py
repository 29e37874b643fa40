"""Plans have every example once, keep their budget, and depend on nothing but their arguments."""

from __future__ import annotations

import itertools
import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.config import Plan
from custom_bert.data.batching import by_length, padding_share, plan_batches
from custom_bert.training import choices

quiet = settings(deadline=None, derandomize=True, database=None)

PLANS: tuple[Plan, ...] = get_args(Plan)
lengths = st.lists(st.integers(2, 40), min_size=1, max_size=120).map(np.array)
budgets = st.integers(1, 200)
sizes = st.none() | st.integers(1, 20)
seeds = st.integers(0, 2**63 - 1)


def made(
    lengths_N: np.ndarray,
    plan: Plan,
    *,
    budget: int = 64,
    size: int | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> list[np.ndarray]:
    return plan_batches(lengths_N, plan, token_budget=budget, batch_size=size, seed=seed, epoch=epoch)


def as_lists(batches: list[np.ndarray]) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("plan", PLANS)
@settings(quiet, max_examples=150)
@given(lengths, budgets, sizes, seeds, st.integers(0, 1000))
def test_every_example_is_in_an_epoch_exactly_once(
    plan: Plan, lengths_N: np.ndarray, budget: int, size: int | None, seed: int, epoch: int
) -> None:
    batches = made(lengths_N, plan, budget=budget, size=size, seed=seed, epoch=epoch)
    assert all(len(batch) for batch in batches)
    assert sorted(itertools.chain(*as_lists(batches))) == list(range(len(lengths_N)))


@pytest.mark.parametrize("plan", PLANS)
@settings(quiet, max_examples=150)
@given(lengths, budgets, sizes, seeds)
def test_budget_and_batch_size_are_kept_and_a_longer_example_is_alone(
    plan: Plan, lengths_N: np.ndarray, budget: int, size: int | None, seed: int
) -> None:
    for batch in made(lengths_N, plan, budget=budget, size=size, seed=seed):
        own = lengths_N[batch]
        if size is not None:
            assert len(batch) <= size
        if plan == "padded":
            continue
        rows = own.sum() if plan == "packed" else len(own) * own.max()
        assert rows <= budget or len(batch) == 1


@pytest.mark.parametrize("plan", PLANS)
@settings(quiet, max_examples=80)
@given(lengths, budgets, sizes, seeds, st.integers(0, 5))
def test_a_plan_is_a_function_of_lengths_seed_and_epoch(
    plan: Plan, lengths_N: np.ndarray, budget: int, size: int | None, seed: int, epoch: int
) -> None:
    first = made(lengths_N, plan, budget=budget, size=size, seed=seed, epoch=epoch)
    np.random.random(3)  # the global generator plays no part
    second = made(lengths_N.copy(), plan, budget=budget, size=size, seed=seed, epoch=epoch)
    assert as_lists(first) == as_lists(second)


@pytest.mark.parametrize("plan", PLANS)
@settings(quiet, max_examples=60)
@given(st.lists(st.integers(2, 40), min_size=40, max_size=120).map(np.array), seeds)
def test_another_epoch_or_seed_has_another_order(plan: Plan, lengths_N: np.ndarray, seed: int) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return as_lists(made(lengths_N, plan, budget=60, size=4, seed=seed, epoch=epoch))

    orders = [order(seed, 0), order(seed, 1), order(seed, 2), order(seed ^ 1, 0)]
    for one, other in itertools.combinations(orders, 2):
        assert one != other


def test_plans_do_not_change_between_versions() -> None:
    lengths_N = np.array([3, 9, 4, 4, 12, 30, 5, 7, 4, 3])
    assert {plan: as_lists(made(lengths_N, plan, budget=16, size=3, seed=7, epoch=1)) for plan in PLANS} == {
        "padded": [[9, 0, 8], [6, 7, 1], [3, 4, 2], [5]],
        "uniform_length": [[4], [7], [9, 0, 3], [5], [1], [2, 8, 6]],
        "packed": [[9, 0, 8], [6, 7, 3], [1], [4, 2], [5]],
    }


def test_examples_of_one_length_change_their_company() -> None:
    lengths_N = np.full(64, 10)
    batches = [
        {frozenset(batch) for batch in as_lists(made(lengths_N, "uniform_length", budget=80, epoch=epoch))}
        for epoch in range(2)
    ]
    assert not batches[0] & batches[1]


def test_batches_of_near_equal_length_come_in_random_order() -> None:
    lengths_N = np.repeat(np.arange(2, 102), 20)
    longest = [int(lengths_N[batch].max()) for batch in made(lengths_N, "uniform_length", budget=512)]
    steps = np.diff(longest)
    assert 0.3 < float((steps > 0).mean()) < 0.7


def test_neighbours_in_length_share_a_batch() -> None:
    draw = np.random.default_rng(0)
    lengths_N = draw.integers(2, 200, 3000)
    spans = sorted(
        (int(lengths_N[batch].min()), int(lengths_N[batch].max()))
        for batch in made(lengths_N, "uniform_length", budget=2048)
    )
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize("plan", PLANS)
def test_no_examples_make_no_batches(plan: Plan) -> None:
    assert made(np.empty(0, np.int64), plan) == []
    assert by_length(np.empty(0, np.int64), 64) == []


# Evaluation


@settings(quiet, max_examples=150)
@given(lengths, budgets)
def test_evaluation_batches_go_from_long_to_short_and_have_every_example_once(
    lengths_N: np.ndarray, budget: int
) -> None:
    batches = by_length(lengths_N, budget)
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(len(lengths_N)))
    assert (np.diff(lengths_N[order]) <= 0).all()
    for batch in batches:
        assert len(batch) * lengths_N[batch].max() <= budget or len(batch) == 1
    assert as_lists(by_length(lengths_N, budget)) == as_lists(batches)


# Padding


@pytest.mark.parametrize("plan", PLANS)
@settings(quiet, max_examples=100)
@given(lengths, budgets, sizes, st.none() | st.integers(40, 60))
def test_padding_share_counts_rows_without_tokens(
    plan: Plan, lengths_N: np.ndarray, budget: int, size: int | None, slot: int | None
) -> None:
    batches = made(lengths_N, plan, budget=budget, size=size)
    padding = tokens = 0
    for batch in batches:
        longest = slot if slot is not None else max(lengths_N[i] for i in batch)
        for i in batch:
            tokens += int(lengths_N[i])
            padding += int(longest - lengths_N[i])
    assert padding_share(lengths_N, batches, slot) == pytest.approx(padding / (padding + tokens), abs=1e-12)


LENGTHS = {  # medians and spreads of short messages, news items and reviews, in tokens
    "messages": (3.0, 0.6),
    "news": (3.9, 0.5),
    "reviews": (5.0, 0.7),
}


def drawn(kind: str, count: int) -> np.ndarray:
    mean, sigma = LENGTHS[kind]
    draw = np.random.default_rng(0)
    return np.clip(np.rint(draw.lognormal(mean, sigma, count)), 3, 256).astype(np.int64)


@pytest.mark.parametrize(("count", "bound"), [(1_000, 0.06), (20_000, 0.03), (100_000, 0.01)])
@pytest.mark.parametrize("kind", LENGTHS)
def test_near_equal_lengths_leave_one_percent_of_padding_where_there_are_many_texts(
    kind: str, count: int, bound: float
) -> None:
    lengths_N = drawn(kind, count)
    budget, _ = choices.token_budget(int(lengths_N.sum()))
    batches = made(lengths_N, "uniform_length", budget=budget)
    assert padding_share(lengths_N, batches, None) <= bound
    assert padding_share(lengths_N, made(lengths_N, "padded", size=32), 256) > 0.3


@pytest.mark.parametrize("kind", LENGTHS)
def test_packing_fills_its_budget(kind: str) -> None:
    lengths_N = drawn(kind, 20_000)
    batches = made(lengths_N, "packed", budget=4096)
    assert lengths_N.sum() / (4096 * len(batches)) > 0.99


@pytest.mark.parametrize("plan", PLANS)
def test_a_million_examples_are_planned_in_seconds(plan: Plan) -> None:
    count = 100_000 if plan == "packed" else 1_000_000
    lengths_N = drawn("messages", count)
    started = time.process_time()
    made(lengths_N, plan, budget=8192, size=32 if plan == "padded" else None)
    assert time.process_time() - started < 3
