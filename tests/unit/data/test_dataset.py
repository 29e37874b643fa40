"""A data set is what its four files say; what is wrong or doubtful about it is told with line numbers."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from data_files import read, sentences, write_set
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.cli import main
from custom_bert.data import findings, labels
from custom_bert.data.dataset import Split
from custom_bert.data.division import divide
from custom_bert.data.findings import describe
from custom_bert.data.reading import in_directory
from custom_bert.errors import DataError
from custom_bert.phrases import at_lines, counted

ROOT = Path(__file__).resolve().parents[3]
quiet = settings(deadline=None, derandomize=True, database=None)

TEXTS = ["fine film", "dull film", "fine cast", "dull cast", "fine end", "dull end"]
LABELS = ["good", "bad"] * 3


def fault(directory: Path) -> str:
    with pytest.raises(DataError) as raised:
        read(directory)
    return str(raised.value).replace(str(directory), "DIR")


def warnings(directory: Path) -> list[str]:
    return [warning.replace(str(directory), "DIR") for warning in read(directory).warnings]


# What is read


def test_labels_are_sorted_strings_compared_exactly(tmp_path: Path) -> None:
    labels = ["b", "A", "a", "c ", "c", "b"] * 3
    found = read(write_set(tmp_path, [f"text {i}" for i in range(18)], labels, ["x"], ["c "]))
    assert found.labels == ("A", "a", "b", "c", "c ")
    assert [found.labels[i] for i in found.train.targets.ids_N] == labels
    assert [found.labels[i] for i in found.val.targets.ids_N] == ["c "]


def test_labels_that_differ_by_how_accents_are_stored_are_one_as_first_written(tmp_path: Path) -> None:
    labels = ["e\u0301te\u0301", "hiver", "\u00e9t\u00e9"] * 4
    found = read(write_set(tmp_path, [f"text {i}" for i in range(12)], labels, ["x"], ["\u00e9te\u0301"]))
    assert found.labels == ("e\u0301te\u0301", "hiver")
    assert found.train.targets.ids_N.tolist() == [0, 1, 0] * 4 and found.val.targets.ids_N.tolist() == [0]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ([str(i) for i in range(12)], [str(i) for i in range(12)]),
        (["10", "9", "-1", "-2.5", "+3"], ["-2.5", "-1", "+3", "9", "10"]),
        (["b", "10", "9", "a 2", "a 10"], ["9", "10", "a 10", "a 2", "b"]),
        (["1", "01", "1.0"], ["01", "1", "1.0"]),
        (["10000000000000000", "9999999999999999"], ["9999999999999999", "10000000000000000"]),
        (
            ["1e400", "2", "-9007199254740993", "-9007199254740992"],
            ["-9007199254740993", "-9007199254740992", "2", "1e400"],
        ),
        (["1,000", "500", "2,5"], ["2,5", "500", "1,000"]),
        (["\u0661\u0660", "\u0669", "1e5", "inf"], ["\u0669", "\u0661\u0660", "1e5", "inf"]),
    ],
)
def test_labels_that_are_numbers_sort_as_numbers(tmp_path: Path, labels: list[str], order: list[str]) -> None:
    texts = [f"text {i}" for i in range(3 * len(labels))]
    found = read(write_set(tmp_path, texts, labels * 3, ["x"], labels[:1]))
    assert list(found.labels) == order
    assert [found.labels[i] for i in found.train.targets.ids_N] == labels * 3


def test_texts_that_differ_by_how_accents_are_stored_are_the_same_text(tmp_path: Path) -> None:
    """Twice in training, under two labels, and leaked into validation."""
    texts = ["caf\u00e9 au lait", "cafe\u0301 au lait", *(f"text {i}" for i in range(4))]
    found = read(write_set(tmp_path, texts, ["a", "b"] * 3, ["cafe\u0301 au lait", "y"], ["a", "b"]))
    said = "\n".join(found.warnings)
    assert "1 text under more than one label (lines 1 and 2)" in said
    assert "1 text also in" in said and "(line 1)" in said


def test_texts_of_nothing_but_zero_width_characters_are_empty(tmp_path: Path) -> None:
    texts = ["\u200b", "\u200d\ufeff \u00ad", "\ufe0f", "text", "a text\u200b", "\u2060x"]
    found = read(write_set(tmp_path, texts, ["a", "b"] * 3, ["x"], ["a"]))
    assert found.train.file.empty_rows == (0, 1, 2)
    with pytest.raises(DataError, match="every text is empty"):
        read(write_set(tmp_path, ["\u200b"] * 4, ["a", "b"] * 2, ["x"], ["a"]))
    with pytest.raises(DataError, match="empty label"):
        read(write_set(tmp_path, ["x", "y"] * 2, ["a", "\u200b"] * 2, ["x"], ["a"]))


def test_validation_files_are_used_whole(tmp_path: Path) -> None:
    found = read(write_set(tmp_path, TEXTS, LABELS, ["a", "b"], ["bad", "good"]))
    assert not found.was_divided
    assert found.train.rows_N.tolist() == list(range(6)) and found.val.rows_N.tolist() == [0, 1]
    assert found.val.targets.ids_N.tolist() == [0, 1]
    assert found.warnings == ()
    assert found.train.file.characters == sum(map(len, TEXTS))


def test_a_check_says_sizes_labels_and_warnings(tmp_path: Path) -> None:
    directory = write_set(tmp_path, [*TEXTS, ""], [*LABELS, "ba\x1bd"], ["a"], ["bad"])
    said = [line.replace(str(tmp_path), "DIR") for line in describe(read(directory))]
    assert said == [
        "DIR/train_dataset.txt: 7 lines, 52 characters, 3 labels",
        "DIR/val_dataset.txt: 1 lines, 1 characters",
        r"training examples by label: bad 3, good 3, 'ba\x1bd' 1",
        "warning: DIR/train_dataset.txt: 1 empty text (line 7)",
        r"warning: DIR/train_labels.txt: 1 label with fewer than 3 examples: 'ba\x1bd' (line 7)",
        "no errors, 2 warnings",
    ]


def test_many_labels_are_shown_by_size_and_cut_at_ten(tmp_path: Path) -> None:
    labels = [f"l{i:02}" for i in range(12) for _ in range(3 + i)]
    found = read(write_set(tmp_path, sentences(len(labels)), labels))
    line = next(line for line in describe(found) if line.startswith("training examples"))
    assert line.startswith("training examples by label: l11 13, l10 12,") and line.endswith(", l02 4, ...")


def test_label_counts_are_in_label_order_with_zeros(tmp_path: Path) -> None:
    found = read(write_set(tmp_path, ["x", "y", "z", "u"], ["d", "b", "b", "a"], ["v"], ["b"]))
    none_of_a = dataclasses.replace(found, train=Split(found.train.file, np.array([0, 1, 2])))
    assert none_of_a.label_counts() == {"a": 0, "b": 2, "d": 1}


def test_counts_and_lines_read_as_prose() -> None:
    assert (counted(1, "text"), counted(1200, "text")) == ("1 text", "1,200 texts")
    assert at_lines([3]) == " (line 3)"
    assert at_lines([3, 8]) == " (lines 3, 8)"
    assert at_lines(np.arange(1, 9)) == " (lines 1, 2, 3, 4, 5, ...)"


def test_a_directory_gives_the_names_of_its_files() -> None:
    assert in_directory("x") == {
        "data.train_texts": "x/train_dataset.txt",
        "data.train_labels": "x/train_labels.txt",
        "data.val_texts": "x/val_dataset.txt",
        "data.val_labels": "x/val_labels.txt",
        "data.test_texts": "x/test_dataset.txt",
        "data.test_labels": "x/test_labels.txt",
        "data.train_spans": "x/train.conll",
        "data.val_spans": "x/val.conll",
        "data.test_spans": "x/test.conll",
    }


# What is wrong


@pytest.mark.parametrize(("missing", "other"), [("val_dataset", "val_labels"), ("val_labels", "val_dataset")])
def test_one_missing_validation_file_is_an_error_that_names_it(
    tmp_path: Path, missing: str, other: str
) -> None:
    write_set(tmp_path, TEXTS, LABELS, ["a"], ["bad"])
    (tmp_path / f"{missing}.txt").unlink()
    assert fault(tmp_path) == (
        f"DIR/{missing}.txt: no such file, but there is DIR/{other}.txt; "
        f"write both, or neither to have lines set aside"
    )


@settings(quiet, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_unequal_counts_name_both_and_the_first_line_without_a_partner(
    tmp_path_factory: pytest.TempPathFactory, num_texts: int, num_labels: int, in_val: bool
) -> None:
    if num_texts == num_labels:
        return
    directory = tmp_path_factory.mktemp("unequal")
    texts, labels = ["t"] * num_texts, [LABELS[i % 2] for i in range(num_labels)]
    if in_val:
        write_set(directory, TEXTS, LABELS, texts, labels)
    else:
        write_set(directory, texts, labels)
    split = "val" if in_val else "train"
    counts = f"DIR/{split}_dataset.txt has {num_texts} lines, DIR/{split}_labels.txt {num_labels}"
    extra, at = abs(num_texts - num_labels), min(num_texts, num_labels) + 1
    s = "" if extra == 1 else "s"
    if num_texts > num_labels:
        expected = f"DIR/{split}_dataset.txt:{at}: a text without a label: {counts}; {extra} text{s} too many"
    else:
        expected = f"DIR/{split}_labels.txt:{at}: a label without a text: {counts}; {extra} label{s} too many"
    assert fault(directory) == expected


def test_surplus_empty_lines_at_the_end_are_called_so(tmp_path: Path) -> None:
    assert fault(write_set(tmp_path, [*TEXTS, "", " "], LABELS)).endswith("; 2 empty texts too many")
    assert fault(write_set(tmp_path, [*TEXTS, "", "x"], LABELS)).endswith("; 2 texts too many")


def test_the_line_of_a_bad_label_is_exact_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_bert.data.text.BLOCK", 16)
    labels = LABELS * 20
    for at in (0, 1, 4, 57, 119):
        write_set(tmp_path, ["x"] * 120, [*labels[:at], "a\tb", *labels[at + 1 :]])
        assert fault(tmp_path).startswith(f"DIR/train_labels.txt:{at + 1}: label 'a\\tb' holds a tab")


def test_the_first_of_several_faults_is_told_whatever_the_hash_order(tmp_path: Path) -> None:
    write_set(tmp_path, TEXTS, LABELS, ["a"] * 40, ["good", *[f"unknown {i}" for i in range(39)]])
    code = (
        f"import sys; sys.path.append({str(ROOT / 'tests')!r})\n"
        "from pathlib import Path; from custom_bert.errors import DataError; from data_files import read\n"
        "try: read(Path(sys.argv[1]))\n"
        "except DataError as error: print(error)"
    )
    for seed in "01":
        out = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "val_labels.txt:2: label 'unknown 0' never occurs" in out


@pytest.mark.parametrize(
    ("label", "known"),
    [
        ("Good", "good"),
        ("good ", "good"),
        ("god", "good"),
        ("\uff42\uff41\uff44", "bad"),
        ("go\u200bod", "good"),
    ],
)
def test_an_unknown_validation_label_is_told_with_the_nearest_known_one(
    tmp_path: Path, label: str, known: str
) -> None:
    message = fault(write_set(tmp_path, TEXTS, LABELS, ["a", "b"], ["bad", label]))
    assert message == (
        f"DIR/val_labels.txt:2: label {label!r} never occurs in DIR/train_labels.txt "
        f"(did you mean {known!r}?)"
    )


@pytest.mark.parametrize("count", [2, 3, 10, 500])
def test_swapped_files_are_recognised(tmp_path: Path, count: int) -> None:
    texts = list(dict.fromkeys(sentences(2 * count, seed=3)))[: max(count, 3)]
    labels = (LABELS * count)[: len(texts)]
    assert fault(write_set(tmp_path / "train", labels, texts)).endswith(
        "train_labels.txt:1: the labels look like texts and DIR/train_dataset.txt like labels; "
        "are the two files swapped?"
    )
    assert fault(write_set(tmp_path / "val", TEXTS, LABELS, labels, texts)).endswith(
        "val_labels.txt:1: the labels look like texts and DIR/val_dataset.txt like labels; "
        "are the two files swapped?"
    )


def test_few_validation_lines_of_many_long_labels_are_not_taken_for_swapped_files(tmp_path: Path) -> None:
    labels = [f"a long label, number {i}" for i in range(30)] * 3
    directory = write_set(tmp_path, sentences(90), labels, ["?"] * 25, labels[:25])
    assert len(read(directory).val.rows_N) == 25


def test_long_labels_on_short_texts_are_not_taken_for_swapped_files(tmp_path: Path) -> None:
    texts = [f"{i}" for i in range(40)]
    labels = ["a rather long name of a class", "another rather long name of a class"] * 20
    assert read(write_set(tmp_path, texts, labels)).labels == tuple(sorted(set(labels)))


def test_labels_as_many_as_texts_are_refused_fast(tmp_path: Path) -> None:
    many = [f"id-{i}" for i in range(100_000)]
    assert fault(write_set(tmp_path, many, many)) == (
        "DIR/train_labels.txt:1: the labels look like texts: 100,000 different ones in 100,000 lines; "
        "at most 65,536 can be learned"
    )


def test_more_labels_than_65536_are_refused_and_65536_are_not(tmp_path: Path) -> None:
    labels = [f"{i}" for i in range(65_536)] * 3
    assert len(read(write_set(tmp_path, [f"{i}" for i in range(len(labels))], labels)).labels) == 65_536
    labels = [f"{i}" for i in range(65_537)] * 3
    assert fault(write_set(tmp_path, [f"{i}" for i in range(len(labels))], labels)) == (
        "DIR/train_labels.txt:1: too many labels: 65,537 different ones in 196,611 lines; "
        "at most 65,536 can be learned"
    )


def test_labels_that_no_run_could_hold_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    long = [f"{i:04d} {'é' * 995}" for i in range(4_300)]  # 8.6 MB, and each by itself is allowed
    assert fault(write_set(tmp_path, [f"{i}" for i in range(8_600)], long * 2)) == (
        "DIR/train_labels.txt: the different labels take 8,587,100 bytes together, of at most 8,388,608; "
        "write shorter ones, such as numbers"
    )
    assert len(read(write_set(tmp_path, [f"{i}" for i in range(8_000)], long[:4_000] * 2)).labels) == 4_000


def test_the_nearest_of_very_many_labels_is_told_in_a_second() -> None:
    known = [f"{'a' * 100} {i:05d}" for i in range(65_536)]
    started = time.process_time()
    found = (
        labels.nearest_label("a" * 100 + " 0000O", known),
        labels.nearest_label("A" * 100 + " 00001", known),
    )
    assert time.process_time() - started < 3  # comparing letter by letter with each took 50 s
    assert found[0] == "" and found[1].startswith(" (did you mean 'aaa")
    assert labels.nearest_label("00O1", [f"{i:04d}" for i in range(10_000)]).startswith(" (did you mean")


# What is doubtful


def test_every_planted_leak_is_counted_and_told_by_line(tmp_path: Path) -> None:
    draw = random.Random(1)
    train = list(dict.fromkeys(sentences(900, seed=1)))[:600]
    val = [text for text in dict.fromkeys(sentences(500, seed=2)) if text not in train][:200]
    lines = sorted(draw.sample(range(200), 37))
    for line in lines:
        val[line] = draw.choice(train)
    labels = LABELS * 100
    told = warnings(write_set(tmp_path, train, labels, val, labels[:200]))
    first = ", ".join(str(line + 1) for line in lines[:5])
    assert (
        f"DIR/val_dataset.txt: 37 texts also in DIR/train_dataset.txt (lines {first}, ...); "
        f"the validation scores are too high because of these texts"
    ) in told
    for line in lines:  # each of them alone, so that each line number is seen
        one = [text if i == line or i not in lines else f"other {i}" for i, text in enumerate(val)]
        told = warnings(write_set(tmp_path, train, labels, one, labels[:200]))
        assert any(f"1 text also in DIR/train_dataset.txt (line {line + 1});" in each for each in told)


@settings(quiet, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=2, max_size=40))
def test_every_text_under_two_labels_is_counted_and_told_by_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]
) -> None:
    rows = [*rows, (100, 0), (101, 1)]
    directory = write_set(
        tmp_path_factory.mktemp("conflicts"), [f"t{t}" for t, _ in rows], [f"l{label}" for _, label in rows]
    )
    first: dict[int, int] = {}
    pairs: dict[int, int] = {}
    for i, (text, label) in enumerate(rows):
        first.setdefault(text, i)
        if label != rows[first[text]][1]:
            pairs.setdefault(first[text], i)
    shown = [f"{a + 1} and {b + 1}" for a, b in sorted(pairs.items())]
    lines = ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
    count = counted(len(shown), "text")
    expected = f"DIR/train_dataset.txt: {count} under more than one label (lines {lines})"
    try:
        told = [warning for warning in warnings(directory) if "more than one label" in warning]
    except DataError as error:
        assert "none can be set aside" in str(error)  # no label had two texts
        return
    assert told == ([expected] if shown else [])


def test_rare_labels_are_counted_and_told_with_their_first_lines(tmp_path: Path) -> None:
    labels = [*LABELS, "odd", "rare", "odd", "good"]
    told = warnings(write_set(tmp_path, [f"t{i}" for i in range(10)], labels))
    assert told == ["DIR/train_labels.txt: 2 labels with fewer than 3 examples: 'odd', 'rare' (lines 7, 8)"]


def test_empty_texts_are_counted_in_both_files(tmp_path: Path) -> None:
    texts = ["", "a", "b", " \u3000\t", "c", "\u2028"]
    told = warnings(write_set(tmp_path, texts, LABELS, ["x", ""], ["bad", "bad"]))
    assert told[0] == "DIR/train_dataset.txt: 3 empty texts (lines 1, 4, 6)"
    assert "DIR/val_dataset.txt: 1 empty text (line 2)" in told


def test_labels_that_look_the_same_are_warned_about_once_with_lines(tmp_path: Path) -> None:
    labels = ["pos", "neg", "Pos", "neg ", "\uff4eeg", "other"] * 3
    told = warnings(write_set(tmp_path, [f"t{i}" for i in range(18)], labels))
    assert told == [
        "DIR/train_labels.txt: 3 labels like another except for case, spaces or width, counted as different: "
        "'pos' and 'Pos', 'neg' and 'neg ', 'neg' and '\uff4eeg' (lines 3, 4, 5)"
    ]


# The division


@st.composite
def labelled_texts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, int]:
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(-30, 30)), min_size=1, max_size=150))
    labels, texts = zip(*rows, strict=True)
    fraction = draw(st.sampled_from([1e-6, 0.1, 0.25, 0.5, 0.9]))
    return np.array(labels, np.int32), np.array(texts), fraction, draw(st.integers(0, 2**63 - 1))


@settings(quiet, max_examples=300)
@given(labelled_texts())
def test_division_is_stratified_and_keeps_equal_texts_on_one_side(
    case: tuple[np.ndarray, np.ndarray, float, int],
) -> None:
    labels, texts, fraction, seed = case
    rows = divide(labels, texts, fraction, seed)
    assert rows.tolist() == sorted(set(rows.tolist())) == divide(labels, texts, fraction, seed).tolist()
    chosen = np.zeros(len(texts), bool)
    chosen[rows] = True
    assert not set(texts[chosen]) & set(texts[~chosen])
    leader = {text: int(np.flatnonzero(texts == text)[0]) for text in set(texts.tolist())}
    for label in set(labels.tolist()):  # a text under two labels counts for the first
        own = [text for text, row in leader.items() if labels[row] == label]
        wanted = min(max(round(fraction * len(own)), 1), len(own) - 1) if own else 0
        assert sum(bool(chosen[leader[text]]) for text in own) == wanted
        if len(own) == 1:
            assert not chosen[leader[own[0]]]


@settings(quiet, max_examples=100)
@given(labelled_texts())
def test_division_depends_on_equality_of_texts_not_on_their_hashes(
    case: tuple[np.ndarray, np.ndarray, float, int],
) -> None:
    labels, texts, fraction, seed = case
    other = texts % 7 * 1_000_003 - texts * 31  # another order, the same equalities
    assert np.array_equal(divide(labels, texts, fraction, seed), divide(labels, other, fraction, seed))


def test_another_seed_sets_other_lines_aside() -> None:
    labels, texts = np.arange(1000, dtype=np.int32) % 4, np.arange(1000)
    first, second = divide(labels, texts, 0.1, 0), divide(labels, texts, 0.1, 1)
    assert len(first) == len(second) == 100
    assert np.bincount(labels[first]).tolist() == [25] * 4
    assert set(first.tolist()) != set(second.tolist())


def test_a_tenth_is_set_aside_without_validation_files(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(200)]
    found = read(write_set(tmp_path, texts, ["a", "b", "b", "b"] * 50))
    assert found.was_divided and found.val.file is found.train.file
    assert np.bincount(found.val.targets.ids_N).tolist() == [5, 15]
    assert sorted([*found.train.rows_N, *found.val.rows_N]) == list(range(200))
    assert f"no validation files: {20} lines would be set aside from these" in describe(found)


def test_labels_with_one_text_stay_in_training(tmp_path: Path) -> None:
    found = read(write_set(tmp_path, [*TEXTS, "only", "same", "same"], [*LABELS, "one", "two", "two"]))
    assert {"one", "two"} <= {found.labels[i] for i in found.train.targets.ids_N}
    assert {found.labels[i] for i in found.val.targets.ids_N} == {"bad", "good"}


def test_too_little_to_divide_is_an_error(tmp_path: Path) -> None:
    assert fault(write_set(tmp_path, ["x", "y", "x"], ["a", "b", "a"])) == (
        "DIR/train_dataset.txt: no label has two different texts, so none can be set aside for "
        "validation; add texts, or write DIR/val_dataset.txt and DIR/val_labels.txt"
    )


def test_division_and_warnings_are_the_same_in_every_process(tmp_path: Path) -> None:
    texts = sentences(300, seed=4) + sentences(60, seed=4)
    labels = [f"l{i % 3}" for i in range(len(texts))]
    write_set(tmp_path, texts, labels)
    code = (
        f"import sys; sys.path.append({str(ROOT / 'tests')!r})\n"
        "from pathlib import Path; from data_files import read\n"
        "d = read(Path(sys.argv[1]), seed=5)\n"
        "print(d.val.rows_N.tolist(), d.labels, d.warnings, d.train.file.texts_sha256)"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "LANG": lang},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, lang in (("0", "C"), ("1", "C.UTF-8"), ("12345", "POSIX"))
    }
    assert len(outs) == 1 and len(outs.pop()) > 100


def test_many_labels_cost_no_more_than_few(tmp_path: Path) -> None:
    import time

    draw = np.random.default_rng(0)
    labels, texts = draw.integers(0, 30_000, 200_000).astype(np.int32), np.arange(200_000)
    started = time.process_time()
    divide(labels, texts, 0.1, 0)
    assert time.process_time() - started < 2  # comparing every label with every row took 30 s


def test_the_module_names_its_limits() -> None:
    assert (labels.MAX_LABELS, labels.MAX_LABEL_CHARACTERS, findings.RARE) == (65_536, 1_000, 3)
    assert labels.MAX_LABELS_BYTES == 8 << 20


def test_programs_are_told_every_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a", "b", "a", "", "b", "c", "a"]
    labels = ["yes", "no", "yes", "no", "yes", "yes", "no"]
    write_set(tmp_path, texts, labels, ["new", "b", "c"], ["yes", "no", "yes"])
    assert main(["check-data", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    train = found["files"]["train"]
    assert train["duplicates"] == [[1, 3], [2, 5], [1, 7]] and train["conflicts"] == [[2, 5], [1, 7]]
    assert train["empty_texts"] == [4] and train["lines"] == 7
    assert found["leaks"] == [[2, 2], [3, 6]] and found["labels"] == {"no": 3, "yes": 4}
    assert not found["divided"] and any("more than one label" in one for one in found["warnings"])
    assert main(["check-data", str(tmp_path)]) == 0
    assert "3 training lines repeat an earlier text (lines 3, 5, 7)" in capsys.readouterr().out
