"""Pairs of texts that cannot be read, or look wrong: one line that says what, where and what to do. DIR is
the directory of the files, RUN a run that was trained on pairs, ONE one that was trained on single texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import LABELS, TEXTS, Command, place
from data_files import lines, write_run
from training_runs import ready, settings

from custom_bert import Classifier, files, in_memory, train_model
from custom_bert.errors import ConfigError

SECOND = ["a film", "a dull play", "music", "dull songs", "the end", "no end"]
TABBED = {
    "train_dataset.txt": lines([f"{a}\t{b}" for a, b in zip(TEXTS, SECOND, strict=True)]),
    "val_dataset.txt": lines(["fine cast\tcast", "dull cast\tplay"]),
}
TWO = {"train_dataset_2.txt": lines(SECOND), "val_dataset_2.txt": lines(["cast", "play"])}
ROWS = zip(TEXTS, SECOND, LABELS, strict=True)
TABLE = "question,answer,label\n" + "".join(f"{a},{b},{c}\n" for a, b, c in ROWS)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def pair_run(directory: Path) -> Path:
    """A run directory that says it was trained on pairs."""
    write_run(directory)
    config = files.read_run_json(directory, "config.json")
    files.write_json(directory / "config.json", {**config, "pairs": True})
    return directory


def edited(content: bytes, old: str, new: str) -> bytes:
    assert content.count(old.encode()) == 1
    return content.replace(old.encode(), new.encode())


TRAIN = TABBED["train_dataset.txt"]
ASKED = "and pairs of texts are read: two texts with"

UNUSABLE: dict[str, tuple[dict[str, bytes | None], str, str]] = {
    "a line without a tab": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "fine music\tmusic", "fine music")},
        "DIR --pairs",
        f"DIR/train_dataset.txt:3: no tab, {ASKED} a tab between them",
    ),
    "an empty line": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "fine music\tmusic", "")},
        "DIR --pairs",
        f"DIR/train_dataset.txt:3: the line is empty, {ASKED} a tab between them",
    ),
    "two tabs": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "fine music\tmusic", "fine\tmusic\tmusic")},
        "DIR --pairs",
        f"DIR/train_dataset.txt:3: 2 tabs, {ASKED} one tab between them; a text with a tab needs a file of "
        "second texts, train_dataset_2.txt, or a table",
    ),
    "single texts in the validation file": (
        {"train_dataset.txt": TRAIN},
        "DIR --pairs",
        f"DIR/val_dataset.txt:1: no tab, {ASKED} a tab between them",
    ),
    "fewer second texts": (
        {**TWO, "train_dataset_2.txt": lines(SECOND[:4])},
        "DIR",
        "DIR/train_dataset.txt:5: a text without a second one: DIR/train_dataset.txt has 6 lines, "
        "DIR/train_dataset_2.txt 4; 2 texts too many",
    ),
    "more second texts": (
        {**TWO, "train_dataset_2.txt": lines([*SECOND, "more"])},
        "DIR",
        "DIR/train_dataset_2.txt:7: a text without a first one: DIR/train_dataset.txt has 6 lines, "
        "DIR/train_dataset_2.txt 7; 1 text too many",
    ),
    "no second texts for validation": (
        {"train_dataset_2.txt": TWO["train_dataset_2.txt"]},
        "DIR",
        "DIR/val_dataset_2.txt: no such file, but DIR/val_dataset.txt has first texts, as "
        "DIR/train_dataset_2.txt says; write the second text of each line into it",
    ),
    "second texts for validation only": (
        {"val_dataset_2.txt": TWO["val_dataset_2.txt"]},
        "DIR",
        "DIR/val_dataset_2.txt: a file of second texts, but there is no DIR/train_dataset_2.txt; "
        "write second "
        "texts everywhere or nowhere",
    ),
    "tabs and two files": (
        {**TABBED, **TWO},
        "DIR --pairs",
        "DIR/train_dataset_2.txt: this file has second texts, and data.pairs wants them in the lines of "
        "DIR/train_dataset.txt; leave one out",
    ),
    "more labels than pairs": (
        {**TABBED, "train_labels.txt": lines([*LABELS, "good"])},
        "DIR --pairs",
        "DIR/train_labels.txt:7: a label without a text: DIR/train_dataset.txt has 6 lines, "
        "DIR/train_labels.txt 7; 1 label too many",
    ),
    "empty pairs only": (
        {**TABBED, "train_dataset.txt": b"\t\n \t\n\t\n\t \n\t\n\t\n"},
        "DIR --pairs",
        "DIR/train_dataset.txt: every text is empty",
    ),
    "a table and data.pairs": (
        {"r.csv": TABLE.encode()},
        "DIR/r.csv --pairs",
        "config: data.pairs is for text files; name the column of the second texts by "
        "data.second_text_column",
    ),
    "a second column without a table": (
        TABBED,
        "DIR --second-text-column answer",
        "config: data.second_text_column: only a table has it; give a table as DATA or by "
        "data.table, or leave "
        "it out",
    ),
    "a second column that is not there": (
        {"r.csv": TABLE.encode()},
        "DIR/r.csv --text-column question --second-text-column answers",
        "DIR/r.csv: no column 'answers'; the table has 'answer', 'label', 'question'; give "
        "--second-text-column",
    ),
    "one column twice": (
        {"r.csv": TABLE.encode()},
        "DIR/r.csv --text-column answer --second-text-column answer",
        "config: data.text_column and data.second_text_column are one column, 'answer'; name two",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_read_as_pairs_is_said_in_one_line(command: Command, name: str) -> None:
    changes, arguments, message = UNUSABLE[name]
    place(command.directory, changes)
    code = 64 if message.startswith("config") else 65
    assert command.refused(f"check-data {arguments}", code) == [message]


DOUBTFUL: dict[str, tuple[dict[str, bytes | None], str]] = {
    "a pair with one empty text": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "fine music\tmusic", "fine music\t ")},
        "DIR/train_dataset.txt: 1 pair with one text that is empty (line 3)",
    ),
    "a pair with two empty texts": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "fine music\tmusic", "\t")},
        "DIR/train_dataset.txt: 1 empty text (line 3)",
    ),
    "one pair with two labels": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "a dull film\ta dull play", "a fine film\ta film")},
        "warning: DIR/train_dataset.txt: 1 text under more than one label (lines 1 and 2)\n",
    ),
    "a header": (
        {**TABBED, "train_dataset.txt": edited(TRAIN, "a fine film\ta film", "sentence\ttext")},
        "warning: DIR/train_dataset.txt:1: 'sentence\\ttext' looks like a header, the name of a column, ",
    ),
    "a pair of both files": (
        {**TABBED, "val_dataset.txt": lines(["fine music\tmusic", "dull cast\tplay"])},
        "warning: DIR/val_dataset.txt: 1 text also in DIR/train_dataset.txt (line 1); ",
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_looks_wrong_about_pairs_is_a_warning(command: Command, name: str) -> None:
    changes, message = DOUBTFUL[name]
    place(command.directory, changes)
    result = command("check-data DIR --pairs")
    assert result.code == 0 and message in result.out


def test_pairs_that_are_read_as_single_texts_are_a_warning(command: Command) -> None:
    place(command.directory, TABBED)
    assert command("check-data DIR").out.endswith(
        "warning: DIR/train_dataset.txt:1: 6 of the first 6 lines hold one tab, such as 'a fine "
        "film\\ta film', "
        "and the texts on both sides of it would be read as one; if they are pairs of texts, set data.pairs "
        "(docs/how-to/pairs.md)\nno errors, 1 warning\n"
    )


def test_lists_of_single_texts_are_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train_model({"data.pairs": True, "out": str(tmp_path / "run")}, source=in_memory(TEXTS, LABELS))
    assert str(caught.value) == (
        "config: data.pairs is for text files; in memory, write each pair as a tuple"
    )


def test_equal_first_texts_with_other_second_texts_are_neither_repeated_nor_in_conflict(
    command: Command,
) -> None:
    same = [f"{TEXTS[0]}\t{second}" for second in SECOND]
    place(command.directory, {**TABBED, "train_dataset.txt": lines(same)})
    assert command("check-data DIR --pairs").out.endswith("label: bad 3, good 3\nno errors, 0 warnings\n")


MISREAD: dict[str, tuple[str, int, str]] = {
    "lines of single texts for a model of pairs": (
        "predict DIR/RUN DIR/train_dataset.txt",
        65,
        "DIR/train_dataset.txt:1: no tab, and DIR/RUN was trained on pairs: two texts with a tab "
        "between them",
    ),
    "lines of three texts": (
        "predict DIR/RUN DIR/three.txt",
        65,
        "DIR/three.txt:1: 2 tabs, and DIR/RUN was trained on pairs: two texts with one tab between "
        "them; write a "
        "space for the others",
    ),
    "a table with one column for a model of pairs": (
        "predict DIR/RUN DIR/r.csv --text-column question",
        65,
        "DIR/r.csv: the model was trained on pairs of texts; name the second column by "
        "--second-text-column; the "
        "table has 'question', 'answer', 'label'",
    ),
    "two columns for a model of single texts": (
        "predict DIR/ONE DIR/r.csv --text-column question --second-text-column answer",
        65,
        "DIR/r.csv: the model was trained on single texts; leave out --second-text-column answer",
    ),
    "a folder of pairs for a model of single texts": (
        "evaluate DIR/ONE DIR/two",
        65,
        "DIR/two/val_dataset.txt and DIR/two/val_dataset_2.txt: pairs of texts, and DIR/ONE was trained on "
        "single texts",
    ),
    "a folder of single texts for a model of pairs": (
        "evaluate DIR/RUN DIR",
        65,
        "DIR/val_dataset.txt:1: no tab, and pairs of texts are read: two texts with a tab between them",
    ),
    "a table of single texts for a model of pairs": (
        "evaluate DIR/RUN DIR/r.csv --text-column question",
        65,
        "DIR/r.csv, column 'question': single texts, and DIR/RUN was trained on pairs; name the "
        "second column by "
        "--second-text-column",
    ),
    "probing an encoder on pairs": (
        "probe DIR/RUN DIR/two",
        65,
        "DIR/two/train_dataset.txt and DIR/two/train_dataset_2.txt: pairs of texts, and a probe measures the "
        "vectors of single texts; what the encoder is worth for pairs, training shows: --model.init-from "
        "DIR/RUN",
    ),
    "swapping the texts of no pairs": (
        "evaluate DIR/ONE DIR --swap",
        64,
        "--swap: DIR/ONE was trained on single texts, and only the texts of pairs can be swapped",
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_a_model_of_pairs_reads_pairs_and_no_other_does(command: Command, name: str) -> None:
    line, code, message = MISREAD[name]
    place(command.directory)
    (command.directory / "r.csv").write_text(TABLE)
    (command.directory / "three.txt").write_text("a\tb\tc\n")
    (command.directory / "two").mkdir()
    place(command.directory / "two", TWO)
    write_run(command.directory / "ONE")
    pair_run(command.directory / "RUN")
    assert command.refused(line, code) == [message]


def test_python_callers_are_told_which_item_is_no_pair(tmp_path: Path) -> None:
    pairs, single = Classifier.load(pair_run(tmp_path / "RUN")), Classifier.load(write_run(tmp_path / "ONE"))
    assert pairs.pairs and not single.pairs
    for given, message in (
        (
            ["one text"],
            "pair 0: expected two texts, such as ('first', 'second'), got 'one text'; this model reads "
            "pairs of texts",
        ),
        (
            [("a", "b"), ("a", "b", "c")],
            "pair 1: expected two texts, such as ('first', 'second'), got ('a', 'b', "
            "'c'); write a tuple of two strings",
        ),
        (
            [("a", None)],
            "pair 0: expected two texts, such as ('first', 'second'), got ('a', None); write a tuple "
            "of two strings",
        ),
        ("a\tb", "expected a list of pairs, got a single string; write [pair]"),
    ):
        with pytest.raises(TypeError) as caught:
            pairs.predict(given)  # type: ignore[arg-type]
        assert str(caught.value) == message
    with pytest.raises(TypeError) as caught:
        single.predict([("a", "b")])
    assert str(caught.value) == (
        "text 0: expected a string, got ('a', 'b'); write one string for each text, without lists "
        "inside the list"
    )
    with pytest.raises(TypeError, match=r"^text: expected two texts, .* got 'a'; this model reads pairs"):
        pairs.explain("a")


def test_windows_are_refused_with_the_way_out(tmp_path: Path) -> None:
    place(tmp_path, TABBED)
    with pytest.raises(ConfigError) as caught:
        ready(settings(tmp_path, None, **{"data.pairs": True, "data.long_texts": "windows"}))
    assert str(caught.value) == (
        "config: data.long_texts windows: a window of a pair would hold only a part of one text, without the "
        "other; take head or head_tail, which keep the same share of both, and raise data.max_length"
    )
