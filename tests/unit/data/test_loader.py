"""Batches arrive in the plan's order; errors arrive too; nobody waits for ever."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch
from data_files import SPECIALS, lines

from custom_bert.batch import Batch
from custom_bert.config import Plan
from custom_bert.data import loader
from custom_bert.data.batching import plan_batches
from custom_bert.data.cache import Cache
from custom_bert.data.loader import BatchBuilder, Transform, prefetch
from custom_bert.data.store import open_store
from custom_bert.data.targets import ClassIds
from custom_bert.data.text import LineReader
from custom_bert.data.tokenizer_files import from_vocab

PLANS: tuple[Plan, ...] = get_args(Plan)
PLAN = [np.arange(3 * i, 3 * i + 3) for i in range(40)]


def numbered(indices: np.ndarray) -> Batch:
    return Batch.build([np.array([int(i) + 1]) for i in indices], indices=indices)


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "custom-bert-loader"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    assert not loader_threads()
    yield
    assert not loader_threads()


def in_time(work: Callable[[], Any], seconds: float = 20) -> Any:
    """The result of `work`, which must not take longer."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append((work(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, "the consumer waits for ever"
    value, error = result[0]
    if error is not None:
        raise error
    return value


def test_batches_come_in_the_plans_order_and_all_of_them() -> None:
    def slow_at_times(indices: np.ndarray) -> Batch:
        time.sleep(0.002 * (indices[0] % 4))
        return numbered(indices)

    found = in_time(lambda: [batch.indices.tolist() for batch in prefetch(PLAN, slow_at_times)])
    assert found == [indices.tolist() for indices in PLAN]


def test_a_slow_consumer_gets_the_same_and_the_thread_stays_few_batches_ahead() -> None:
    built: list[int] = []
    most = 0

    def build(indices: np.ndarray) -> Batch:
        built.append(int(indices[0]))
        return numbered(indices)

    def consume() -> list[int]:
        nonlocal most
        seen: list[int] = []
        for batch in prefetch(PLAN, build):
            time.sleep(0.005)
            seen.append(int(batch.indices[0]))
            most = max(most, len(built) - len(seen))
        return seen

    assert in_time(consume) == [int(indices[0]) for indices in PLAN]
    assert most <= loader.AHEAD + 2  # ready, in hand, and in the making


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("at", [0, 1, 7, 39])
def test_an_error_in_the_thread_is_raised_at_the_batch_it_concerns(at: int, error: BaseException) -> None:
    def build(indices: np.ndarray) -> Batch:
        if indices[0] == 3 * at:
            raise error
        return numbered(indices)

    seen: list[int] = []

    def consume() -> None:
        seen.extend(int(batch.indices[0]) for batch in prefetch(PLAN, build))

    with pytest.raises(type(error)) as raised:
        in_time(consume)
    assert raised.value is error
    assert seen == [3 * i for i in range(at)]


@pytest.mark.parametrize("taken", [0, 1, 5, 40])
def test_abandoning_the_batches_ends_the_thread(taken: int) -> None:
    batches = prefetch(PLAN, numbered)
    for _ in range(taken):
        next(batches)
    if 0 < taken < len(PLAN):
        assert loader_threads()
    in_time(batches.close)  # type: ignore[attr-defined]
    assert not loader_threads()


def test_forgetting_the_batches_ends_the_thread() -> None:
    batches = prefetch(PLAN, numbered)
    next(batches)
    assert loader_threads()
    del batches
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not loader_threads()


def test_an_error_of_the_consumer_ends_the_thread() -> None:
    def consume() -> None:
        for batch in prefetch(PLAN, numbered):
            raise ZeroDivisionError(batch.num_rows)

    with pytest.raises(ZeroDivisionError):
        in_time(consume)


def test_an_empty_plan_gives_nothing() -> None:
    assert in_time(lambda: list(prefetch([], numbered))) == []


# Building


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> BatchBuilder:
    directory = tmp_path_factory.mktemp("loader")
    texts = ["a " * (i % 9) for i in range(30)]
    (directory / "t.txt").write_bytes(lines(texts))
    sha256 = hashlib.sha256(lines(texts)).hexdigest()
    tokenizer = from_vocab([*SPECIALS, "a"], lowercase=True)
    store = open_store(
        LineReader(directory / "t.txt"), sha256, tokenizer, max_length=12, cache=Cache(directory)
    )
    rows = np.arange(1, 30, 2)  # a split: every second line
    return BatchBuilder(store, rows, ClassIds(rows % 5), tokenizer.pad_id)


def test_lengths_are_those_of_the_splits_rows(builder: BatchBuilder) -> None:
    assert builder.lengths_N.tolist() == [2 + i % 9 for i in range(1, 30, 2)]


@pytest.mark.parametrize("plan", PLANS)
def test_copies_of_a_text_follow_one_another_and_are_equal(builder: BatchBuilder, plan: Plan) -> None:
    batches = plan_batches(builder.lengths_N, plan, token_budget=40, batch_size=4, seed=0, epoch=0)
    for indices in batches:
        batch = builder.build(indices, plan, 12, transform=Transform(copies=2))
        assert batch.indices.tolist() == [i for i in indices.tolist() for _ in range(2)]
        assert batch.targets is not None
        assert torch.equal(batch.targets.values[::2], batch.targets.values[1::2])
        starts = batch.layout.cu_seqlens.tolist()
        for first in range(0, 2 * len(indices), 2):
            length = int(builder.lengths_N[indices[first // 2]])
            one, other = (batch.input_ids_T[starts[i] : starts[i] + length] for i in (first, first + 1))
            assert torch.equal(one, other)


@pytest.mark.parametrize("plan", PLANS)
def test_a_batch_holds_its_examples_with_their_labels_laid_out_as_planned(
    builder: BatchBuilder, plan: Plan
) -> None:
    batches = plan_batches(builder.lengths_N, plan, token_budget=40, batch_size=4, seed=0, epoch=0)
    for indices in batches:
        batch = builder.build(indices, plan, 12)
        lengths = builder.lengths_N[indices]
        assert batch.indices.tolist() == indices.tolist()
        assert batch.layout.lengths_N.tolist() == lengths.tolist()
        assert batch.targets is not None
        assert batch.targets.values.tolist() == (builder.rows_N[indices] % 5).tolist()
        slots = [12] * len(indices) if plan == "padded" else lengths.tolist()
        assert torch.diff(batch.layout.cu_seqlens).tolist() == slots
        for k, start in enumerate(batch.layout.first_N.tolist()):
            own = batch.input_ids_T[start : start + slots[k]].tolist()
            n = int(lengths[k])
            assert own == [2, *[5] * (n - 2), 3] + [0] * (slots[k] - n)
        assert batch.num_tokens == lengths.sum()
        assert batch.num_rows == (12 * len(indices) if plan == "padded" else 64)


def test_labels_may_be_absent(builder: BatchBuilder) -> None:
    bare = BatchBuilder(builder.store, builder.rows_N, None, builder.pad_token_id)
    assert bare.build(np.array([0, 1]), "packed", 12).targets is None
