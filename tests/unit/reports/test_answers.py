"""Answers at a terminal: they fit its columns, mark the right words, and can be read in every encoding."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.reports.answers import (
    BOLD,
    MOST_LINES,
    PLAIN,
    UNDERLINED,
    Place,
    bar_lines,
    cells,
    filled,
    marked_lines,
    shortened,
    word_lines,
)

TEXT = "The socket waits for the lock"
PLACES = [Place(25, 29, 0.5), Place(4, 10, -0.25), Place(0, 3, 0.0001)]
WORDS = [(TEXT[one.start : one.end], one.effect) for one in PLACES]


def test_bars_are_as_long_as_the_probabilities() -> None:
    lines = bar_lines([("sport", 0.75), ("weather", 0.25), ("x", 0.0)], 40)
    assert lines == [
        f"sport    {'█' * 17:<23}   75.0%",
        f"weather  {'█' * 6:<23}   25.0%",
        f"x        {'':<23}    0.0%",
    ]


def test_words_are_listed_by_what_they_do_and_those_that_do_nothing_are_not() -> None:
    assert word_lines(WORDS, 80) == ["words for it: lock +0.5", "words against it: socket -0.25"]
    assert word_lines(WORDS[:1], 80, " (x)") == ["words for it (x): lock +0.5"]
    (nothing,) = word_lines(WORDS[2:], 80)
    assert nothing.startswith("no single word counts")


def test_the_words_for_a_label_are_bold_and_those_against_it_underlined() -> None:
    (line,) = marked_lines(TEXT, PLACES, 80)
    assert line == f"The {UNDERLINED}socket{PLAIN} waits for the {BOLD}lock{PLAIN}"
    assert marked_lines(TEXT, [], 80) == [TEXT]
    together = marked_lines("ab", [Place(0, 1, 1.0), Place(1, 2, -1.0)], 80)
    assert together == [f"{BOLD}a{PLAIN}{UNDERLINED}b{PLAIN}"]


def plain(line: str) -> str:
    return re.sub("\x1b\\[[014]m", "", line)


STRANGE = st.characters() | st.sampled_from(" 这部aé\u0301\t\x1b👍-")


@settings(max_examples=200, deadline=None)
@given(st.text(STRANGE, max_size=200), st.sampled_from([40, 80]), st.data())
def test_every_line_fits_and_the_text_can_be_read_again(text: str, columns: int, data: st.DataObject) -> None:
    at = data.draw(st.lists(st.integers(0, max(0, len(text) - 1)), max_size=4, unique=True)) if text else []
    places = [Place(i, i + 1, 1.0) for i in at]
    lines = marked_lines(text, places, columns)
    seen = [plain(line) for line in lines]
    assert all(cells(line) <= columns and "\x1b" not in line for line in seen)
    if len(lines) <= MOST_LINES:
        kept = "".join(one if one.isprintable() else " " for one in text)
        assert "".join(seen).replace(" ", "") == kept.replace(" ", "")
    words = [(text[one.start : one.end], one.effect) for one in places]
    others = [*word_lines(words, columns), shortened(text, columns), *filled(text, columns, "  ")]
    others += bar_lines([(text or "x", 0.5), ("y", 0.25)], columns)
    assert all(cells(line) <= columns for line in others)


def test_a_long_text_is_shown_from_its_beginning() -> None:
    lines = marked_lines("word " * 1_000, [], 40)
    assert len(lines) == MOST_LINES + 1 and lines[-1] == "…"
    assert shortened("word " * 1_000, 40) == "word word word word word word word word…"


def test_an_encoding_without_bars_gets_signs_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    lines = bar_lines([("größe", 0.5)], 40)
    assert lines[0].isascii() and "##" in lines[0]
    assert marked_lines("größe", [Place(0, 5, 1.0)], 40) == [f"{BOLD}gr??e{PLAIN}"]
