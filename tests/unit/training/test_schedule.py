"""The learning rate rises linearly, falls to 0, and is a pure function of progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.rules.schedule import Evaluations, lr_factor


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_it_starts_at_zero_peaks_after_the_warmup_and_ends_at_zero(schedule: str) -> None:
    def factor(progress: float) -> float:
        return lr_factor(progress, warmup=0.1, schedule=schedule)  # type: ignore[arg-type]

    assert factor(0.0) == 0.0
    assert factor(0.05) == pytest.approx(0.5)
    assert factor(0.1) == pytest.approx(1.0)
    assert factor(0.55) == pytest.approx(0.5)
    assert factor(1.0) == pytest.approx(0.0, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["cosine", "linear", "wsd"]))
def test_it_stays_between_zero_and_one(progress: float, warmup: float, schedule: str) -> None:
    assert 0.0 <= lr_factor(progress, warmup=warmup, schedule=schedule) <= 1.0  # type: ignore[arg-type]


def test_no_warmup_starts_at_the_peak() -> None:
    assert lr_factor(0.0, warmup=0.0, schedule="linear") == 1.0


def test_wsd_is_stable_between_the_warmup_and_the_decay() -> None:
    def factor(progress: float) -> float:
        return lr_factor(progress, warmup=0.1, schedule="wsd", decay=0.2)

    assert factor(0.05) == pytest.approx(0.5)
    assert factor(0.1) == factor(0.5) == factor(0.79) == 1.0
    assert factor(0.85) == pytest.approx(0.5)  # 1 - sqrt(1 / 4)
    assert factor(1.0) == pytest.approx(0.0, abs=1e-12)


def test_evaluations_go_by_steps_where_they_are_given() -> None:
    by_steps = Evaluations(every=5)
    assert [step for step in range(1, 21) if by_steps.due(step, 1.0, 1.0, 0.0)] == [5, 10, 15, 20]


@pytest.mark.parametrize(
    ("cost", "found"),
    [(0.0, [8, 16, 24, 32, 40, 48, 56]), (4.0, [8, 28, 48]), (15.0, [8])],
    ids=["cheap", "a fifth of the time", "hardly affordable"],
)
def test_evaluations_by_time_take_a_share_of_it_at_most(cost: float, found: list[int]) -> None:
    """64 seconds; each step takes one of them and is a pass."""
    by_time = Evaluations(every=None, interval=1 / 8, pause=4.0, passes=0.0)
    not_before, evaluated, now = 0.0, [], 0.0
    for step in range(1, 64):
        now += 1.0
        if now >= 64:
            break
        if by_time.due(step, now / 64, float(step), not_before):
            evaluated.append(round(now))
            now += cost
            not_before = by_time.after(now / 64, now, cost)
    assert evaluated == found


def test_the_first_evaluation_waits_until_it_is_affordable() -> None:
    by_time = Evaluations(every=None, interval=0.1, pause=4.0, passes=2.0)
    assert not by_time.due(1, 0.5, 1.9, 0.0) and by_time.due(1, 0.5, 2.0, 0.0)
    assert not by_time.due(1, 0.05, 2.0, 0.0)
