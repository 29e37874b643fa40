"""`predict` reads the words of a CoNLL file, and writes a tag beside each of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from command_line import Command
from data_files import write_run, write_untrained
from hostile_texts import hostile

from custom_bert import Classifier
from custom_bert.decoding.spans import SpansPrediction
from custom_bert.tasks.tokens import Tokens

WORDS = "-DOCSTART- O\n\nKim B-PER\nleft O\nNew\u00a0York B-LOC\n. O\n\nrain-proof O\n"
WANTED = ["Kim", "left", "New\u00a0York", ".", "", "rain-proof", ""]


def span_run(directory: Path) -> Path:
    """A seeded, untrained model of spans of one type, which finds them everywhere."""
    return write_untrained(directory, Tokens(("X",)), "abcdefghijklmnopqrstuvwxyz.-")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    span_run(tmp_path / "RUN")
    (tmp_path / "words.conll").write_bytes(WORDS.encode())
    return Command(tmp_path, capsys)


def test_each_word_of_the_file_gets_one_tag_and_each_sentence_ends(command: Command) -> None:
    result = command("predict DIR/RUN DIR/words.conll --conll")
    rows = [line.split("\t") for line in result.out.removesuffix("\n").split("\n")]
    assert [row[0] for row in rows] == WANTED
    assert {row[1] for row in rows if row[0]} <= {"O", "B-X", "I-X"} and result.code == 0


def test_tags_and_places_are_of_the_same_spans(command: Command) -> None:
    texts = ["Kim left New\u00a0York .", "rain-proof"]
    spans = [
        json.loads(line)["spans"]
        for line in command("predict DIR/RUN DIR/words.conll --json").out.splitlines()
    ]
    assert any(spans), "the model finds nothing, and the test shows nothing"
    tags = command("predict DIR/RUN DIR/words.conll --conll").out
    for text, found in zip(texts, spans, strict=True):
        for one in found:
            assert text[one["start"] : one["end"]] == one["text"]
    assert tags.count("B-X") <= sum(map(len, spans))  # two spans of one word are one tag


def test_a_file_of_columns_is_not_written_by_several_processes(command: Command) -> None:
    assert command.refused("predict DIR/RUN DIR/words.conll --out DIR/out.txt", 64) == [
        "DIR/words.conll: a file with a word a line is read without --out FILE; leave it out"
    ]
    assert not (command.directory / "out.txt").exists()


def test_a_classifier_of_texts_has_no_tags(command: Command) -> None:
    write_run(command.directory / "TEXTS")
    assert command.refused("predict DIR/TEXTS DIR/words.conll --conll", 64) == [
        "--conll: DIR/TEXTS does not label words; leave it out"
    ]


def test_every_span_that_is_found_cuts_a_hostile_text_where_it_says(command: Command) -> None:
    classifier, texts, found = Classifier.load(command.directory / "RUN"), hostile(7, 600), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about characters that the small vocabulary does not know
        predictions = classifier.predict(texts)
    for text, prediction in zip(texts, predictions, strict=True):
        assert isinstance(prediction, SpansPrediction) and prediction.text == text
        before = 0
        for one in prediction.spans:
            part = text[one.start : one.end]
            assert before <= one.start < one.end and part == one.text == part.strip()
            before, found = one.end, found + 1
    assert found > 500
