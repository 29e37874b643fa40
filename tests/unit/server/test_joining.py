"""The queue that joins requests: order, budget, fairness, bounds, and an end that loses nothing."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from custom_bert.server.joining import ClosedError, Job, Joiner, OverdueError, QueueFullError


class Fake:
    """Answers each item with itself in capitals, and notes what was computed together."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.time = 0.0
        self.delivered: list[Job] = []

    def __call__(self, kind: str, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        if "bad" in items:
            raise RuntimeError("a model that fails")
        return [f"{kind}:{item.upper()}" for item in items]

    def joiner(self, **changes: Any) -> Joiner:
        bounds = {"budget": 10, "most_jobs": 100, "most_characters": 1000, **changes}
        return Joiner(self, self.delivered.extend, clock=lambda: self.time, **bounds)


def job(*items: str, kind: str = "k", deadline: float = 1e9) -> Job:
    return Job(kind, items, [len(item) for item in items], deadline)


def ended(joiner: Joiner, *jobs: Job) -> None:
    """Puts jobs, and computes until all of them are finished."""
    for one in jobs:
        joiner.put(one)
    joiner.close()
    joiner.run()


def answers(*jobs: Job) -> list[list[Any]]:
    return [one.answers for one in jobs]


def test_requests_that_wait_are_computed_together_and_answered_each_in_its_order() -> None:
    fake = Fake()
    jobs = [job("a", "b"), job("c"), job("d", "e")]
    ended(fake.joiner(), *jobs)
    assert fake.batches == [["a", "b", "c", "d", "e"]]
    assert answers(*jobs) == [["k:A", "k:B"], ["k:C"], ["k:D", "k:E"]]
    assert fake.delivered == jobs


def test_no_batch_is_larger_than_the_budget_unless_a_single_item_is() -> None:
    fake = Fake()
    generator = np.random.Generator(np.random.PCG64(0))
    jobs = [
        job(*("x" * int(generator.integers(1, 14)) for _ in range(generator.integers(1, 9))))
        for _ in range(50)
    ]
    ended(fake.joiner(most_characters=10_000), *jobs)
    assert all(len(batch) == 1 or sum(map(len, batch)) <= 10 for batch in fake.batches)
    for one in jobs:
        assert one.answers == [f"k:{item.upper()}" for item in one.items]


def test_a_batch_takes_as_much_as_fits() -> None:
    fake = Fake()
    ended(fake.joiner(), *(job("xxx") for _ in range(7)))
    assert [len(batch) for batch in fake.batches] == [3, 3, 1]


def test_a_request_of_many_texts_holds_others_up_for_one_batch_only() -> None:
    fake = Fake()
    large, small = job(*("xxxxx" for _ in range(40))), job("s")
    ended(fake.joiner(), large, small)
    assert "s" in fake.batches[1]
    assert fake.delivered == [small, large]
    assert large.answers == ["k:XXXXX"] * 40


def test_kinds_are_computed_apart_and_keep_their_order() -> None:
    fake = Fake()
    jobs = [job("a", kind="p"), job("b", kind="q"), job("c", kind="p")]
    ended(fake.joiner(), *jobs)
    assert fake.batches == [["a", "c"], ["b"]]
    assert answers(*jobs) == [["p:A"], ["q:B"], ["p:C"]]


def test_a_request_that_breaks_the_model_does_not_break_the_others_of_its_batch() -> None:
    fake = Fake()
    jobs = [job("a"), job("bad"), job("c")]
    ended(fake.joiner(), *jobs)
    assert answers(jobs[0], jobs[2]) == [["k:A"], ["k:C"]]
    assert isinstance(jobs[1].error, RuntimeError) and jobs[1].answers == []
    assert len(fake.delivered) == 3


def test_a_model_that_gives_too_few_answers_is_a_failure_and_not_somebody_elses_answer() -> None:
    delivered: list[Job] = []
    joiner = Joiner(
        lambda kind, items: items[:1], delivered.extend, budget=10, most_jobs=9, most_characters=99
    )
    jobs = [job("a", "b"), job("c")]
    ended(joiner, *jobs)
    assert isinstance(jobs[0].error, AssertionError)
    assert jobs[1].answers == ["c"]


def test_a_full_queue_refuses_and_has_room_again_later() -> None:
    fake = Fake()
    joiner = fake.joiner(most_jobs=2)
    first = job("a")
    joiner.put(first)
    joiner.put(job("b"))
    with pytest.raises(QueueFullError):
        joiner.put(job("c"))
    assert joiner.jobs == 2
    joiner.give_up(first)
    joiner.put(job("c"))
    ended(joiner)
    assert fake.batches == [["b", "c"]]
    assert joiner.jobs == joiner.characters == 0


def test_the_queue_is_bounded_in_characters_too_but_a_single_request_always_fits() -> None:
    joiner = Fake().joiner(most_characters=5)
    joiner.put(job("123456789"))
    with pytest.raises(QueueFullError):
        joiner.put(job("a"))


def test_a_request_that_waited_too_long_is_given_up_and_never_computed() -> None:
    fake = Fake()
    joiner = fake.joiner()
    late, other = job("late", deadline=5.0), job("other")
    joiner.put(late)
    joiner.put(other)
    assert joiner.overdue() == []
    fake.time = 5.0
    assert joiner.overdue() == [late]
    assert isinstance(late.error, OverdueError) and not late.error.begun
    ended(joiner)
    assert fake.batches == [["other"]] and fake.delivered == [other]


def test_a_request_that_is_late_while_it_is_computed_is_delivered_once() -> None:
    fake = Fake()
    joiner = fake.joiner()
    one = job("a", deadline=5.0)
    late: list[Job] = []

    def slow(kind: str, items: Sequence[str]) -> Sequence[str]:
        fake.time = 6.0
        late.extend(joiner.overdue())
        return items

    joiner._compute = slow
    ended(joiner, one)
    assert late == [one] and fake.delivered == []
    assert isinstance(one.error, OverdueError) and one.error.begun


def test_what_was_accepted_before_the_end_is_answered_and_nothing_is_accepted_after_it() -> None:
    fake = Fake()
    joiner = fake.joiner()
    jobs = [job("xxxxxxxx") for _ in range(20)]
    thread = threading.Thread(target=joiner.run)
    for one in jobs[:10]:
        joiner.put(one)
    thread.start()
    for one in jobs[10:]:
        joiner.put(one)
    joiner.close()
    with pytest.raises(ClosedError):
        joiner.put(job("too late"))
    thread.join(10)
    assert fake.delivered == jobs and all(one.answers == ["k:XXXXXXXX"] for one in jobs)


def test_if_the_computing_thread_dies_everybody_is_told() -> None:
    delivered: list[Job] = []

    def dies(kind: str, items: Sequence[str]) -> Sequence[str]:
        raise SystemExit

    joiner = Joiner(dies, delivered.extend, budget=1, most_jobs=9, most_characters=99)
    jobs = [job("a"), job("b")]
    for one in jobs:
        joiner.put(one)
    with pytest.raises(SystemExit):
        joiner.run()
    assert delivered == jobs and all(isinstance(one.error, SystemExit) for one in jobs)
    assert joiner.closed


def test_many_threads_get_their_own_answers() -> None:
    """Requests come while others are computed: none is lost, doubled or mixed up."""
    joiner: Joiner
    got: dict[Job, int] = {}

    def deliver(jobs: list[Job]) -> None:
        for one in jobs:
            got[one] = got.get(one, 0) + 1

    joiner = Joiner(
        lambda kind, items: [item * 2 for item in items],
        deliver,
        budget=50,
        most_jobs=10_000,
        most_characters=10**9,
    )
    worker = threading.Thread(target=joiner.run)
    worker.start()
    jobs: list[Job] = []

    def ask(number: int) -> None:
        generator = np.random.Generator(np.random.PCG64(number))
        for i in range(100):
            one = job(*(f"{number}-{i}-{k}" for k in range(generator.integers(1, 20))))
            jobs.append(one)
            joiner.put(one)

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in askers:
        thread.start()
    for thread in askers:
        thread.join()
    joiner.close()
    worker.join(10)
    assert len(got) == 400 and set(got.values()) == {1}
    assert all(one.answers == [item * 2 for item in one.items] for one in jobs)
