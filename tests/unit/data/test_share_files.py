"""Label files that divide texts among labels: what is read, and one line for what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import data_config, write_set

from custom_bert.data.dataset import Dataset
from custom_bert.data.reading import data_files, read_dataset
from custom_bert.data.share_files import ShareReader, shares_of_line
from custom_bert.errors import DataError

TEXTS = ["fine film", "dull film", "fine cast", "dull cast", "fine end", "dull end"]
LINES = ["good:0.75\tbad:0.25", "bad:1", "good:1", "bad:0.5\tgood:0.5", "bad:.9\tso-so:.1", "good:1e0"]


def read(directory: Path, separator: str = "\t", **options: Any) -> Dataset:
    return read_dataset(
        data_files(data_config(directory)), ShareReader(separator), **{"val_fraction": 0.3, **options}
    )


def told(tmp_path: Path, labels: list[str], *more: list[str], separator: str = "\t") -> str:
    texts = [f"{TEXTS[i % 6]} {i}" for i in range(len(labels))]
    with pytest.raises(DataError) as caught:
        read(write_set(tmp_path, texts, labels, *more), separator)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_line_gives_each_label_a_share_and_the_others_none(tmp_path: Path) -> None:
    found = read(write_set(tmp_path, TEXTS, LINES, ["new", "old"], ["so-so:1", "good:0.25\tbad:0.75"]))
    assert found.labels == ("bad", "good", "so-so")
    rows = np.arange(6)
    wanted = [[0.25, 0.75, 0], [1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0.9, 0, 0.1], [0, 1, 0]]
    assert found.train.targets.values(rows) == pytest.approx(np.array(wanted))
    assert found.val.targets.values(np.array([1])).tolist() == [[0.75, 0.25, 0]]
    assert found.train.targets.masses(3) == pytest.approx(np.array(wanted).sum(0))
    assert found.label_counts() == {"bad": 4, "good": 4, "so-so": 1}
    weighted = found.train.targets.weighted(np.array([2, 1, 1, 1, 1, 1], dtype=np.float32))
    assert weighted.masses(3) == pytest.approx(np.array(wanted).sum(0) + wanted[0])
    assert weighted.take(np.array([4, 0])).masses(3) == pytest.approx(
        np.array(wanted)[4] + 2 * np.array(wanted[0])
    )
    assert not any("votes" in line for line in found.warnings)


def test_labels_may_hold_colons_and_spaces_and_the_share_is_behind_the_last_colon(tmp_path: Path) -> None:
    lines = ["a:b : 0.5 | c d:0.5", "c d:1", "a:b:1", "http://x:1", "c d:1", "a:b:1"]
    found = read(write_set(tmp_path, TEXTS, lines, ["x"], ["a:b:1"]), "|")
    assert found.labels == ("a:b", "c d", "http://x")
    assert found.train.targets.values(np.arange(1)).tolist() == [[0.5, 0.5, 0]]


def test_votes_are_normalised_and_said_aloud_with_the_first_lines(tmp_path: Path) -> None:
    lines = ["good:3\tbad:1", "bad:2", "good:1", "bad:60\tgood:40", "bad:.9\tgood:.1", "good:0.33\tbad:0.66"]
    found = read(write_set(tmp_path, TEXTS, lines, ["x", "y"], ["good:1", "good:2\tbad:2"]))
    shares_NC = found.train.targets.values(np.arange(6))
    wanted = [[0.25, 0.75], [1, 0], [0, 1], [0.6, 0.4], [0.9, 0.1], [2 / 3, 1 / 3]]
    assert shares_NC == pytest.approx(np.array(wanted), abs=1e-7)
    assert shares_NC.sum(1) == pytest.approx(np.ones(6), abs=1e-7)
    votes = [line.replace(f"{tmp_path}/", "") for line in found.warnings if "votes" in line]
    assert votes == [
        "train_labels.txt: the shares of 3 lines do not add up to 1; they are taken as votes and divided by "
        "their sum (lines 1, 2, 4)",
        "val_labels.txt: the shares of 1 line do not add up to 1; they are taken as votes and divided by "
        "their sum (line 2)",
    ]


def test_the_order_of_labels_does_not_matter_and_huge_votes_do_not_overflow() -> None:
    ids = {"a": 0, "b": 1}
    first = shares_of_line("a:1e308\tb:1e308", "\t", ids.__getitem__)
    assert first.shares == (0.5, 0.5) and first.are_votes
    assert shares_of_line("b:0.125\ta:0.875", "\t", ids.__getitem__).ids == (1, 0)


def test_what_cannot_be_read_is_one_line_with_its_place(tmp_path: Path) -> None:
    number = "write a finite number from 0 on, with a decimal point, such as 0.8"
    for i, (line, fault) in enumerate(
        (
            ("good", "'good' has no share; write label:share, such as good:1"),
            ("good:much", f"the share of 'good' is 'much'; {number}"),
            ("good:", f"the share of 'good' is ''; {number}"),
            ("good:0,8\tbad:0,2", f"the share of 'good' is '0,8'; {number}"),
            ("good:-0.5\tbad:1.5", f"the share of 'good' is '-0.5'; {number}"),
            ("good:nan", f"the share of 'good' is 'nan'; {number}"),
            ("bad:inf", f"the share of 'bad' is 'inf'; {number}"),
            ("bad:1e999", f"the share of 'bad' is '1e999'; {number}"),
            ("bad:1_0", f"the share of 'bad' is '1_0'; {number}"),
            ("good:0\tbad:0.0", "the shares add up to 0; give at least one label a share above 0"),
            ("bad:0.5\tgood:0.2\tbad:0.3", "the label 'bad' occurs twice in this line; add up its shares"),
            (":0.5\tbad:0.5", "':0.5' has no label before the colon; write label:share"),
            ("good:0.5\t\tbad:0.5", "nothing beside a separator ('\\t'); remove one of the two"),
            ("good:0.5\tbad:0.5\t", None),
            ("", "an empty line; write label:share, such as refund:0.8"),
        )
    ):
        labels = [*LINES[:3], line, *LINES[4:]]
        if fault is None:  # white space at the end of a line says nothing
            read(write_set(tmp_path / str(i), TEXTS, labels))
        else:
            assert told(tmp_path / str(i), labels) == f"train_labels.txt:4: {fault}"
    assert told(tmp_path / "unknown", LINES, ["x", "y"], ["good:1", "goood:0.5\tbad:0.5"]) == (
        "val_labels.txt:2: label 'goood' never occurs in train_labels.txt (did you mean 'good'?)"
    )
    assert told(tmp_path / "header", ["label", *LINES]).endswith(
        "'label' has no share; write label:share, such as label:1; it looks like a header: if so, remove the "
        "first line of both files"
    )
    assert told(tmp_path / "one", ["good:1", "good:3"] * 3) == (
        "train_labels.txt: every line has only the label 'good'; two different ones are needed"
    )
    assert told(tmp_path / "none", ["good:1\tso:0", "bad:1"] * 3) == (
        "train_labels.txt: the label 'so' has the share 0 in every line; leave it out"
    )
    assert told(tmp_path / "same", ["good:0.5\tbad:0.5", "bad:2\tgood:2"] * 3) == (
        "train_labels.txt: every line has the same shares; two different lines are needed"
    )
    assert told(tmp_path / "short", LINES[:5], ["x"], ["good:1", "bad:1"]).endswith(
        "a label without a text: val_dataset.txt has 1 lines, val_labels.txt 2; 1 label too many"
    )


def test_another_separator_is_noticed(tmp_path: Path) -> None:
    lines = ["good:0.5,bad:0.5", "bad:1", "good:1", "good:0.7,bad:0.3", "bad:1", "good:1"]
    warnings = read(write_set(tmp_path, TEXTS, lines, ["x"], ["good:1"])).warnings
    assert any("'good:0.5,bad' looks like several labels with shares" in line for line in warnings)


def test_lines_are_set_aside_by_their_majority_and_equal_texts_with_other_shares_are_named(
    tmp_path: Path,
) -> None:
    texts = [f"text {i}" for i in range(100)]
    lines = [f"a:{0.6 + i / 500}\tb:{0.4 - i / 500}" if i % 4 else f"b:0.9{i}\ta:0.0" for i in range(100)]
    found = read(write_set(tmp_path / "a", texts, lines), val_fraction=0.2)
    majority = found.val.targets.values(np.arange(len(found.val))).argmax(1)
    assert np.bincount(majority).tolist() == [15, 5]
    twice = read(write_set(tmp_path / "b", ["same", "same", *TEXTS], ["good:1", "bad:1", *LINES]))
    assert any("1 text under more than one label (lines 1 and 2)" in line for line in twice.warnings)
