"""How long training will take is said before the first step, with the way to shorten it."""

import pytest

from custom_bert.training.introduction import time_in_words


@pytest.mark.parametrize(
    ("seconds", "limit", "words"),
    [
        (40, None, "about 40 s"),
        (1790, None, "about 30 min"),
        (8_000, None, "about 2 h 13 min; --max-minutes 30 would do fewer steps in 30 min"),
        (8_000, 60, "60 min in all, of the 2 h 13 min that all epochs would take"),
        (600, 60, "about 10 min"),
        (8_000, 200, "about 2 h 13 min"),
    ],
)
def test_a_long_time_comes_with_a_way_to_shorten_it(seconds: float, limit: float | None, words: str) -> None:
    assert time_in_words(seconds, limit) == words
