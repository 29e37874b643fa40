"""JSON files of texts with spans: read as they say, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from custom_bert.errors import DataError
from custom_bert.spans.entity import Span
from custom_bert.spans.reading import read_spans
from custom_bert.spans.spanned import KnownTypes

KIM: dict[str, Any] = {"start": 0, "end": 3, "label": "PER"}
TEXT = "Kim left Berlin."


def written(directory: Path, *records: Any) -> Path:
    path = directory / "train.jsonl"
    content = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in records)
    path.write_text(content, encoding="utf-8")
    return path


def test_texts_and_spans_are_read_under_either_name(tmp_path: Path) -> None:
    spans = [{"start": 9, "end": 15, "label": "LOC"}, KIM]
    path = written(tmp_path, {"text": TEXT, "spans": spans}, "\n", {"text": "e\u0301\r\n🙂", "entities": []})
    read = read_spans(path)
    assert read.texts == [TEXT, "e\u0301\r\n🙂"]
    assert read.spans == [[Span(0, 3, "PER"), Span(9, 15, "LOC")], []]
    assert (read.words, read.lines, read.document_of, read.scheme, read.notes) == (
        None,
        [1, 3],
        [0, 1],
        None,
        [],
    )


def test_what_predict_prints_can_be_read(tmp_path: Path) -> None:
    span = {**KIM, "score": 0.9, "text": "Kim"}
    assert read_spans(written(tmp_path, {"text": TEXT, "spans": [span]})).spans == [[Span(0, 3, "PER")]]


def test_harmless_faults_are_repaired_with_their_number(tmp_path: Path) -> None:
    spaced = {"start": 8, "end": 15, "label": "LOC"}
    path = written(
        tmp_path, {"text": TEXT, "spans": [KIM, KIM, spaced], "id": 1, "meta": {}}, {"text": " ", "spans": []}
    )
    read = read_spans(path)
    assert read.spans[0] == [Span(0, 3, "PER"), Span(9, 15, "LOC")]
    assert read.notes == [
        f"{path}: 1 span with white space at an end, read without it (line 1)",
        f"{path}: 1 span given twice, read once (line 1)",
        f"{path}: beside the text and its spans, 'id', 'meta' is not read",
        f"{path}: 1 empty text (line 2)",
    ]


def test_spans_inside_of_words_are_doubted(tmp_path: Path) -> None:
    texts = ["Berlin is far", "Kim left", "in Rome"]
    ends = [(0, 5), (0, 2), (3, 6)]  # each end is one too small
    path = written(
        tmp_path,
        *(
            {"text": text, "spans": [{"start": a, "end": b, "label": "X"}]}
            for text, (a, b) in zip(texts, ends, strict=True)
        ),
    )
    assert read_spans(path).notes == [
        f"{path}: 3 of 3 spans begin or end inside a word, such as 'Berli' (0 to 5) in 'Berlin' (line 1); "
        "start counts characters from 0, and end is the index after the last one"
    ]


def test_characters_of_chinese_are_words_and_no_edge_is_doubted(tmp_path: Path) -> None:
    spans = [{"start": i, "end": i + 2, "label": "X"} for i in (0, 2, 4)]
    assert read_spans(written(tmp_path, {"text": "我们在北京看书", "spans": spans})).notes == []


def test_types_that_look_like_tags_are_doubted(tmp_path: Path) -> None:
    spans = [{**KIM, "label": "B-PER"}, {"start": 4, "end": 8, "label": "I-PER"}]
    path = written(tmp_path, {"text": TEXT, "spans": spans})
    assert read_spans(path).notes == [
        f"{path}: the types 'B-PER' and 'I-PER' look like tags of one type; write whole spans, with the "
        "type 'PER'"
    ]


EXAMPLE = '{"start": 0, "end": 3, "label": "PER"}'

REFUSED: dict[str, tuple[Any, str]] = {
    "no JSON": ("Kim left\n", "not valid JSON at character 1: Expecting value"),
    "a key twice": (
        '{"text": "a", "text": "b"}\n',
        "JSON that cannot be read: the key 'text' stands there twice",
    ),
    "a list": ([1, 2], "expected an object with a text and its spans, got [1, 2]"),
    "no text": (
        {"sentence": "a", "spans": []},
        "expected a string under \"text\", got only 'sentence', 'spans'",
    ),
    "a text of another type": ({"text": ["a"], "spans": []}, "expected a string under \"text\", got ['a']"),
    "lists of words": (
        {"tokens": ["Kim"], "ner_tags": ["B-PER"]},
        "expected a string under \"text\", got only 'tokens', 'ner_tags'; lists of words and tags belong "
        "into a .conll file, a word a line",
    ),
    "half a surrogate": (
        '{"text": "ab\\ud83d", "spans": []}\n',
        "character 3 of the text is half of a surrogate pair",
    ),
    "no list": (
        {"text": TEXT, "label": []},
        "no list \"spans\", only 'text', 'label'; write \"spans\": [] where there is none",
    ),
    "two lists": ({"text": TEXT, "spans": [], "entities": []}, 'both "spans" and "entities"; keep one'),
    "no list under the name": ({"text": TEXT, "spans": KIM}, f'expected a list under "spans", got {KIM!r}'),
    "a span as a list": (
        {"text": TEXT, "entities": [[0, 3, "PER"]]},
        f"expected a span such as {EXAMPLE}, got [0, 3, 'PER']",
    ),
    "other names": (
        {"text": TEXT, "spans": [{"start_offset": 0, "end_offset": 3, "label": "PER"}]},
        f"a span without 'start' (it has 'start_offset', 'end_offset', 'label'); write it as {EXAMPLE}",
    ),
    "a place that is no number": (
        {"text": TEXT, "spans": [{**KIM, "end": 3.0}]},
        "'end' of a span is 3.0; expected a whole number",
    ),
    "true for a place": (
        {"text": TEXT, "spans": [{**KIM, "end": True}]},
        "'end' of a span is True; expected a whole number",
    ),
    "an empty label": (
        {"text": TEXT, "spans": [{**KIM, "label": ""}]},
        "'label' of a span is ''; expected the name of a type",
    ),
    "an empty span": (
        {"text": TEXT, "spans": [{**KIM, "end": 0}]},
        "the span from 0 to 0 is empty; end is the index after its last character",
    ),
    "the end before the start": (
        {"text": TEXT, "spans": [{**KIM, "start": 4}]},
        "the span from 4 to 3 ends before it begins",
    ),
    "beyond the text": (
        {"text": TEXT, "spans": [{**KIM, "end": 17}]},
        "the span from 0 to 17 is not within the text, which has 16 characters",
    ),
    "before the text": (
        {"text": TEXT, "spans": [{**KIM, "start": -1}]},
        "the span from -1 to 3 is not within the text, which has 16 characters",
    ),
    "white space alone": (
        {"text": TEXT, "spans": [{**KIM, "start": 3, "end": 4}]},
        "the span from 3 to 4 is white space alone",
    ),
    "overlapping spans": (
        {"text": TEXT, "spans": [KIM, {"start": 0, "end": 8, "label": "X"}]},
        "two spans overlap: 'Kim' (0 to 3) and 'Kim left' (0 to 8); keep one of them",
    ),
    "one place with two types": (
        {"text": TEXT, "spans": [KIM, {**KIM, "label": "ORG"}]},
        "two spans overlap: 'Kim' (0 to 3) and 'Kim' (0 to 3); keep one of them",
    ),
    "places in bytes": (
        {"text": "Zoë Kim", "spans": [{"start": 5, "end": 8, "label": "PER", "text": "Kim"}]},
        "the span from 5 to 8 is not within the text, which has 7 characters",
    ),
    "the text of another place": (
        {"text": TEXT, "spans": [{"start": 8, "end": 14, "label": "LOC", "text": "Berlin"}]},
        "the span from 8 to 14 is ' Berli', and its own text says 'Berlin'; start and end count "
        "characters, not "
        "bytes, and end is the index after the last one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    record, message = REFUSED[name]
    path = written(tmp_path, {"text": "a", "spans": []}, record)
    with pytest.raises(DataError) as caught:
        read_spans(path)
    assert str(caught.value) == f"{path}:2: {message}"


def test_a_file_without_spans_cannot_train(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": "a", "spans": []})
    with pytest.raises(DataError) as caught:
        read_spans(path)
    assert str(caught.value) == f"{path}: no text has a span, so there is nothing to learn"
    assert read_spans(path, KnownTypes(("PER",), "train")).notes == [
        f"{path}: no text has a span, so nothing can be found there"
    ]


def test_a_type_that_training_does_not_have_is_refused_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": TEXT, "spans": [{**KIM, "label": "per"}]})
    with pytest.raises(DataError) as caught:
        read_spans(path, KnownTypes(("PER",), "DIR/train.jsonl"))
    assert str(caught.value) == f"{path}:1: type 'per' never occurs in DIR/train.jsonl (did you mean 'PER'?)"
