"""The learning rate rises linearly, falls to 0, and is a pure function of progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.training.schedule import lr_factor


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_it_starts_at_zero_peaks_after_the_warmup_and_ends_at_zero(schedule: str) -> None:
    def factor(progress: float) -> float:
        return lr_factor(progress, warmup=0.1, schedule=schedule)  # type: ignore[arg-type]

    assert factor(0.0) == 0.0
    assert factor(0.05) == pytest.approx(0.5)
    assert factor(0.1) == pytest.approx(1.0)
    assert factor(0.55) == pytest.approx(0.5)
    assert factor(1.0) == pytest.approx(0.0, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["cosine", "linear"]))
def test_it_stays_between_zero_and_one(progress: float, warmup: float, schedule: str) -> None:
    assert 0.0 <= lr_factor(progress, warmup=warmup, schedule=schedule) <= 1.0  # type: ignore[arg-type]


def test_no_warmup_starts_at_the_peak() -> None:
    assert lr_factor(0.0, warmup=0.0, schedule="linear") == 1.0
