"""Files of texts with spans that cannot be read, or look wrong: one line that says what, where and what to
do. DIR is the directory of the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Command, Result
from data_files import SPECIALS

from custom_bert import files

ROWS = [("Kim", "B-PER"), ("left", "O"), ("New", "B-LOC"), ("York", "I-LOC"), (".", "O")]
NAMES = ("Kim", "Ann", "Zoe", "Max", "Eva")


def conll(names: tuple[str, ...]) -> str:
    """A sentence for each name."""
    return "\n".join(
        "".join(f"{name if word == 'Kim' else word} {tag}\n" for word, tag in ROWS) for name in names
    )


TRAIN, VAL = conll(NAMES), conll(("Bob", "Lea"))


def span(start: object, end: object, label: object = "PER", **more: object) -> dict[str, object]:
    return {"start": start, "end": end, "label": label, **more}


def jsonl(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


TEXT = "Kim left New York."
GOOD_JSON = [{"text": f"{name} left New York.", "spans": [span(0, 3), span(9, 17, "LOC")]} for name in NAMES]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def place(directory: Path, changes: dict[str, str | bytes | None]) -> None:
    """The two good files, some of them replaced or, for None, left out."""
    for name, content in {"train.conll": TRAIN, "val.conll": VAL, **changes}.items():
        if content is not None:
            content = content.encode() if isinstance(content, str) else content
            (directory / name).write_bytes(content)


def test_the_good_files_are_good(command: Command) -> None:
    place(command.directory, {})
    assert command("check-data DIR --task tokens") == Result(
        0,
        "DIR/train.conll: 5 texts, 95 characters, 25 words, 10 spans of 2 types, tags in the scheme BIO\n"
        "DIR/val.conll: 2 texts, 38 characters, 10 words, 4 spans of 2 types, tags in the scheme BIO\n"
        "training spans by type: LOC 5, PER 5\n"
        "no errors, 0 warnings\n",
        "",
    )


def test_json_is_as_good(command: Command) -> None:
    place(command.directory, {"train.conll": None, "val.conll": None, "train.jsonl": jsonl(*GOOD_JSON)})
    result = command("check-data DIR --task tokens")
    assert result.out.startswith("DIR/train.jsonl: 5 texts, 90 characters, 10 spans of 2 types\n")
    assert result.out.endswith("training spans by type: LOC 5, PER 5\nno errors, 0 warnings\n")


def edited(old: str, new: str, content: str = TRAIN) -> str:
    assert old in content
    return content.replace(old, new, 1)


IS_NO_TAG = "is no tag; expected O, or a letter of the scheme and a type, as in B-PER"
EXAMPLE = '{"start": 0, "end": 3, "label": "PER"}'


def of_json(*records: object, raw: str = "") -> dict[str, str | bytes | None]:
    """Files with good lines of JSON and bad ones after them, from line 6 on."""
    return {"train.conll": None, "val.conll": None, "train.jsonl": jsonl(*GOOD_JSON, *records) + raw}


UNUSABLE: dict[str, tuple[dict[str, str | bytes | None], str]] = {
    "no training file": (
        {"train.conll": None},
        "DIR/train.conll: no such file; write train.conll or train.jsonl into the folder",
    ),
    "an empty file": ({"train.conll": ""}, "DIR/train.conll: the file is empty; expected one example a line"),
    "blank lines only": ({"train.conll": "\n \n-DOCSTART- O\n\n"}, "DIR/train.conll: no line has a word"),
    "words without tags": (
        {"train.conll": "Kim\nleft\n"},
        "DIR/train.conll:1: one column, 'Kim'; expected a word and its tag, with a tab or a space "
        "between them",
    ),
    "a word with a space": (
        {"train.conll": edited("New B-LOC\nYork I-LOC", "New York B-LOC")},
        "DIR/train.conll:3: 3 columns, while line 1 has 2; if a word holds a space, separate the columns "
        "by tabs",
    ),
    "an empty column": (
        {"train.conll": edited("left O", "left\t")},
        "DIR/train.conll:2: the last column is empty; write the word's tag into it, or O",
    ),
    "a word that is missing": (
        {"train.conll": edited("left O", "\tO")},
        "DIR/train.conll:2: the first column is empty; write the word into it, or nothing into the line",
    ),
    "a header": (
        {"train.conll": f"token ner\n{TRAIN}"},
        f"DIR/train.conll:1: 'ner' {IS_NO_TAG}; if this line names the columns, remove it",
    ),
    "a comment": (
        {"train.conll": edited("left O", "# left\nleft O")},
        f"DIR/train.conll:2: 'left' {IS_NO_TAG}; if this line is a comment, remove it",
    ),
    "zero in the place of O": (
        {"train.conll": edited("left O", "left 0")},
        "DIR/train.conll:2: '0' in the place of the capital letter O, which says that a word is outside",
    ),
    "a tag without a type": (
        {"train.conll": edited("B-PER", "B")},
        "DIR/train.conll:1: 'B' names no type; write it after the letter, as in B-PER",
    ),
    "a tag with its letter at the end": (
        {"train.conll": edited("B-PER", "PER-B")},
        "DIR/train.conll:1: 'PER-B' has the letter at its end; write B-PER",
    ),
    "a tag in small letters": (
        {"train.conll": edited("B-PER", "b-PER")},
        "DIR/train.conll:1: 'b-PER' begins with a small letter; write B-PER",
    ),
    "a tag with an underscore": (
        {"train.conll": edited("B-PER", "B_PER")},
        "DIR/train.conll:1: 'B_PER' has an underscore in the place of a hyphen; write B-PER",
    ),
    "another column at the end": (
        {"train.conll": edited("Kim B-PER", "Kim NNP")},
        f"DIR/train.conll:1: 'NNP' {IS_NO_TAG}; if this line names the columns, remove it",
    ),
    "no span at all": (
        {"train.conll": "Kim O\nleft O\n"},
        "DIR/train.conll: every tag is O: no entity stands there, so there is nothing to learn",
    ),
    "a type that only validates": (
        {"val.conll": edited("B-PER", "B-PERS", VAL)},
        "DIR/val.conll:1: type 'PERS' never occurs in DIR/train.conll (did you mean 'PER'?)",
    ),
    "a type that is only in the test": (
        {"test.conll": "Kim B-ORG\n"},
        "DIR/test.conll:1: type 'ORG' never occurs in DIR/train.conll",
    ),
    "Latin-1": (
        {"train.conll": edited("Kim", "Zoë").encode("latin-1")},
        "DIR/train.conll:1: not valid UTF-8 at byte 3 (0xeb); save it as UTF-8",
    ),
    "UTF-16": (
        {"train.conll": TRAIN.encode("utf-16")},
        "DIR/train.conll:1: UTF-16 text; save it as UTF-8",
    ),
    "JSON under another name": (
        {"train.conll": jsonl(*GOOD_JSON)},
        "DIR/train.conll:1: '\"LOC\"}]}' is no tag; expected O, or a letter of the scheme and a type, as in "
        "B-PER; the line looks like JSON, whose files end with .jsonl",
    ),
    "no JSON": (
        of_json(raw="Kim left\n"),
        "DIR/train.jsonl:6: not valid JSON at character 1: Expecting value",
    ),
    "a text without a list": (
        of_json({"text": TEXT, "label": []}),
        "DIR/train.jsonl:6: no list \"spans\", only 'text', 'label'; write \"spans\": [] where there is none",
    ),
    "lists of words and tags": (
        of_json({"tokens": ["Kim"], "ner_tags": ["B-PER"]}),
        "DIR/train.jsonl:6: expected a string under \"text\", got only 'tokens', 'ner_tags'; lists of words "
        "and tags belong into a .conll file, a word a line",
    ),
    "spans as lists": (
        of_json({"text": TEXT, "entities": [[0, 3, "PER"]]}),
        f"DIR/train.jsonl:6: expected a span such as {EXAMPLE}, got [0, 3, 'PER']",
    ),
    "other names of places": (
        of_json({"text": TEXT, "spans": [{"start_offset": 0, "end_offset": 3, "label": "PER"}]}),
        "DIR/train.jsonl:6: a span without 'start' (it has 'start_offset', 'end_offset', 'label'); write "
        "it as "
        f"{EXAMPLE}",
    ),
    "overlapping spans": (
        of_json({"text": TEXT, "spans": [span(0, 8), span(4, 8, "LOC")]}),
        "DIR/train.jsonl:6: two spans overlap: 'Kim left' (0 to 8) and 'left' (4 to 8); keep one of them",
    ),
    "a span beyond the text": (
        of_json({"text": TEXT, "spans": [span(9, 19)]}),
        "DIR/train.jsonl:6: the span from 9 to 19 is not within the text, which has 18 characters",
    ),
    "an empty span": (
        of_json({"text": TEXT, "spans": [span(4, 4)]}),
        "DIR/train.jsonl:6: the span from 4 to 4 is empty; end is the index after its last character",
    ),
    "another text than the span's own": (
        of_json({"text": TEXT, "spans": [span(9, 16, "LOC", text="New York")]}),
        "DIR/train.jsonl:6: the span from 9 to 16 is 'New Yor', and its own text says 'New York'; start "
        "and end "
        "count characters, not bytes, and end is the index after the last one",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_read_is_said_in_one_line(command: Command, name: str) -> None:
    changes, message = UNUSABLE[name]
    place(command.directory, changes)
    assert command.refused("check-data DIR --task tokens", 65) == [message]


DOUBTFUL: dict[str, tuple[dict[str, str | bytes | None], str]] = {
    "a tag that BIO does not allow": (
        {"train.conll": edited("B-PER", "I-PER")},
        "DIR/train.conll: 1 tag that BIO does not allow, read as seqeval does (line 1)",
    ),
    "a span of white space": (
        {"train.conll": edited("left O", "\u00a0 B-LOC")},
        "DIR/train.conll: an entity of white space alone, left out (line 2)",
    ),
    "no blank lines": (
        {"train.conll": TRAIN.replace("\n\n", "\n") * 21},
        "DIR/train.conll: no blank line, so its 525 words are one sentence; write one between sentences",
    ),
    "the numbers of words in the first column": (
        {"train.conll": "1 Kim B-PER\n2 left O\n3 York B-LOC\n\n" * 3},
        "DIR/train.conll: the first column counts the words 1, 2, 3 of each sentence; the word has to "
        "stand there",
    ),
    "a type with few spans": (
        {"train.conll": edited("B-PER", "B-ORG")},
        "DIR/train.conll: 1 type with fewer than 3 spans: 'ORG' (line 1)",
    ),
    "two types that look the same": (
        {"train.conll": f"{TRAIN}\n{conll(('Tim', 'Tom', 'Ina')).replace('B-PER', 'B-Per')}"},
        "DIR/train.conll: 1 type like another except for case, spaces or width, counted as different: "
        "'PER' and "
        "'Per' (line 31)",
    ),
    "one text with two readings": (
        {"train.conll": f"{TRAIN}\n{conll(('Kim',)).replace('B-PER', 'O')}"},
        "DIR/train.conll: 1 text with other spans where it stands again (lines 1 and 31)",
    ),
    "a validation text that trains": (
        {"val.conll": conll(("Bob", "Kim"))},
        "DIR/val.conll: 1 text also in DIR/train.conll (line 7); the validation scores are too high "
        "because of "
        "these texts",
    ),
    "a type that validation lacks": (
        {"val.conll": VAL.replace("B-LOC", "O").replace("I-LOC", "O")},
        "DIR/val.conll: no span of 1 type of DIR/train.conll: 'LOC'",
    ),
    "a validation file without spans": (
        {"val.conll": "Kim O\n"},
        "DIR/val.conll: every tag is O, so nothing can be found there",
    ),
    "white space at the end of a span": (
        of_json({"text": TEXT, "spans": [span(0, 4)]}),
        "DIR/train.jsonl: 1 span with white space at an end, read without it (line 6)",
    ),
    "one span twice": (
        of_json({"text": TEXT, "spans": [span(0, 3), span(0, 3)]}),
        "DIR/train.jsonl: 1 span given twice, read once (line 6)",
    ),
    "keys that are not read": (
        of_json({"text": TEXT, "spans": [], "id": 7}),
        "DIR/train.jsonl: beside the text and its spans, 'id' is not read",
    ),
    "an empty text": (of_json({"text": " ", "spans": []}), "DIR/train.jsonl: 1 empty text (line 6)"),
    "ends that are one too small": (
        {
            **of_json(),
            "train.jsonl": jsonl(
                *({"text": one["text"], "spans": [span(0, 2), span(9, 16, "LOC")]} for one in GOOD_JSON)
            ),
        },
        "DIR/train.jsonl: 10 of 10 spans begin or end inside a word, such as 'Ki' (0 to 2) in 'Kim' "
        "(line 1); "
        "start counts characters from 0, and end is the index after the last one",
    ),
    "tags in the place of types": (
        of_json(*({"text": TEXT, "spans": [span(9, 12, "B-LOC"), span(13, 17, "I-LOC")]} for _ in range(3))),
        "DIR/train.jsonl: the types 'B-LOC' and 'I-LOC' look like tags of one type; write whole spans, "
        "with the "
        "type 'LOC'",
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_looks_wrong_is_a_warning(command: Command, name: str) -> None:
    changes, message = DOUBTFUL[name]
    place(command.directory, changes)
    result = command("check-data DIR --task tokens")
    assert result.code == 0 and f"\nwarning: {message}\n" in result.out, result


def test_iob1_is_recognised_and_no_warning(command: Command) -> None:
    place(command.directory, {"train.conll": TRAIN.replace("B-", "I-"), "val.conll": VAL.replace("B-", "I-")})
    result = command("check-data DIR --task tokens")
    assert result.out.count("tags in the scheme IOB1") == 2 and result.out.endswith("no errors, 0 warnings\n")


def test_programs_get_the_same_with_every_line_number(command: Command) -> None:
    place(command.directory, {"val.conll": conll(("Bob", "Kim"))})
    found = files.parse_json(command("check-data DIR --task tokens --json").out.encode())
    assert found["files"]["train"] == {
        "path": "DIR/train.conll",
        "texts": 5,
        "characters": 95,
        "words": 25,
        "spans": 10,
        "scheme": "BIO",
        "documents": 1,
        "empty_texts": [],
        "duplicates": [],
    }
    assert found["labels"] == {"LOC": 5, "PER": 5} and not found["divided"]
    assert len(found["warnings"]) == 1


def test_what_a_vocabulary_does_not_know_is_told_by_lines(command: Command) -> None:
    (command.directory / "vocab.txt").write_text(
        "\n".join([*SPECIALS, *"abcdefghijklmnopqrstuvwxyz."]) + "\n"
    )
    place(
        command.directory, {"val.conll": f"{VAL}\n好電影好電影好電影好電影好電影好電影好電影好電影 B-LOC\n"}
    )
    result = command("check-data DIR --task tokens --vocabulary DIR/vocab.txt")
    warnings = [line for line in result.out.splitlines() if line.startswith("warning: DIR/val.conll")]
    assert len(warnings) == 1 and "unknown to the vocabulary of DIR/vocab.txt" in warnings[0]
    assert "(lines 1, 7, 13)" in warnings[0] or "(line 13)" in warnings[0]


def test_options_that_spans_do_not_have_are_said(command: Command) -> None:
    place(command.directory, {})
    result = command("check-data DIR --task tokens --label-separator ,")
    assert "warning: data.label_separator , has no effect: task is tokens\n" in result.out
