"""Plans have every example once, keep their budget, and depend on nothing but their arguments."""

from __future__ import annotations

import itertools
import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.batch import Batch
from custom_bert.config import Plan
from custom_bert.data.batching import (
    EVALUATION_PADDING,
    by_length,
    near_equal_slots,
    num_rows,
    padding_share,
    plan_batches,
    texts_at_once,
    training_slots,
)
from custom_bert.rules import choices

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
        assert own.sum() <= budget or len(batch) == 1


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
        "uniform_length": [[6, 3, 2], [9, 0], [4, 8], [1, 7], [5]],
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


def test_neighbours_in_length_share_a_batch_and_shorter_ones_fill_it() -> None:
    draw = np.random.default_rng(0)
    lengths_N = draw.integers(2, 200, 3000)
    blocks = []
    for batch in made(lengths_N, "uniform_length", budget=2048):
        own = lengths_N[batch]
        assert (np.diff(own) <= 0).all()
        blocks.append(len(np.unique(own)))
    assert np.mean(blocks) < 8


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
        assert near_equal_slots(lengths_N[batch], EVALUATION_PADDING).sum() <= budget or len(batch) == 1
    assert as_lists(by_length(lengths_N, budget)) == as_lists(batches)
    limited = by_length(lengths_N, budget, 3)
    assert np.concatenate(limited).tolist() == order.tolist() and max(map(len, limited)) <= 3
    assert all(
        near_equal_slots(lengths_N[b], EVALUATION_PADDING).sum() <= budget or len(b) == 1 for b in limited
    )


def test_many_classes_bound_the_texts_that_are_computed_together() -> None:
    assert [texts_at_once(classes) for classes in (1 << 16, 1 << 12, 1 << 30)] == [256, 4096, 1]


# Slots and padding


@settings(quiet, max_examples=150)
@given(lengths, st.sampled_from([0.0, 0.005, 0.2]))
def test_near_equal_slots_hold_their_texts_and_little_padding(lengths_N: np.ndarray, padding: float) -> None:
    falling = np.sort(lengths_N)[::-1]
    slots = near_equal_slots(falling, padding)
    assert (slots >= falling).all() and set(slots) <= set(falling.tolist())
    for slot in np.unique(slots):
        inside = falling[slots == slot]
        assert inside.sum() >= len(inside) * slot * (1 - padding)


def test_slots_follow_their_lengths() -> None:
    assert near_equal_slots(np.array([10, 10, 9, 4, 4, 7]), 0.0).tolist() == [10, 10, 9, 4, 4, 7]
    assert near_equal_slots(np.array([10, 10, 9, 4, 4, 7]), 0.05).tolist() == [10, 10, 10, 4, 4, 7]
    assert training_slots(np.array([3, 5]), "padded", 8).tolist() == [8, 8]
    assert training_slots(np.array([3, 5, 3]), "packed", 8).tolist() == [3, 5, 3]
    assert num_rows(np.array([3, 5]), "packed") == 64 and num_rows(np.array([3, 5]), "padded") == 8
    assert num_rows(np.array([64]), "uniform_length") == 64


@pytest.mark.parametrize("plan", PLANS)
@settings(quiet, max_examples=60)
@given(lengths, budgets, sizes)
def test_padding_share_counts_rows_without_tokens(
    plan: Plan, lengths_N: np.ndarray, budget: int, size: int | None
) -> None:
    batches = made(lengths_N, plan, budget=budget, size=size)
    rows = 0
    for batch in batches:
        padded = Batch.build(
            [np.ones(n, dtype=np.int64) for n in lengths_N[batch]],
            slots=training_slots(lengths_N[batch], plan, 40),
        )
        rows += padded.num_rows if plan == "padded" else -(-padded.num_rows // 64) * 64
    share = padding_share(lengths_N, batches, plan, 40)
    assert share == pytest.approx(1 - lengths_N.sum() / rows, abs=1e-12)


LENGTHS = {  # medians and spreads of short messages, news items and reviews, in tokens
    "messages": (3.0, 0.6),
    "news": (3.9, 0.5),
    "reviews": (5.0, 0.7),
}


def drawn(kind: str, count: int) -> np.ndarray:
    mean, sigma = LENGTHS[kind]
    draw = np.random.default_rng(0)
    return np.clip(np.rint(draw.lognormal(mean, sigma, count)), 3, 256).astype(np.int64)


@pytest.mark.parametrize("count", [1_000, 5_000, 20_000, 100_000])
@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("plan", ["uniform_length", "packed"])
def test_at_most_one_percent_of_the_rows_is_padding(kind: str, count: int, plan: Plan) -> None:
    lengths_N = drawn(kind, count)
    budget, _ = choices.token_budget(int(lengths_N.sum()))
    batches = made(lengths_N, plan, budget=budget)
    assert padding_share(lengths_N, batches, plan, 256) <= (0.012 if count == 1_000 else 0.01)
    assert padding_share(lengths_N, made(lengths_N, "padded", size=32), "padded", 256) > 0.3


@pytest.mark.parametrize("kind", LENGTHS)
def test_nearly_all_batches_have_the_same_number_of_rows(kind: str) -> None:
    lengths_N = drawn(kind, 20_000)
    rows = [
        num_rows(training_slots(lengths_N[batch], "uniform_length", 256), "uniform_length")
        for batch in made(lengths_N, "uniform_length", budget=2048)
    ]
    assert np.mean(np.array(rows) == 2048) > 0.95


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
