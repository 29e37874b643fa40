"""Label files with several labels a line: what is read, and one line for what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from data_files import data_config, write_set

from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import SetReader
from custom_bert.data.reading import data_files, read_dataset
from custom_bert.data.set_aside import Aside
from custom_bert.errors import DataError

TEXTS = ["fine film", "dull film", "fine cast", "dull cast", "fine end", "dull end"]
LABELS = ["good\tshort", "bad", "good", "", "bad\tshort", "good"]

TENTH = Aside(lambda texts: 0.1, "thresholds", purpose="choosing thresholds; add texts")


def read(directory: Path, separator: str = "\t", **options: Any) -> Dataset:
    return read_dataset(
        data_files(data_config(directory)), SetReader(separator), **{"val_fraction": 0.3, **options}
    )


def told(tmp_path: Path, labels: list[str], *more: list[str], separator: str = "\t") -> str:
    texts = [f"{TEXTS[i % 6]} {i}" for i in range(len(labels))]
    with pytest.raises(DataError) as caught:
        read(write_set(tmp_path, texts, labels, *more), separator)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(tmp_path.parent), "DIR")


def test_a_line_has_any_number_of_labels_or_none(tmp_path: Path) -> None:
    found = read(write_set(tmp_path, TEXTS, LABELS, ["new", "old"], ["short\tgood", ""]))
    assert found.labels == ("bad", "good", "short")
    assert [found.train.targets.classes_of(i) for i in range(6)] == [[1, 2], [0], [1], [], [0, 2], [1]]
    assert [found.val.targets.classes_of(i) for i in range(2)] == [[1, 2], []]
    assert found.label_counts() == {"bad": 2, "good": 3, "short": 2}


@pytest.mark.parametrize("separator", [" ", ",", "; ", "|"])
def test_another_separator_and_spaces_around_labels(tmp_path: Path, separator: str) -> None:
    labels = [line.replace("\t", f"{separator} " if separator == "," else separator) for line in LABELS]
    found = read(write_set(tmp_path, TEXTS, labels, ["new"], ["short"]), separator)
    assert found.labels == ("bad", "good", "short") and found.train.targets.classes_of(0) == [1, 2]


def test_windows_line_ends_and_numbers(tmp_path: Path) -> None:
    write_set(tmp_path, TEXTS, [], ["new"], ["10"])
    (tmp_path / "train_labels.txt").write_bytes(b"10 2\r\n2\r\n\r\n1\r\n10\r\n1 2\r\n")
    found = read(tmp_path, " ")
    assert found.labels == ("1", "2", "10")
    assert [found.train.targets.classes_of(i) for i in range(6)] == [[1, 2], [1], [], [0], [2], [0, 1]]


def test_what_cannot_be_read_is_one_line_with_its_place(tmp_path: Path) -> None:
    assert told(tmp_path / "a", ["good", "bad\t\tgood", *["bad"] * 4]) == (
        "DIR/a/train_labels.txt:2: an empty label beside a separator ('\\t'); remove one of the two"
    )
    assert told(tmp_path / "b", ["good", "bad\tgood\tbad", *["bad"] * 4]) == (
        "DIR/b/train_labels.txt:2: the label 'bad' occurs twice in this line; remove one"
    )
    assert told(tmp_path / "c", [""] * 6) == (
        "DIR/c/train_labels.txt: every line is empty: no text has a label, so there is nothing to learn"
    )
    assert told(tmp_path / "d", ["good\tbad", "bad\tgood"] * 3) == (
        "DIR/d/train_labels.txt: every line has the same labels; two different lines are needed"
    )
    assert told(tmp_path / "e", LABELS, ["x", "y"], ["good", "bad\tgoood"]) == (
        "DIR/e/val_labels.txt:2: label 'goood' never occurs in DIR/e/train_labels.txt (did you mean 'good'?)"
    )
    assert told(tmp_path / "f", ["a b", "a\tb", "b", "a", "b", ""], separator=" ") == (
        "DIR/f/train_labels.txt:2: label 'a\\tb' holds a tab; to learn several labels a line, separated by "
        "tabs, take --task multi_label"
    )
    assert told(tmp_path / "g", LABELS[:5], ["x"], ["good", "bad"]).endswith(
        "a label without a text: DIR/g/val_dataset.txt has 1 lines, DIR/g/val_labels.txt 2; 1 label too many"
    )


def test_doubts_about_the_form_are_told_with_the_way_out(tmp_path: Path) -> None:
    combined = ["joy", "joy, fear", "fear, rage", "rage", "joy, fear, rage", "fear"] * 10
    texts = [f"text {i}" for i in range(60)]
    (warning,) = read(write_set(tmp_path / "a", texts, combined)).warnings
    assert "look like several labels with ',' between them, and the separator is '\\t'" in warning
    assert told(tmp_path / "b", ["1\t0\t1", "0\t1\t1", "1\t1\t0"] * 20).endswith(
        "b/train_labels.txt:1: a row of zeros and ones; write the names of its labels, with the separator "
        "between"
    )
    assert read(write_set(tmp_path / "c", texts, ["joy\tfear", "joy", "rage\tfear", ""] * 15)).warnings == ()


def test_lines_that_choose_thresholds_are_neither_trained_on_nor_reported(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(200)]
    labels = ["a", "b", "a\tb", ""] * 50
    found = read(write_set(tmp_path / "a", texts, labels), aside=TENTH)
    assert found.choosing is not None
    rows = [found.train.rows_N, found.val.rows_N, found.choosing.rows_N]
    assert sorted(row for part in rows for row in part.tolist()) == list(range(200))
    assert (len(rows[1]), len(rows[2])) == (60, 16)
    kinds = [tuple(found.choosing.targets.classes_of(i)) for i in range(16)]
    assert len(set(kinds)) == 4
    beside = read(write_set(tmp_path / "b", texts, labels, ["x", "y"], ["a", "b"]), aside=TENTH)
    assert beside.choosing is not None and len(beside.choosing) == 20 and len(beside.val) == 2
    assert set(beside.choosing.rows_N) & set(beside.train.rows_N) == set()


def test_lines_that_a_run_can_do_without_are_set_aside_of_frequent_labels_only(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(300)]
    labels = ["a"] * 150 + ["b"] * 140 + ["c", "d"] * 5
    aside = Aside(lambda count: 0.05 if count > 100 else 0.0)
    folder = write_set(tmp_path / "a", texts, labels, ["x", "y"], ["a", "b"])
    found = read(folder, aside=aside)
    assert found.choosing is not None and len(found.choosing) == 15
    assert found.choosing.targets.counts(4).tolist() == [8, 7, 0, 0]
    assert set(found.choosing.rows_N) & set(found.train.rows_N) == set()
    few = write_set(tmp_path / "b", texts[-90:], labels[-90:], ["x", "y"], ["b", "b"])
    assert read(few, aside=aside).choosing is None
    just = write_set(
        tmp_path / "d", texts, ["a"] * 20 + [f"label {i % 30}" for i in range(280)], ["x"], ["a"]
    )
    for fewest, expected in ((1, 1), (2, None)):
        one = read(just, aside=Aside(lambda count: 0.05, fewest=fewest)).choosing
        assert (None if one is None else len(one)) == expected
    rare = write_set(tmp_path / "c", texts, [f"label {i % 30}" for i in range(300)], ["x"], ["label 1"])
    assert read(rare, aside=aside).choosing is None
