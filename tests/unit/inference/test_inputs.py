"""Texts and labels from Python: strings, or one line that names what is none, its place and the way out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert import Classifier, Embedder
from custom_bert.data.given import joined, strings
from custom_bert.inference import chunks

quiet = settings(deadline=None, derandomize=True, database=None)

SMILE = "\U0001f600"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("inputs") / "run")


@pytest.fixture(scope="module")
def classifier(run: Path) -> Classifier:
    return Classifier.load(run)


class NAType:
    """As pandas.NA is: equal to nothing, and neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __repr__(self) -> str:
        return "<NA>"


class Frame:
    """As a pandas.DataFrame is: two-dimensional, and iterated over its columns' names."""

    ndim, columns = 2, ("text", "label")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class Column:
    """As a pandas.Series is: a column that gives a list."""

    ndim = 1

    def __init__(self, *items: object) -> None:
        self.items = list(items)

    def __iter__(self) -> Iterator[object]:
        return iter(self.items)

    def tolist(self) -> list[object]:
        return self.items


# Surrogates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("é", "é"),
        (SMILE, SMILE),
        ("\ud83d\ude00", SMILE),
        ("a\ud83d\ude00b", f"a{SMILE}b"),
        ("\ud83c", "\ufffd"),
        ("\ude00", "\ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\ude00", f"\ufffd{SMILE}"),
        ("\ud83dx", "\ufffdx"),
        (f"\ud83d{SMILE}", f"\ufffd{SMILE}"),
        ("\udcff", "\ufffd"),
    ],
)
def test_pairs_are_joined_and_halves_replaced(text: str, expected: str) -> None:
    assert joined(text) == expected


@quiet
@given(st.lists(st.integers(0, 0x10FFFF).map(chr), max_size=12).map("".join))
def test_any_string_becomes_utf8_and_what_is_whole_stays(text: str) -> None:
    found = joined(text)
    found.encode("utf-8")
    pairs = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda m: chr(0x10000 + (ord(m[0][0]) - 0xD800) * 1024 + ord(m[0][1]) - 0xDC00),
        text,
    )
    assert found == re.sub("[\ud800-\udfff]", "\ufffd", pairs)


def test_half_a_surrogate_costs_no_batch(classifier: Classifier, run: Path) -> None:
    halves = ["a b", json.loads('"a b c \\ud83c"'), "\ud83d\ude00 a b c"]
    whole = ["a b", "a b c \ufffd", f"{SMILE} a b c"]
    assert (classifier.predict_proba(halves) == classifier.predict_proba(whole)).all()
    assert classifier.predict(iter(halves)) == classifier.predict(whole)
    assert (Embedder.load(run).embed(halves) == Embedder.load(run).embed(whole)).all()
    assert classifier.evaluate(halves, ["bad"] * 3).examples == 3


# Items


ITEMS: list[tuple[object, str]] = [
    (None, "None; it stands for a missing value: leave it out, or write ''"),
    (float("nan"), "nan; it stands for a missing value: leave it out, or write ''"),
    (np.float32("nan"), f"{np.float32('nan')!r}; it stands for a missing value: leave it out, or write ''"),
    (NAType(), "<NA>; it stands for a missing value: leave it out, or write ''"),
    (np.ma.masked, "masked; it stands for a missing value: leave it out, or write ''"),
    (b"bytes", "b'bytes'; decode it, text.decode('utf-8')"),
    (Path("a.txt"), f"{Path('a.txt')!r}; read the file"),
    (["a"], "['a']; write one string for each text, without lists inside the list"),
    (("a", "b"), "('a', 'b'); write one string for each text, without lists inside the list"),
    ({"text": "a"}, "{'text': 'a'}; write the string that it holds under a key"),
    (3, "3; write str(text) where its digits or name are meant"),
    (np.int64(3), f"{np.int64(3)!r}; write str(text) where its digits or name are meant"),
    (2.5, "2.5; write str(text) where its digits or name are meant"),
    (True, "True; write str(text) where its digits or name are meant"),
]


@pytest.mark.parametrize(("item", "words"), ITEMS, ids=[repr(item) for item, _ in ITEMS])
def test_what_is_no_text_is_named_with_its_index_and_the_way_out(
    classifier: Classifier, run: Path, item: Any, words: str
) -> None:
    for call in (
        classifier.predict,
        classifier.predict_proba,
        lambda texts: list(classifier.stream(texts)),
        lambda texts: list(classifier.stream_proba(texts)),
        lambda texts: classifier.evaluate(texts, ["bad", "good"]),
        Embedder.load(run).embed,
    ):
        for texts in (["a", item], ("a", item), iter(["a", item]), Column("a", item)):
            with pytest.raises(TypeError) as raised:
                call(texts)
            assert str(raised.value) == f"text 1: expected a string, got {words}"


def test_a_large_item_is_named_on_one_short_line(classifier: Classifier) -> None:
    for item in (np.zeros((40, 40)), [list(range(100))] * 100, b"x" * 10**6, torch.zeros(30, 30)):
        with pytest.raises(TypeError) as raised:
            classifier.predict([item])  # type: ignore[list-item]
        assert len(str(raised.value)) < 250 and "\n" not in str(raised.value)


def test_a_list_is_checked_whole_before_anything_is_computed(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("custom_bert.inference.encoder_scores.begin", fail)
    texts: list[Any] = ["a"] * (chunks.CHUNK + 10)
    texts[-1] = None
    for source in (texts, tuple(texts), np.array(texts, dtype=object), Column(*texts)):
        with pytest.raises(TypeError, match=f"text {chunks.CHUNK + 9}:"):
            classifier.predict(source)
    good = texts[:-1]
    with pytest.raises(ValueError, match="fewer labels than texts"):
        classifier.evaluate(good, ["bad"])
    with pytest.raises(ValueError, match=f"label {len(good) - 1}: 'odd' is not one of"):
        classifier.evaluate(good, ["bad"] * (len(good) - 1) + ["odd"])


def test_the_index_in_an_iterator_is_right_beyond_the_first_window(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 4)
    got = []
    with pytest.raises(TypeError, match=r"text 9: expected a string, got None"):
        got.extend(classifier.stream(iter([*["a"] * 9, None])))
    assert len(got) == 8


# Containers


CONTAINERS: list[tuple[object, str]] = [
    ("a text", "a single string; write [text]"),
    (b"a text", "bytes; write [text.decode('utf-8')]"),
    (bytearray(b"a"), "bytes; write [text.decode('utf-8')]"),
    (Path("a.txt"), "the path 'a.txt'; read the lines of that file"),
    ({"text": "a"}, "a mapping, which iterates over its keys; write list(mapping.values())"),
    (
        Frame(),
        "a table, which iterates over its columns' names ('text', 'label'); write one column, table[name]",
    ),
    (np.array([["a"], ["b"]]), "an array of shape (2, 1); write its one column or row of texts"),
    (np.array("a"), "an array of shape (); write its one column or row of texts"),
    (None, "None"),
    (3, "3"),
]


@pytest.mark.parametrize(("container", "words"), CONTAINERS, ids=[type(c).__name__ for c, _ in CONTAINERS])
def test_a_container_that_would_be_iterated_wrongly_is_named(
    classifier: Classifier, run: Path, container: Any, words: str
) -> None:
    for call in (classifier.predict, classifier.predict_proba, Embedder.load(run).embed):
        with pytest.raises(TypeError) as raised:
            call(container)
        assert str(raised.value) == f"expected a list of texts, got {words}"
    with pytest.raises(TypeError) as raised:
        classifier.evaluate(["a"], container)
    assert str(raised.value) == f"expected a list of labels, got {words.replace('text]', 'label]')}".replace(
        "text.decode", "label.decode"
    ).replace("of texts", "of labels")


def test_the_name_of_a_file_in_place_of_its_lines_is_recognised(
    classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("a\n")
    with pytest.raises(TypeError, match=r"write \[text\], or the lines of that file"):
        classifier.predict(str(tmp_path / "texts.txt"))


def test_whatever_holds_strings_is_taken(classifier: Classifier, run: Path) -> None:
    texts = ["a b", "c", ""]
    expected = classifier.predict_proba(texts)
    for source in (
        tuple(texts),
        iter(texts),
        dict.fromkeys(texts).keys(),
        dict(enumerate(texts)).values(),
        np.array(texts),
        np.array(texts, dtype=object),
        [np.str_(text) for text in texts],
        Column(*texts),
    ):
        assert (classifier.predict_proba(source) == expected).all()
    assert len(Embedder.load(run).embed(np.array(texts))) == 3
    assert strings([]) == [] and strings(np.array([])) == []


def test_columns_of_pandas_are_taken_and_tables_are_not(classifier: Classifier) -> None:
    pandas = pytest.importorskip("pandas")
    texts = ["a b", "c"]
    expected = classifier.predict_proba(texts)
    table = pandas.DataFrame({"text": texts, "label": ["bad", "good"]})
    for dtype in ("object", "string", "category"):
        assert (classifier.predict_proba(table["text"].astype(dtype)) == expected).all()
    assert classifier.evaluate(table["text"], table["label"]).examples == 2
    for missing in (None, float("nan"), pandas.NA, pandas.NaT):
        column = pandas.Series(["a", "b", missing], dtype=object)
        with pytest.raises(TypeError, match=r"text 2: expected a string, .* a missing value"):
            classifier.predict(column)
    with pytest.raises(TypeError, match=r"its columns' names \('text', 'label'\)"):
        classifier.predict(table)


# Labels of an evaluation


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "expected a string, got None; it stands for a missing value: leave it and its text out"),
        (1, "expected a string, got 1; write str(label) where its digits or name are meant"),
        (b"good", "expected a string, got b'good'; decode it, label.decode('utf-8')"),
        (["good"], "expected a string, got ['good']; write one string for each label, "),
        ("godo", "'godo' is not one of this model's labels (did you mean 'good'?)"),
        (np.str_("godo"), "'godo' is not one of this model's labels (did you mean 'good'?)"),
        ("g\ud83c", "'g\ufffd' is not one of this model's labels"),
    ],
)
def test_a_label_that_is_none_is_named_with_its_index(
    classifier: Classifier, label: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 2)
    for labels in (["bad", "good", "bad", label], iter(["bad", "good", "bad", label])):
        with pytest.raises((TypeError, ValueError)) as raised:
            classifier.evaluate(iter("abcd"), labels)
        assert str(raised.value).startswith(f"label 3: {words}")


def test_labels_of_numpy_count_as_strings(classifier: Classifier) -> None:
    expected = classifier.evaluate(["a", "b"], ["bad", "good"])
    for labels in (np.array(["bad", "good"]), [np.str_("bad"), np.str_("good")], Column("bad", "good")):
        assert (classifier.evaluate(["a", "b"], labels).counts_CC == expected.counts_CC).all()


def test_counts_that_differ_are_told_of_lists_and_iterators(classifier: Classifier) -> None:
    for labels, words in ((["bad"], "fewer"), (["bad"] * 3, "more")):
        for make in (list, iter):
            with pytest.raises(ValueError, match=f"there are {words} labels than texts"):
                classifier.evaluate(make(["a", "b"]), make(labels))


@pytest.mark.parametrize("wrong", [8.0, "8", None])
def test_a_length_that_is_no_whole_number_is_named(run: Path, wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"max_length: expected a whole number, got {wrong!r}"):
        Embedder.load(run, max_length=wrong)
    assert Embedder.load(run, max_length=np.int64(8)).max_length == 8


def test_a_set_is_refused_since_answers_would_belong_to_no_text(classifier: Classifier) -> None:
    for texts in ({"a", "b"}, frozenset(["a"])):
        with pytest.raises(TypeError, match="got a set, which has no order; write a list of texts"):
            classifier.predict(texts)
