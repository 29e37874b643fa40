"""Spans become tags of units and come back; every span cuts the text where it says, in 10,000 hostile
texts."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import pytest
from hostile_texts import hostile

from custom_bert.data.words import words
from custom_bert.spans.entity import Span
from custom_bert.spans.json_spans import read_json_spans
from custom_bert.spans.schemes import write_tags
from custom_bert.spans.spanned import Range
from custom_bert.spans.units import changed_spans, snapped, spans_of, unit_spans, unit_tags, word_tags

TEXT = "Kim left Berlin-Mitte."
UNITS = [(0, 3), (4, 8), (9, 15), (15, 16), (16, 21), (21, 22)]


def drawn_units(draw: random.Random, text: str) -> list[Range]:
    """Units of three kinds: between white space, words, and single visible characters."""
    kind = draw.randrange(3)
    if kind == 0:
        return [one.span() for one in re.finditer(r"\S+", text) if one[0].strip()]
    if kind == 1:
        return list(words(text))
    return [(i, i + 1) for i, character in enumerate(text) if not character.isspace()]


def drawn_spans(draw: random.Random, units: list[Range]) -> list[Span]:
    """Spans of whole units, in order, some of them side by side."""
    found, at = [], 0
    while at < len(units):
        end = min(len(units), at + draw.randint(1, 3))
        if draw.random() < 0.5:
            found.append(Span(units[at][0], units[end - 1][1], draw.choice("XY")))
        at = end
    return found


def test_spans_of_whole_units_come_back_in_10_000_hostile_texts() -> None:
    draw, seen = random.Random(0), 0
    for text in hostile(0, 10_000):
        units = drawn_units(draw, text)
        spans = drawn_spans(draw, units)
        assert spans_of(unit_tags(units, spans), units) == spans
        assert changed_spans(units, spans) == []
        for span in spans:
            part = text[span.start : span.end]
            assert part and part == part.strip(), "a span has white space at an end"
        seen += len(spans)
    assert seen > 10_000


def test_any_tags_give_spans_of_whole_units_in_order() -> None:
    draw = random.Random(1)
    tags = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    for text in hostile(1, 2_000):
        units = drawn_units(draw, text)
        spans = spans_of(draw.choices(tags, k=len(units)), units)
        starts, ends = {start for start, _ in units}, {end for _, end in units}
        assert all(one.start in starts and one.end in ends and one.start < one.end for one in spans)
        assert all(a.end <= b.start for a, b in itertools.pairwise(spans))


def test_any_spans_of_characters_come_back_or_are_named() -> None:
    draw = random.Random(2)
    for text in hostile(2, 2_000):
        units = drawn_units(draw, text)
        cuts = sorted(draw.sample(range(len(text) + 1), k=min(len(text) + 1, 4) // 2 * 2))
        spans = [Span(a, b, "X") for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        back = spans_of(unit_tags(units, spans), units)
        assert set(spans) - set(back) == set(changed_spans(units, spans))


def test_a_unit_belongs_to_the_span_that_shares_a_character_with_it() -> None:
    assert unit_tags(UNITS, [Span(9, 15, "LOC")]) == ["O", "O", "B-LOC", "O", "O", "O"]
    assert unit_tags(UNITS, [Span(10, 17, "LOC")]) == ["O", "O", "B-LOC", "I-LOC", "I-LOC", "O"]
    assert changed_spans(UNITS, [Span(0, 3, "PER"), Span(10, 17, "LOC")]) == [Span(10, 17, "LOC")]


def test_an_edge_that_is_off_by_one_takes_another_unit_or_is_named() -> None:
    right = Span(15, 16, "X")
    for wrong in (Span(14, 16, "X"), Span(15, 17, "X"), Span(14, 15, "X"), Span(16, 17, "X")):
        assert unit_tags(UNITS, [wrong]) != unit_tags(UNITS, [right])
    assert changed_spans(UNITS, [Span(0, 2, "X")]) == [Span(0, 2, "X")]


def test_of_two_spans_in_one_unit_the_first_gets_it() -> None:
    spans = [Span(0, 2, "X"), Span(2, 8, "Y")]
    assert unit_tags(UNITS[:2], spans) == ["B-X", "B-Y"]
    assert unit_tags(UNITS[:1], spans) == ["B-X"] and changed_spans(UNITS[:1], spans) == spans


def test_a_span_without_a_unit_is_left_out_and_named() -> None:
    assert unit_spans(UNITS, [Span(3, 4, "X")]) == []
    assert changed_spans(UNITS, [Span(3, 4, "X")]) == [Span(3, 4, "X")]
    assert unit_tags([], [Span(0, 3, "X")]) == []


def test_predicted_spans_take_the_edges_of_a_file_s_words() -> None:
    file_words = [(0, 3), (4, 8), (9, 22)]
    predicted = [Span(0, 3, "PER"), Span(9, 15, "LOC")]
    assert word_tags(predicted, file_words) == ["B-PER", "O", "B-LOC"]
    assert snapped(predicted, file_words) == [Span(0, 3, "PER"), Span(9, 22, "LOC")]
    # two spans in one word are one, as its one tag cannot say more
    assert snapped([Span(9, 15, "LOC"), Span(16, 21, "PER")], file_words) == [Span(9, 22, "LOC")]


def test_read_spans_cut_10_000_hostile_texts_where_they_say(tmp_path: Path) -> None:
    import json

    draw = random.Random(3)
    records = []
    for text in hostile(3, 10_000):
        spans = drawn_spans(draw, drawn_units(draw, text))
        records.append(
            {
                "text": text,
                "spans": [
                    {
                        "start": one.start,
                        "end": one.end,
                        "label": one.label,
                        "text": text[one.start : one.end],
                    }
                    for one in spans
                ],
            }
        )
    path = tmp_path / "train.jsonl"
    path.write_text(
        "".join(json.dumps(one, ensure_ascii=i % 2 == 0) + "\n" for i, one in enumerate(records)),
        encoding="utf-8",
    )
    read = read_json_spans(path)
    for record, text, spans in zip(records, read.texts, read.spans, strict=True):
        assert text == record["text"]
        assert [
            {"start": one.start, "end": one.end, "label": one.label, "text": text[one.start : one.end]}
            for one in spans
        ] == record["spans"]


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_shifted_reading_would_be_noticed(tmp_path: Path, shift: int) -> None:
    """What the test above relies on: with the text of each span beside it, no place can be off by one."""
    import json

    from custom_bert.errors import DataError

    span = {"start": 4 + shift, "end": 8 + shift, "label": "X", "text": "left"}
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"text": TEXT, "spans": [span]}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="its own text says 'left'"):
        read_json_spans(path)


def test_tags_that_are_written_are_those_that_are_read() -> None:
    assert write_tags(unit_spans(UNITS, [Span(9, 21, "LOC")]), len(UNITS)) == unit_tags(
        UNITS, [Span(9, 21, "LOC")]
    )
