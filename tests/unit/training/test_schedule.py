"""The learning rate rises linearly, falls to 0, and is a pure function of progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.training.schedule import batches_of_step, longest_piece, lr_factor


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


def test_a_step_has_ever_more_batches_until_the_warmup_is_over() -> None:
    sizes = [batches_of_step(8, 0.5, i / 100) for i in range(100)]
    assert (
        sizes[0] == 1 and sizes == sorted(sizes) and set(sizes[50:]) == {8} and set(sizes) == set(range(1, 9))
    )
    assert batches_of_step(8, 0.0, 0.0) == 8


def test_pieces_grow_until_the_warmup_is_over() -> None:
    assert [longest_piece(128, 0.3, i / 100) for i in (0, 9, 10, 19, 20, 29, 30)] == [
        16,
        16,
        32,
        32,
        64,
        64,
        None,
    ]
    assert longest_piece(128, 0.0, 0.0) is None
