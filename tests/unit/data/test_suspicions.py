"""What looks like a mistake is a warning with file, line and way out; ordinary data has none."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from data_files import read, sentences, write_set
from hypothesis import given, settings
from hypothesis import strategies as st
from real_checkpoints import data_set

from custom_bert.cli import main
from custom_bert.data.columns import names_columns
from custom_bert.data.labels import as_number
from custom_bert.data.lines import ListedLines
from custom_bert.data.suspicions import MISSING, SAMPLE, Pair, Suspicion, suspicions, warn_label_format
from custom_bert.errors import DataError

quiet = settings(deadline=None, derandomize=True, database=None)

TEXTS = [text.replace(",", " ") for text in dict.fromkeys(sentences(100, seed=5))][:60]
LABELS = ["pos", "neg"] * 30
CLASSES = "write one class a line, by name or number"
HEADER = "if so, remove the first line of both files"
ALONE = "write the texts alone, one a line"


def told(directory: Path, texts: list[str], labels: list[str], *val: list[str]) -> list[str]:
    """The suspicions of a data set, without what is told of other things."""
    other = ("with fewer than", "more than one label", "validation scores", "like another except for case")
    warnings = read(write_set(directory, texts, labels, *val)).warnings
    return [
        warning.replace(f"{directory}/", "")
        for warning in warnings
        if not any(words in warning for words in other)
    ]


def csv_lines(rows: list[list[str]]) -> list[str]:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().splitlines()


def shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


# A header


def test_a_header_is_told_once_for_both_files(tmp_path: Path) -> None:
    assert told(tmp_path, ["Text", *TEXTS], ["LABEL", *LABELS]) == [
        "train_dataset.txt:1 and train_labels.txt:1: 'Text' and 'LABEL' look like a header, the names of two "
        f"columns; {HEADER}"
    ]


@pytest.mark.parametrize(
    ("text", "label", "file", "line"),
    [
        ("Kommentar", "Sentiment", "train_labels.txt", "Sentiment"),
        ("fine", "y", "train_labels.txt", "y"),
        ("fine", '"category"', "train_labels.txt", '"category"'),
        ("fine", "类别", "train_labels.txt", "类别"),
        ("review_text", "pos", "train_dataset.txt", "review_text"),
        ("id,text,label", "pos", "train_dataset.txt", "id,text,label"),
        ("\ttext", "pos", "train_dataset.txt", "\ttext"),
    ],
)
def test_a_header_of_one_file_is_told_with_its_words(
    tmp_path: Path, text: str, label: str, file: str, line: str
) -> None:
    assert told(tmp_path, [text, *TEXTS], [label, *LABELS]) == [
        f"{file}:1: {line!r} looks like a header, the name of a column, and no other line holds it; {HEADER}"
    ]


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["fine", *TEXTS], ["label", *LABELS[:-1], "label"]),  # it occurs again
        (["text", *TEXTS[:-1], "text"], ["pos", *LABELS]),
        ([*TEXTS, "fine"], [*LABELS, "label"]),  # it is not the first
        (["fine", *TEXTS], ["labels of wine", *LABELS]),
        (["A review of the text", *TEXTS], ["pos", *LABELS]),
        (["text " * 100, *TEXTS], ["pos", *LABELS]),
    ],
)
def test_what_only_resembles_a_header_is_not_told(
    tmp_path: Path, texts: list[str], labels: list[str]
) -> None:
    assert told(tmp_path, texts, labels) == []


def test_a_header_in_the_validation_files_is_told_of_them_too(tmp_path: Path) -> None:
    found = told(tmp_path, ["text", *TEXTS], ["label", *LABELS], ["text", "x"], ["label", "pos"])
    assert [line.partition(":1")[0] for line in found] == ["train_dataset.txt", "val_dataset.txt"]
    with pytest.raises(
        DataError, match=f"label 'label' never occurs in .*; it looks like a header: {HEADER}"
    ):
        read(write_set(tmp_path / "b", TEXTS, LABELS, ["text", "x"], ["label", "pos"]))
    with pytest.raises(DataError) as raised:  # on another line the nearest label is of more use
        read(write_set(tmp_path / "c", TEXTS, LABELS, ["x", "text"], ["pos", "label"]))
    assert "looks like a header" not in str(raised.value)


def test_names_of_columns_are_known_in_any_case_and_form() -> None:
    for line in (
        "label",
        "Label",
        " LABELS ",
        '"target"',
        "'y'",
        "text,label",
        "id;sentence;class",
        ",text|label",
        "Review Text,Target Class",
        "Unnamed: 0,label",
    ):
        assert names_columns(line), line
    for line in ("", ",", "id", "the label", "label: good", "good", "text", "label." * 50):
        assert not names_columns(line), line


# Lines of another format


JSON_WORDS = "and brackets and names would be read as words"


@pytest.mark.parametrize(
    "write",
    [
        lambda text, label: json.dumps({"text": text, "label": label}),
        lambda text, label: json.dumps([text, label], ensure_ascii=False),
        lambda text, label: str({"text": text, "label": label}),
        lambda text, label: json.dumps({"text": text, "label": label}) + ",",
        lambda text, label: json.dumps(f'"{text}"'),
        lambda text, label: "['" + "', '".join(text.replace("'", "").split()) + "']",
    ],
    ids=["objects", "arrays", "dicts of Python", "items of an array", "strings", "lists of Python"],
)
def test_json_lines_for_texts_are_told(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    lines = [write(text, label) for text, label in zip(TEXTS, LABELS, strict=True)]
    assert told(tmp_path, lines, LABELS) == [
        f"train_dataset.txt:1: 60 of the first 60 lines look like JSON, such as {shortened(lines[0])}, "
        f"{JSON_WORDS}; {ALONE}"
    ]


@pytest.mark.parametrize(("separator", "name"), [(",", "a comma"), ("\t", "a tab"), (";", "a semicolon")])
def test_a_label_in_each_text_is_told(tmp_path: Path, separator: str, name: str) -> None:
    after = [f"{text}{separator}{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    assert told(tmp_path / "after", after, LABELS) == [
        f"train_dataset.txt:1: 60 of the first 60 lines end with {name} and a label, such as "
        f"{shortened(after[0])}, and the model would see the label in the text; {ALONE}"
    ]
    before = [f'"{label}"{separator}"{text}"' for text, label in zip(TEXTS, LABELS, strict=True)]
    assert told(tmp_path / "before", before, LABELS) == [
        f"train_dataset.txt:1: 60 of the first 60 lines begin with a label and {name}, such as "
        f"{shortened(before[0])}, and the model would see the label in the text; {ALONE}"
    ]


def test_a_label_as_fasttext_writes_it_is_told(tmp_path: Path) -> None:
    lines = [f"__label__{label} {text}" for text, label in zip(TEXTS, LABELS, strict=True)]
    assert told(tmp_path, lines, LABELS) == [
        f"train_dataset.txt:1: 60 of the first 60 lines begin with a label, as fastText's files do, such as "
        f"{shortened(lines[0])}, and the model would see the label in the text; {ALONE}"
    ]


def test_numbers_of_sections_are_no_measured_values(tmp_path: Path) -> None:
    labels = [f"{1 + i % 6}.{i % 36:02d}" for i in range(36 * 11)]
    assert told(tmp_path, [f"{text} {i}" for i, text in enumerate(TEXTS * 7)][: len(labels)], labels) == []


QUOTED = "lines are in double quotes, as fields of CSV are"


def test_quoted_texts_are_told_where_all_are_or_those_that_need_it(tmp_path: Path) -> None:
    every = [f'"{text}"' for text in TEXTS]
    assert told(tmp_path / "every", every, LABELS) == [
        f"train_dataset.txt:1: 60 of the first 60 {QUOTED}, such as {shortened(every[0])}, "
        f"and the quotes would be kept; {ALONE}"
    ]
    rows = [[f'{text} and "so", well' if i % 10 == 5 else text] for i, text in enumerate(TEXTS)]
    some = csv_lines(rows)
    assert told(tmp_path / "some", some, LABELS) == [
        f"train_dataset.txt:6: 6 of the first 60 {QUOTED}, such as {shortened(some[5])}, "
        f"and the quotes would be kept; {ALONE}"
    ]


def test_texts_with_quotations_are_not_told(tmp_path: Path) -> None:
    spoken = [f'"{text}" he said' if i % 2 else f'"{text}", "{text}"' for i, text in enumerate(TEXTS)]
    some = [f'"{text}"' if i % 3 == 0 else f'{text}, "{text}"' for i, text in enumerate(TEXTS)]
    assert told(tmp_path / "a", spoken, LABELS) == told(tmp_path / "b", some, LABELS) == []


def test_an_index_column_is_told_alone_before_texts_and_under_a_header(tmp_path: Path) -> None:
    running = [str(i) for i in range(60)]
    assert told(tmp_path / "a", running, LABELS) == [
        f"train_dataset.txt:2: the texts are running numbers, such as '1'; {ALONE}"
    ]
    before = [f"{i},{text}" for i, text in enumerate(TEXTS)]
    assert told(tmp_path / "b", before, LABELS) == [
        f"train_dataset.txt:2: the texts begin with running numbers, such as {shortened(before[1])}; {ALONE}"
    ]
    (_, second) = told(
        tmp_path / "c", ["id\ttext", *(f"{i}\t{t}" for i, t in enumerate(TEXTS, 7))], ["y", *LABELS]
    )
    assert second.startswith("train_dataset.txt:2: the texts begin with running numbers, such as '7\\t")
    assert told(tmp_path / "d", [str(i * i) for i in range(60)], LABELS) == []  # numbers to be classified
    assert told(tmp_path / "e", [str(i + (i > 30)) for i in range(60)], LABELS) == []


def test_one_text_on_every_line_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, ["same"] * 60, LABELS, ["a"], ["pos"]) == [
        "train_dataset.txt:1: every text is 'same', from which nothing can be learned"
    ]


# Labels of another format


def test_labels_of_another_format_are_told(tmp_path: Path) -> None:
    cases: dict[str, tuple[list[str], str]] = {
        "indicators": (
            ["1 0 0", "0 1 0", "0 0 1"] * 20,
            "the labels look like rows of zeros and ones, such as '1 0 0'",
        ),
        "indicators in brackets": (
            ["[1.0, 0.0]", "[0.0, 1.0]"] * 30,
            "the labels look like rows of zeros and ones, such as '[1.0, 0.0]'",
        ),
        "json": (
            [json.dumps({"label": label}) for label in LABELS],
            '60 of the first 60 lines look like JSON, such as \'{"label": "pos"}\', '
            "and each would be one label",
        ),
        "separators": (
            [f"{label};" for label in LABELS],
            "60 of the first 60 lines end with a separator, such as 'pos;', and it would be kept",
        ),
        "several": (
            ["joy", "joy, fear", "fear, rage", "rage", "joy, fear, rage", "fear"] * 10,
            "the labels look like several classes per line, such as 'joy, fear'; each combination would be a "
            "class of its own",
        ),
    }
    for name, (labels, words) in cases.items():
        line = 2 if name == "several" else 1
        instead = ", or take --task multi_label --data.label-separator ','" if name == "several" else ""
        wanted = f"train_labels.txt:{line}: {words}; {CLASSES}{instead}"
        assert told(tmp_path / name, TEXTS, labels) == [wanted]
    assert told(tmp_path / "quoted", TEXTS, [f'"{label}"' for label in LABELS]) == [
        f"train_labels.txt:1: 60 of the first 60 {QUOTED}, such as '\"pos\"', and the quotes would be kept; "
        f"{CLASSES}, without quotes"
    ]


@pytest.mark.parametrize("comma", [False, True])
def test_labels_that_measure_are_told_or_refused(tmp_path: Path, comma: bool) -> None:
    def written(value: float) -> str:
        return str(value).replace(".", "," if comma else ".")

    repeated = [written(i % 25 / 8) for i in range(60)]
    assert told(tmp_path / "a", TEXTS, repeated) == [
        f"train_labels.txt:2: the labels look like measured values, 25 different numbers such as "
        f"{written(0.125)!r}, each of which would be a class; put them into a few classes, or "
        f"take --task regression"
    ]
    with pytest.raises(DataError) as raised:
        told(tmp_path / "b", ["text", *TEXTS], ["score", *(written(3.75 + i) for i in range(60))])
    assert str(raised.value).endswith(
        "train_labels.txt:1: the labels look like numbers that measure or count: 61 different ones in 61 "
        f"lines, such as {written(3.75)!r}; put them into a few classes, or take --task regression"
    )


@pytest.mark.parametrize(
    "labels",
    [
        ["1", "1.5", "2", "2.5", "3", "3.5", "4", "4.5", "5"],  # ranks
        ["1", "1,5", "2", "2,5", "3", "3,5"],
        ["0", "1"],
        ["Austin, TX", "Dallas, TX", "Boston, MA", "Miami, FL"],
        [f"{color},{size}" for color in ("red", "blue", "green") for size in ("small", "large")],
        ["Home", "Tools, Garden", "Books, Music", "Music"],
        ["sports", "news", "news", "sports|football", "sports|tennis", "news|politics", "sports"],
        ["none", "na", "nil", "null hypothesis"],
        ["yes", "no", "yes, but"],
        ["[UNK]", "[CLS]"],
        [str(i) for i in range(15)],
    ],
    ids=lambda labels: labels[1],
)
def test_labels_that_are_unusual_and_plain_are_not_told(tmp_path: Path, labels: list[str]) -> None:
    every = (labels * 60)[:60]
    assert told(tmp_path, TEXTS, every) == []


# Missing values


def test_missing_values_are_counted_and_told_by_line(tmp_path: Path) -> None:
    labels = ["nan" if i in (2, 30) else "None" if i == 40 else label for i, label in enumerate(LABELS)]
    texts = ["N/A" if i == 50 else text for i, text in enumerate(TEXTS)]
    assert told(tmp_path, texts, labels, ["NaN", "fine", "nan"], ["nan", "pos", "pos"]) == [
        "train_dataset.txt:51: 1 text is 'N/A', which often means a missing value (line 51); if it is one, "
        "remove that line from both files",
        "train_labels.txt:3: 3 labels are 'nan' or 'None', which often means a missing value "
        "(lines 3, 31, 41); if it is one, remove those lines from both files",
        "val_dataset.txt:1: 2 texts are 'NaN' or 'nan', which often means a missing value "
        "(lines 1, 3); if it is one, remove those lines from both files",
        "val_labels.txt:1: 1 label is 'nan', which often means a missing value (line 1); if it is one, "
        "remove that line from both files",
    ]


@pytest.mark.parametrize("word", MISSING)
def test_each_way_of_writing_a_missing_value_is_known(tmp_path: Path, word: str) -> None:
    (found,) = told(tmp_path, [word, *TEXTS[1:]], LABELS)
    assert f"1 text is {word!r}" in found


# All of it


def test_programs_and_people_are_told_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path, ["text", *TEXTS], ["label", *LABELS])
    assert main(["check-data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["warnings"]
    assert sum("look like a header" in warning for warning in found) == 1
    assert main(["check-data", str(tmp_path)]) == 0
    assert all(f"warning: {warning}\n" in capsys.readouterr().out for warning in found[:1])


@quiet
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ['"a,b"', "[1]", "{", "0", "1", "2", "a,x", "nan", "", "[" * 9, "\ud83c", '"', "text"]
            ),
            st.sampled_from(
                ["x", "1 0", "0 1", "x,", "x,y", "y", "nan", "1.5", "label", '"x"', "[]", ",", ";;"]
            ),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_lines_give_one_line_a_suspicion(rows: list[tuple[str, str]]) -> None:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    different = list(dict.fromkeys(labels))
    ids = np.array([different.index(label) for label in labels], np.int32)
    for warning in suspicions(
        Pair(
            ListedLines("a.txt", texts),
            ListedLines("b.txt", labels),
            texts,
            different,
            ids,
            np.array(list(map(hash, texts))),
        ),
        warn_label_format,
    ):
        assert warning.startswith(("a.txt:", "b.txt:")) and "\n" not in warning and len(warning) < 300


def test_hostile_lines_cost_no_recursion_and_no_time(tmp_path: Path) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    assert told(tmp_path, [deep, "9" * 5000, '{"a": ' + "9" * 5000 + "}", *TEXTS[3:]], LABELS) == []


def test_only_the_first_lines_are_looked_at_for_a_format(tmp_path: Path) -> None:
    plain = [f"{text} {i}" for i in range(SAMPLE // 60 + 1) for text in TEXTS][:SAMPLE]
    lines = [*plain, *(f'{{"text": {i}}}' for i in range(2 * SAMPLE))]
    assert told(tmp_path, lines, (LABELS * len(lines))[: len(lines)]) == []


def test_numbers_are_finite_and_may_have_a_comma() -> None:
    assert [as_number(text) for text in ("3.75", "3,75", "-1", " 2 ", "1e3")] == [
        3.75,
        3.75,
        -1.0,
        2.0,
        1000.0,
    ]
    assert [as_number(text) for text in ("", "x", "nan", "inf", "1e999", "1,000,000", "3 stars")] == [
        None
    ] * 7


# Real data


REAL = (
    "20ng",
    "ag_news",
    "banking77",
    "goemotions",
    "imdb",
    "mrpc",
    "sst1",
    "sst2",
    "trec",
    "zh_chnsenticorp_htl",
)
RUNNING = ("conll2003", "eltec_novels", "wikitext2")


@pytest.mark.parametrize("name", REAL)
def test_nothing_is_suspected_of_real_labelled_texts(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pairs = data_set(name, tmp_path), []

    def noted(pair: Pair, about_labels: Suspicion) -> list[str]:
        pairs.append(pair)
        return suspicions(pair, about_labels)

    monkeypatch.setattr("custom_bert.data.reading.suspicions", noted)
    try:
        read(folder)
    except DataError as error:  # goemotions validates with combinations that do not train
        assert name == "goemotions" and "never occurs in" in str(error)
    splits = 2 + (folder / "test_dataset.txt").exists()
    assert len(pairs) == (1 if name == "goemotions" else splits)
    found = [suspicions(pair, warn_label_format) for pair in pairs]
    if name == "mrpc":  # pairs, read as single texts here
        assert all("lines hold one tab" in one for (one,) in found) and len(found) == splits
    else:
        assert found == [[]] * len(pairs)


@pytest.mark.parametrize("name", RUNNING)
def test_nothing_is_suspected_of_running_text(tmp_path: Path, name: str) -> None:
    for path in sorted(data_set(name, tmp_path).glob("*.txt")):
        lines = path.read_text(encoding="utf-8").split("\n")
        draw = random.Random(0)
        ids = np.array([draw.randrange(2) for _ in lines], np.int32)
        hashes = np.array(list(map(hash, lines)))
        both = ListedLines("a.txt", lines), ListedLines("b.txt", lines)
        pair = Pair(*both, lines[:SAMPLE], ["O", "B-PER"], ids, hashes)
        assert suspicions(pair, warn_label_format) == []
