"""Words as a reader sees them, in every script, with their places."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.data.words import words


def split(text: str) -> list[str]:
    return [text[begin:end] for begin, end in words(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  \n", []),
        ("?!", []),
        ("word", ["word"]),
        ("Don't re-read 'it', well-made!", ["Don't", "re-read", "it", "well-made"]),
        ("3.5 of 1,000. Then 7", ["3.5", "of", "1,000", "Then", "7"]),
        ("one,two.three", ["one", "two", "three"]),
        ("a- b -c d--e snake_case", ["a", "b", "c", "d", "e", "snake_case"]),
        ("cafe\u0301 na\u00efve", ["cafe\u0301", "na\u00efve"]),
        ("这部电影,很好", ["这", "部", "电", "影", "很", "好"]),
        ("iPhone手机 5号", ["iPhone", "手", "机", "5", "号"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("좋은 영화", ["좋은", "영화"]),
        ("हिन्दी फिल्म", ["हिन्दी", "फिल्म"]),
        ("good👍🏽👍 👩\u200d🚀!", ["good", "👍🏽", "👍", "👩\u200d🚀"]),
        ("a\u200bb", ["a", "b"]),
    ],
)
def test_words_are_what_a_reader_calls_words(text: str, found: list[str]) -> None:
    assert split(text) == found


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters() | st.sampled_from("aé -'.,3这 👍\u200d\u0301_"), max_size=30))
def test_places_rise_and_every_letter_and_digit_is_in_a_word(text: str) -> None:
    places = list(words(text))
    assert all(begin < end for begin, end in places)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(places))
    within = {i for begin, end in places for i in range(begin, end)}
    assert all(i in within for i, one in enumerate(text) if unicodedata.category(one)[0] in "LN")
    assert not any(text[i].isspace() for i in within)
