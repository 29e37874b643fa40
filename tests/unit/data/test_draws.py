"""The counter behind masking and token dropout."""

import numpy as np
import pytest

from custom_bert.data.draws import uniform


def test_the_counter_gives_uniform_and_independent_numbers() -> None:
    many = np.arange(200_000)
    a, b = uniform(0, 0, many, many * 0, stream=0), uniform(0, 0, many, many * 0, stream=1)
    assert a.min() >= 0 and a.max() < 1
    assert a.mean() == pytest.approx(0.5, abs=0.005)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.01


def test_the_largest_seed_draws_like_any_other() -> None:
    drawn = uniform((1 << 63) - 1 + 1, 0, np.arange(1000), np.zeros(1000, dtype=np.int64), stream=3)
    assert 0.45 < drawn.mean() < 0.55
    others = uniform(5, 0, np.arange(1000), np.zeros(1000, dtype=np.int64), stream=3)
    assert abs(np.corrcoef(drawn, others)[0, 1]) < 0.1
