"""Units are words and signs of the user's own text: in order, without overlap, each with its first token."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from data_files import SPECIALS
from hypothesis import given
from hypothesis import strategies as st

from custom_bert.config import LongTexts
from custom_bert.data.encoded import units_of
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import from_vocab

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,-'!"
WORDS = ["paris", "new", "york", "un", "##believ", "##able", "kim"]
PIECES = from_vocab([*SPECIALS, *LETTERS, *(f"##{c}" for c in LETTERS), *WORDS, "市", "東"], lowercase=True)


def units(text: str, length: int = 64, long_texts: LongTexts = "head") -> tuple[np.ndarray, list[str]]:
    encoded = PIECES.encode([text], length, long_texts, units=True)
    assert encoded.units is not None
    (found,) = encoded.units
    return found, [text[start:end] for start, end in found[:, 1:].tolist()]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Kim left.", ["Kim", "left", "."]),
        ("U.N. don't", ["U", ".", "N", ".", "don", "'", "t"]),
        ("東市 Paris", ["東", "市", "Paris"]),
        ("Caf\u00e9 caf" + "e\u0301!", ["Caf\u00e9", "cafe\u0301", "!"]),
        ("ﬁve Straße", ["ﬁve", "Straße"]),
        ("a\u200bb \u200b c", ["a\u200bb", "c"]),
        ("x\r\ny\tz", ["x", "y", "z"]),
        ("\U0001f600 hi", ["\U0001f600", "hi"]),
        ("", []),
        (" \t\n ", []),
        ("\u200b", []),
    ],
)
def test_units_are_cut_from_the_users_characters(text: str, wanted: list[str]) -> None:
    assert units(text)[1] == wanted


def test_the_first_token_of_each_unit_is_told() -> None:
    found, parts = units("Unbelievable Kim")
    tokens = PIECES.encode(["Unbelievable Kim"], 64).sequences[0]
    assert parts == ["Unbelievable", "Kim"]
    assert [PIECES.backend.id_to_token(int(tokens[at])) for at in found[:, 0]] == ["un", "kim"]


def test_of_a_text_that_is_cut_the_units_are_kept_whose_first_token_is() -> None:
    text = "kim unbelievable paris kim"  # 1 + 3 + 1 + 1 tokens
    assert units(text, 5)[1] == ["kim", "unbelievable"]
    assert units(text, 4)[1] == ["kim", "unbelievable"], "its place is that of all its tokens"
    found, parts = units(text, 6, "head_tail")  # keeps the first of four tokens, and the last three
    assert parts == ["kim", "paris", "kim"]
    tokens = PIECES.encode([text], 6, "head_tail").sequences[0]
    assert [PIECES.backend.id_to_token(int(tokens[at])) for at in found[:, 0]] == ["kim", "paris", "kim"]


def test_words_that_were_made_from_one_character_are_one_unit() -> None:
    places = np.array([[0, 1], [0, 1], [0, 1], [1, 3]])
    assert units_of([0, 1, 2, 3], places, "½ab").tolist() == [[0, 0, 1], [3, 1, 3]]


HOSTILE = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("aA.,' \t\r\n\u0301\u0308\u200b\u200d\ufe0f\u00ad½ﬁßİıŸ東市가\u1100\u1161🏳️‍🌈👩‍👩‍👧"),
    ),
    max_size=40,
)


@given(text=HOSTILE, length=st.integers(3, 30))
def test_units_of_any_text_are_in_order_and_have_a_token_each(text: str, length: int) -> None:
    _check(PIECES, text, length)
    _check(PIECES, unicodedata.normalize("NFD", text), length)


def _check(tokenizer: TextTokenizer, text: str, length: int) -> None:
    encoded = tokenizer.encode([text], length, "windows", units=True, offsets=True)
    assert encoded.units is not None and encoded.offsets is not None
    found = encoded.units[0]
    assert (found[:, 1] < found[:, 2]).all() and (found[:, 2] <= len(text)).all()
    assert (found[1:, 1] >= found[:-1, 2]).all() and (np.diff(found[:, 0]) > 0).all()
    assert (found[:, 0] >= 1).all() and (found[:, 0] < len(encoded.sequences[0]) - 1).all()
    offsets = encoded.offsets[0][found[:, 0]]
    assert (offsets[:, 0] == found[:, 1]).all(), "a unit begins where its first token does"
    assert not any(text[start:end].isspace() for start, end in found[:, 1:].tolist())
