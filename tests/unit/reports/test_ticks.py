"""Ticks are round, cover their range, and are written as what they are."""

from __future__ import annotations

import itertools
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.reports.ticks import ROUND, powers, ticks, written

NUMBERS = st.floats(-1e300, 1e300, allow_subnormal=False)
POSITIVE = st.floats(1e-300, 1e300)


def exact(tick: float) -> Decimal:
    return Decimal(repr(tick))


@given(NUMBERS, NUMBERS, st.integers(1, 10))
def test_ticks_are_few_round_and_equally_far_apart(one: float, other: float, about: int) -> None:
    found = ticks(*sorted((one, other)), about=about)
    assert 2 <= len(found) <= about + 3
    steps = {exact(b) - exact(a) for a, b in itertools.pairwise(found)}
    assert len(steps) == 1, "what is between the ticks is the same everywhere, to the last digit"
    (step,) = steps
    assert any(step == number.scaleb(step.adjusted()) for number in ROUND)
    assert all(exact(tick) % step == 0 for tick in found)


@given(NUMBERS, NUMBERS)
def test_ticks_cover_their_range_and_reach_less_than_a_step_beyond_it(one: float, other: float) -> None:
    low, high = sorted((one, other))
    found = [exact(tick) for tick in ticks(low, high)]
    step, slack = found[1] - found[0], max(abs(exact(low)), abs(exact(high))) * Decimal("1e-11")
    assert found[0] <= exact(low) + slack and exact(high) - slack <= found[-1]
    if len(found) > 3:  # fewer stand around a value that does not change
        assert found[1] > exact(low) - slack and found[-2] < exact(high) + slack
    assert step > 0


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_whole_ticks_are_whole(one: int, other: int) -> None:
    assert all(tick == int(tick) for tick in ticks(*sorted((one, other)), whole=True))


@given(NUMBERS, NUMBERS)
def test_no_two_ticks_are_written_alike_and_each_is_read_as_what_it_is(one: float, other: float) -> None:
    found = ticks(*sorted((one, other)))
    texts = [written(tick) for tick in found]
    assert len(set(texts)) == len(texts)
    assert [read(text) for text in texts] == [exact(tick) for tick in found]


def read(text: str) -> Decimal:
    digits, unit = re.fullmatch(r"(.*?)([GMk]?)", text).groups()  # type: ignore[union-attr]
    return Decimal(digits.replace(",", "")) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[unit]


@given(POSITIVE, POSITIVE, st.sampled_from([2, 10]))
def test_powers_cover_their_range(one: float, other: float, base: int) -> None:
    low, high = sorted((one, other))
    found = powers(low, high, base)  # type: ignore[arg-type]
    assert 2 <= len(found) <= 9
    # a logarithm is rounded, so that a value beside a power may count as that power
    assert found[0] <= low * (1 + 1e-12) and high * (1 - 1e-12) <= found[-1]


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1e-4, ["0", "2.5e-5", "5e-5", "7.5e-5", "1e-4"]),
        (0, 3e-5, ["0", "1e-5", "2e-5", "3e-5"]),
        (0.1234, 0.12347, ["0.1234", "0.12342", "0.12344", "0.12346", "0.12348"]),
        (0, 0.3, ["0", "0.1", "0.2", "0.3"]),
        (0, 0.1 + 0.2, ["0", "0.1", "0.2", "0.3"]),
        (0, 25_000, ["0", "10k", "20k", "30k"]),
        (0, 1_500_000, ["0", "500k", "1M", "1.5M"]),
        (2.30259, 2.302590001, ["2.3025", "2.3026"]),
        (5, 5, ["4", "6"]),
        (0, 0, ["-0.25", "0", "0.25"]),
    ],
)
def test_an_axis_reads(low: float, high: float, texts: list[str]) -> None:
    assert [written(tick) for tick in ticks(low, high)] == texts


def test_powers_are_written_in_full_where_a_unit_is_no_shorter() -> None:
    lengths = [written(tick) for tick in powers(128, 8_192, 2)]
    assert lengths == ["128", "256", "512", "1,024", "2,048", "4,096", "8,192"]
    assert [written(tick) for tick in powers(10, 10_000, 10)] == ["10", "100", "1k", "10k"]
