"""Whatever is wrong with the input: one line that says what, where and what to do. No traceback.

Every message stands here as a user sees it; DIR is the directory of the files.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from data_files import NAMES, SPECIALS, lines, write_run, write_set
from training_runs import ready

from custom_bert.cli import main

TEXTS = ["a fine film", "a dull film", "fine music", "dull music", "a fine end", "a dull end"]
LABELS = ["good", "bad"] * 3
GOOD: dict[str, bytes] = {
    "train_dataset.txt": lines(TEXTS),
    "train_labels.txt": lines(LABELS),
    "val_dataset.txt": lines(["fine cast", "dull cast"]),
    "val_labels.txt": lines(["good", "bad"]),
}
NO_VAL: dict[str, bytes | None] = {"val_dataset.txt": None, "val_labels.txt": None}


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """Runs command lines in process, DIR for the test's directory in arguments and in what is said."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory, self._capsys = directory, capsys

    def __call__(self, line: str) -> Result:
        arguments = [word.replace("DIR", str(self.directory)) for word in line.split()]
        code = main(arguments)
        said = self._capsys.readouterr()
        return Result(code, *(text.replace(str(self.directory), "DIR") for text in said))

    def refused(self, line: str, code: int) -> list[str]:
        """The messages of a command that fails before it prints anything."""
        result = self(line)
        assert result.code == code, result
        assert result.out == ""
        return faults(result.err)


def faults(err: str) -> list[str]:
    """What stands after `error: `, one message a line and nothing else."""
    assert "Traceback" not in err and err.endswith("\n")
    found = err.removesuffix("\n").split("\n")
    assert all(line.startswith("error: ") for line in found), err
    return [line.removeprefix("error: ") for line in found]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Command(tmp_path, capsys)


def place(directory: Path, changes: dict[str, bytes | None] | None = None) -> None:
    """The good files with some replaced or, for None, left out."""
    for name, content in {**GOOD, **(changes or {})}.items():
        if content is not None:
            (directory / name).write_bytes(content)


def test_the_good_files_are_good(command: Command) -> None:
    place(command.directory)
    assert command("check-data DIR") == Result(
        0,
        "DIR/train_dataset.txt: 6 lines, 62 characters, 2 labels\n"
        "DIR/val_dataset.txt: 2 lines, 18 characters\n"
        "training examples by label: bad 3, good 3\n"
        "no errors, 0 warnings\n",
        "",
    )


# --- Files that cannot be used: exit 65 --------------------------------------------------------------


def changed(items: list[str], at: int, item: str) -> list[str]:
    return [item if i == at else old for i, old in enumerate(items)]


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


EMPTY = "the file is empty; expected one example a line"
UTF16 = "UTF-16 text; save it as UTF-8"
NUL = "NUL byte; not plain text (if it is UTF-16, save it as UTF-8)"
CR = "lines end with CR alone; convert them to LF"
ALIKE = "like labels; are the two files swapped?"
UNSEEN = "never occurs in DIR/train_labels.txt"
BOM = b"\xef\xbb\xbf"

UNUSABLE: dict[str, tuple[dict[str, bytes | None], str]] = {
    # missing and empty files
    "no training texts": (
        {"train_dataset.txt": None},
        "DIR/train_dataset.txt: no such file; write into it the text of each line of train_labels.txt",
    ),
    "no training labels": (
        {"train_labels.txt": None},
        "DIR/train_labels.txt: no such file; write into it the label of each line of train_dataset.txt",
    ),
    "empty texts only": (
        {"train_dataset.txt": b"\n \n\n\t\n\n\n"},
        "DIR/train_dataset.txt: every text is empty",
    ),
    "no validation texts": (
        {"val_dataset.txt": None},
        "DIR/val_dataset.txt: no such file, but there is DIR/val_labels.txt; "
        "write both, or neither to have lines set aside",
    ),
    "no validation labels": (
        {"val_labels.txt": None},
        "DIR/val_labels.txt: no such file, but there is DIR/val_dataset.txt; "
        "write both, or neither to have lines set aside",
    ),
    **{f"empty {name}": ({name: b""}, f"DIR/{name}: {EMPTY}") for name in NAMES},
    "a byte order mark and nothing else": ({"train_dataset.txt": BOM}, f"DIR/train_dataset.txt: {EMPTY}"),
    # unequal counts
    "a text too many": (
        {"train_dataset.txt": lines([*TEXTS, "one more"])},
        "DIR/train_dataset.txt:7: a text without a label: DIR/train_dataset.txt has 7 lines, "
        "DIR/train_labels.txt 6; 1 text too many",
    ),
    "a label too many": (
        {"train_labels.txt": lines([*LABELS, "good", "bad"])},
        "DIR/train_labels.txt:7: a label without a text: DIR/train_dataset.txt has 6 lines, "
        "DIR/train_labels.txt 8; 2 labels too many",
    ),
    "an empty line after the last text": (
        {"train_dataset.txt": lines([*TEXTS, ""])},
        "DIR/train_dataset.txt:7: a text without a label: DIR/train_dataset.txt has 7 lines, "
        "DIR/train_labels.txt 6; 1 empty text too many",
    ),
    "an empty line after the last label": (
        {"train_labels.txt": lines([*LABELS, ""])},
        "DIR/train_labels.txt:7: empty label; write one, or remove the line from both files",
    ),
    "unequal validation files": (
        {"val_labels.txt": lines(["good"])},
        "DIR/val_dataset.txt:2: a text without a label: DIR/val_dataset.txt has 2 lines, "
        "DIR/val_labels.txt 1; 1 text too many",
    ),
    "texts broken over two lines": (
        {"train_dataset.txt": lines(TEXTS).replace(b"a ", b"a\n")},
        "DIR/train_dataset.txt:7: a text without a label: DIR/train_dataset.txt has 10 lines, "
        "DIR/train_labels.txt 6; 4 texts too many",
    ),
    # bytes that are not UTF-8 text
    "Latin-1 text": (
        {"train_dataset.txt": lines(changed(TEXTS, 2, "naïve")).decode().encode("latin-1")},
        "DIR/train_dataset.txt:3: not valid UTF-8 at byte 3 (0xef); save it as UTF-8",
    ),
    "GBK text": (
        {"val_dataset.txt": "好电影\n烂片\n".encode("gbk")},
        "DIR/val_dataset.txt:1: not valid UTF-8 at byte 1 (0xba); save it as UTF-8",
    ),
    "Windows-1252 labels": (
        {"train_labels.txt": lines(LABELS).replace(b"bad", b"b\x96d")},
        "DIR/train_labels.txt:2: not valid UTF-8 at byte 2 (0x96); save it as UTF-8",
    ),
    "a character cut off at the end of the file": (
        {"train_dataset.txt": lines(TEXTS)[:-1] + "好".encode()[:2]},
        "DIR/train_dataset.txt:6: not valid UTF-8 at byte 11 (0xe5); save it as UTF-8",
    ),
    "an encoded surrogate": (
        {"train_dataset.txt": lines(TEXTS).replace(b"music", b"\xed\xa0\x80")},
        "DIR/train_dataset.txt:3: not valid UTF-8 at byte 6 (0xed); save it as UTF-8",
    ),
    "an overlong encoding": (
        {"val_labels.txt": b"good\nb\xc1\xa1d\n"},
        "DIR/val_labels.txt:2: not valid UTF-8 at byte 2 (0xc1); save it as UTF-8",
    ),
    "UTF-16 texts": (
        {"train_dataset.txt": lines(TEXTS).decode().encode("utf-16")},
        f"DIR/train_dataset.txt:1: {UTF16}",
    ),
    "UTF-16 texts of another byte order": (
        {"train_dataset.txt": b"\xfe\xff" + lines(TEXTS).decode().encode("utf-16-be")},
        f"DIR/train_dataset.txt:1: {UTF16}",
    ),
    "UTF-16 labels without a mark": (
        {"train_labels.txt": lines(LABELS).decode().encode("utf-16-le")},
        f"DIR/train_labels.txt:1: {UTF16}",
    ),
    "UTF-16 labels of another byte order without a mark": (
        {"val_labels.txt": b"good\nbad\n".decode().encode("utf-16-be")},
        f"DIR/val_labels.txt:1: {UTF16}",
    ),
    "UTF-16 in Chinese without a mark": (
        {"train_dataset.txt": ("好电影\n" * 6).encode("utf-16-le")},
        f"DIR/train_dataset.txt:2: {NUL}",
    ),
    "UTF-32 texts": (
        {"train_dataset.txt": lines(TEXTS).decode().encode("utf-32")},
        "DIR/train_dataset.txt:1: UTF-32 text; save it as UTF-8",
    ),
    "a NUL in a text": (
        {"train_dataset.txt": lines(changed(TEXTS, 3, "dull\0music"))},
        f"DIR/train_dataset.txt:4: {NUL}",
    ),
    "a NUL in a label": (
        {"train_labels.txt": lines(changed(LABELS, 5, "bad\0"))},
        f"DIR/train_labels.txt:6: {NUL}",
    ),
    "gzip data": (
        {"train_dataset.txt": gzip.compress(lines(TEXTS), mtime=0)},
        "DIR/train_dataset.txt:1: gzip data; unpack it first",
    ),
    "a zip archive": (
        {"train_dataset.txt": zipped("train_dataset.txt", lines(TEXTS))},
        "DIR/train_dataset.txt:1: a zip archive or an office document; save it as UTF-8 text",
    ),
    "texts whose lines end with CR alone": (
        {"train_dataset.txt": lines(TEXTS).replace(b"\n", b"\r")},
        f"DIR/train_dataset.txt:1: {CR}",
    ),
    "labels whose lines end with CR alone": (
        {"val_labels.txt": b"good\rbad\r"},
        f"DIR/val_labels.txt:1: {CR}",
    ),
    "labels with mixed line ends": (
        {"train_labels.txt": b"good\nbad\ngood\rbad\ngood\nbad\n"},
        "DIR/train_labels.txt:3: label 'good\\rbad' holds a CR; end every line with LF or CR LF",
    ),
    # labels
    "a label that validation alone has": (
        {"val_labels.txt": lines(["good", "mediocre"])},
        f"DIR/val_labels.txt:2: label 'mediocre' {UNSEEN}",
    ),
    "a mistyped validation label": (
        {"val_labels.txt": lines(["godo", "bad"])},
        f"DIR/val_labels.txt:1: label 'godo' {UNSEEN} (did you mean 'good'?)",
    ),
    "a validation label in another case": (
        {"val_labels.txt": lines(["good", "BAD"])},
        f"DIR/val_labels.txt:2: label 'BAD' {UNSEEN} (did you mean 'bad'?)",
    ),
    "a validation label with a space after it": (
        {"val_labels.txt": lines(["good", "bad "])},
        f"DIR/val_labels.txt:2: label 'bad ' {UNSEEN} (did you mean 'bad'?)",
    ),
    "a validation label with an invisible character": (
        {"val_labels.txt": lines(["good\u200b", "bad"])},
        f"DIR/val_labels.txt:1: label 'good\\u200b' {UNSEEN} (did you mean 'good'?)",
    ),
    "full-width digits": (
        {"train_labels.txt": lines(["0", "1"] * 3), "val_labels.txt": lines(["0", "\uff11"])},
        f"DIR/val_labels.txt:2: label '\uff11' {UNSEEN} (did you mean '1'?)",
    ),
    "numbers written otherwise": (
        {"train_labels.txt": lines(["0", "1"] * 3), "val_labels.txt": lines(["0", "1.0"])},
        f"DIR/val_labels.txt:2: label '1.0' {UNSEEN}",
    ),
    "a long unknown label": (
        {"val_labels.txt": lines(["good", "x" * 300])},
        f"DIR/val_labels.txt:2: label '{'x' * 37}...' {UNSEEN}",
    ),
    "a mark inside the second line": (
        {"val_labels.txt": b"good\n" + BOM + b"bad\n"},
        f"DIR/val_labels.txt:2: label '\\ufeffbad' {UNSEEN} (did you mean 'bad'?)",
    ),
    "one class": (
        {"train_labels.txt": lines(["good"] * 6)},
        "DIR/train_labels.txt: every line has the label 'good'; two different ones are needed",
    ),
    "one line": (
        {"train_dataset.txt": b"x\n", "train_labels.txt": b"good\n"},
        "DIR/train_labels.txt: every line has the label 'good'; two different ones are needed",
    ),
    "a label with a tab": (
        {"train_labels.txt": lines(changed(LABELS, 1, "bad\t0.9"))},
        "DIR/train_labels.txt:2: label 'bad\\t0.9' holds a tab, "
        "which separates label and probability in predictions",
    ),
    "an empty label": (
        {"train_labels.txt": lines(changed(LABELS, 4, ""))},
        "DIR/train_labels.txt:5: empty label; write one, or remove the line from both files",
    ),
    "a label of spaces": (
        {"val_labels.txt": lines(["good", " \u3000"])},
        "DIR/val_labels.txt:2: empty label; write one, or remove the line from both files",
    ),
    "swapped training files": (
        {"train_dataset.txt": lines(LABELS), "train_labels.txt": lines(TEXTS)},
        f"DIR/train_labels.txt:1: the labels look like texts and DIR/train_dataset.txt {ALIKE}",
    ),
    "swapped validation files": (
        {"val_dataset.txt": GOOD["val_labels.txt"], "val_labels.txt": GOOD["val_dataset.txt"]},
        f"DIR/val_labels.txt:1: the labels look like texts and DIR/val_dataset.txt {ALIKE}",
    ),
    "swapped files with long texts": (
        {"train_dataset.txt": lines(LABELS), "train_labels.txt": lines(["word " * 500] * 6)},
        "DIR/train_labels.txt:1: a label of 2,500 characters; are texts and labels swapped?",
    ),
    "a label for every text": (
        {
            "train_dataset.txt": lines([f"text {i}" for i in range(30)]),
            "train_labels.txt": lines([f"{i}" for i in range(30)]),
        },
        "DIR/train_labels.txt:1: the labels look like numbers that measure or count: "
        "30 different ones in 30 lines, such as '1'; put them into a few classes",
    ),
    "a hundred thousand classes": (
        {
            "train_dataset.txt": lines([f"text {i}" for i in range(200_000)]),
            "train_labels.txt": lines([f"{i % 100_000}" for i in range(200_000)]),
        },
        "DIR/train_labels.txt:1: too many labels: 100,000 different ones in 200,000 lines; "
        "at most 65,536 can be learned",
    ),
    "nothing to set aside": (
        {**NO_VAL, "train_dataset.txt": b"x\ny\n", "train_labels.txt": b"good\nbad\n"},
        "DIR/train_dataset.txt: no label has two different texts, so none can be set aside for validation; "
        "add texts, or write DIR/val_dataset.txt and DIR/val_labels.txt",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_file_is_refused_with_path_line_and_reason(command: Command, name: str) -> None:
    changes, expected = UNUSABLE[name]
    place(command.directory, changes)
    assert command.refused("check-data DIR", 65) == [expected]


def in_place_of(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def arrange(directory: Path) -> None:
        place(directory, {name: None})
        make(directory / name)

    return arrange


ODD_PATHS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no such directory": (
        lambda directory: None,
        "DIR/data",
        "DIR/data/train_dataset.txt: no such file; there is no directory DIR/data",
    ),
    "a file for the directory": (
        place,
        "DIR/train_dataset.txt",
        "DIR/train_dataset.txt: is a file; give the folder that holds it, 'DIR'",
    ),
    "a directory for a file": (
        in_place_of("train_labels.txt", Path.mkdir),
        "DIR",
        "DIR/train_labels.txt: is a directory; expected a text file",
    ),
    "a pipe for a file": (
        in_place_of("train_dataset.txt", os.mkfifo),
        "DIR",
        "DIR/train_dataset.txt: is read several times, which no pipe or device allows; "
        "write it to a regular file",
    ),
    "a dangling link for a validation file": (
        in_place_of("val_dataset.txt", lambda path: path.symlink_to("gone.txt")),
        "DIR",
        "DIR/val_dataset.txt: no such file; it is a link to 'gone.txt', which is not there",
    ),
    "links in a circle": (
        in_place_of("val_labels.txt", lambda path: path.symlink_to(path)),
        "DIR",
        "DIR/val_labels.txt: cannot read: Too many levels of symbolic links",
    ),
    "a name that is too long": (
        lambda directory: None,
        "n" * 300,
        f"{'n' * 300}/train_dataset.txt: cannot read: File name too long",
    ),
}


@pytest.mark.parametrize("line", ["train", "check-data", "evaluate DIR/run", "probe DIR/run"])
def test_a_file_for_the_folder_is_told_by_every_command(command: Command, line: str) -> None:
    write_run(command.directory / "run")
    (command.directory / "reviews.csv").write_bytes(b"text,label\n")
    assert command.refused(f"{line} DIR/reviews.csv", 65) == [
        "DIR/reviews.csv: is a file; give a folder: write its texts, one a line, into train_dataset.txt, "
        "and the label of each into train_labels.txt"
    ]


@pytest.mark.parametrize("name", ODD_PATHS)
def test_an_odd_path_is_refused(command: Command, name: str) -> None:
    arrange, argument, expected = ODD_PATHS[name]
    arrange(command.directory)
    assert command.refused(f"check-data {argument}", 65) == [expected]


# --- Files that are doubtful, or only look so: exit 0 -------------------------------------------------

DOUBTFUL: dict[str, tuple[dict[str, bytes | None], list[str]]] = {
    "a byte order mark": ({name: BOM + content for name, content in GOOD.items()}, []),
    "CR LF line ends": ({name: content.replace(b"\n", b"\r\n") for name, content in GOOD.items()}, []),
    "CR LF in the labels alone": ({"train_labels.txt": lines(LABELS).replace(b"\n", b"\r\n")}, []),
    "mixed line ends": ({"train_dataset.txt": lines(TEXTS).replace(b"film\n", b"film\r\n")}, []),
    "no line feed at the end": ({name: content[:-1] for name, content in GOOD.items()}, []),
    "line separators of Unicode": (
        {"train_dataset.txt": lines([text.replace(" ", "\u2028\u2029\x85\x0b\x0c\x1e") for text in TEXTS])},
        [],
    ),
    "a CR inside a text": ({"train_dataset.txt": lines(changed(TEXTS, 0, "a\rfine\rfilm"))}, []),
    "tabs in texts": ({"train_dataset.txt": lines([text.replace(" ", "\t") for text in TEXTS])}, []),
    "a line of ten megabytes": ({"train_dataset.txt": lines(changed(TEXTS, 1, "dull " * 2_000_000))}, []),
    "labels of several words in several scripts": (
        {
            "train_labels.txt": lines(["sehr gut", "很 糟糕"] * 3),
            "val_labels.txt": lines(["sehr gut", "很 糟糕"]),
        },
        [],
    ),
    "empty texts": (
        {"train_dataset.txt": lines(["", "a", " ", "b", "c", "\u2028"]), "val_dataset.txt": b"\nx\n"},
        [
            "DIR/train_dataset.txt: 3 empty texts (lines 1, 3, 6)",
            "DIR/val_dataset.txt: 1 empty text (line 1)",
            "DIR/val_dataset.txt: 1 text also in DIR/train_dataset.txt (line 1); "
            "the validation scores are too high because of these texts",
        ],
    ),
    "texts in training and validation": (
        {"val_dataset.txt": lines(["dull music", "a fine end"]), "val_labels.txt": b"bad\ngood\n"},
        [
            "DIR/val_dataset.txt: 2 texts also in DIR/train_dataset.txt (lines 1, 2); "
            "the validation scores are too high because of these texts"
        ],
    ),
    "one text under two labels": (
        {"train_dataset.txt": lines(changed(changed(TEXTS, 1, TEXTS[0]), 4, TEXTS[3]))},
        ["DIR/train_dataset.txt: 2 texts under more than one label (lines 1 and 2, 4 and 5)"],
    ),
    "one validation text under two labels": (
        {"val_dataset.txt": b"x\nx\n"},
        ["DIR/val_dataset.txt: 1 text under more than one label (lines 1 and 2)"],
    ),
    "rare labels": (
        {"train_labels.txt": lines(changed(changed(LABELS, 3, "odd"), 5, "rare")), "val_labels.txt": None}
        | NO_VAL,
        [
            "DIR/train_labels.txt: 3 labels with fewer than 3 examples: 'bad', 'odd', 'rare' (lines 2, 4, 6)",
        ],
    ),
    "labels that differ in case alone": (
        {"train_labels.txt": lines(["good", "bad", "good", "Bad", "good", "BAD"])},
        [
            "DIR/train_labels.txt: 2 labels like another but for case, spaces or width, "
            "counted as different: 'bad' and 'Bad', 'bad' and 'BAD' (lines 4, 6)",
            "DIR/train_labels.txt: 3 labels with fewer than 3 examples: 'bad', 'Bad', 'BAD' (lines 2, 4, 6)",
        ],
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_file_is_warned_about_with_counts_and_lines(command: Command, name: str) -> None:
    changes, expected = DOUBTFUL[name]
    place(command.directory, changes)
    started = time.process_time()
    code, out, err = command("check-data DIR")
    assert time.process_time() - started < 1
    assert (code, err) == (0, "")
    told = [line.removeprefix("warning: ") for line in out.split("\n") if line.startswith("warning: ")]
    assert told == expected
    s = "" if len(expected) == 1 else "s"
    assert out.endswith(f"no errors, {len(expected)} warning{s}\n")


def test_line_ends_and_marks_change_nothing_that_is_learned(command: Command) -> None:
    place(command.directory)
    _, expected, _ = command("check-data DIR")
    for name in ("a byte order mark", "CR LF line ends", "no line feed at the end"):
        place(command.directory, DOUBTFUL[name][0])
        assert command("check-data DIR").out == expected


def test_a_division_is_said_aloud(command: Command) -> None:
    place(command.directory, NO_VAL)
    assert "no validation files: 2 lines would be set aside from these\n" in command("check-data DIR").out


def test_truncated_texts_are_told_with_how_many_and_how_much(command: Command) -> None:
    from custom_bert.config_sources import load as load_config

    write_set(
        command.directory,
        ["a b c d e f g h", "a b c d e f", "a b", "b a", "a " * 100_000, "b"],
        LABELS,
        ["b b b b b b b b b", "a"],
        ["good", "bad"],
    )
    (command.directory / "vocab.txt").write_bytes(lines([*SPECIALS, *"abcdefgh"]))
    given = {
        **{name: str(command.directory / file) for name, file in zip(FIELDS, NAMES, strict=True)},
        "tokenizer": str(command.directory / "vocab.txt"),
        "max_length": 8,
        "device": "cpu",
    }
    said: list[str] = []
    found = ready(load_config(given), said.append).warnings
    # texts 1 and 5 of the training file and 1 of the validation file; 252 of 287, and 3 of 14 tokens
    assert [warning.replace(str(command.directory), "DIR") for warning in found[-2:]] == [
        "DIR/train_dataset.txt: 2 texts of 6 cut to 8 tokens, 87.8% of all tokens lost",
        "DIR/val_dataset.txt: 1 text of 2 cut to 8 tokens, 21.4% of all tokens lost",
    ]


FIELDS = ("train_texts", "train_labels", "val_texts", "val_labels")


# --- Settings: exit 64 --------------------------------------------------------------------------------

SETTINGS: dict[str, tuple[dict[str, Any] | str, list[str]]] = {
    "an unknown name": (
        {"learnign_rate": 1},
        ["unknown setting 'learnign_rate' (did you mean 'learning_rate'?)"],
    ),
    "an unknown name in a group": (
        {"optim": {"lrr": 1}},
        ["unknown setting 'optim.lrr' (did you mean 'optim.lr'?)"],
    ),
    "a name like no other": ({"qqqq": 1}, ["unknown setting 'qqqq'"]),
    "a name with a line feed": ({"q\nq": 1}, ["unknown setting 'q\\nq'"]),
    "text for a number": ({"lr": "fast"}, ["lr: expected a finite number, got 'fast'"]),
    "a number for text": ({"train_texts": 3}, ["train_texts: expected text, got 3"]),
    "a fraction for a whole number": ({"seed": 1.5}, ["seed: expected a whole number, got 1.5"]),
    "a switch for a number": ({"lr": True}, ["lr: expected a number, got True"]),
    "a number for a switch": ({"compile": 1}, ["compile: expected True or False, got 1"]),
    "infinity": ('{"lr": 1e999}', ["lr: expected a finite number, got inf"]),
    "not a number": ('{"lr": NaN}', ["not valid JSON: NaN is no number"]),
    "a name twice": (
        '{"optim": {"lr": 1e-3}, "optim": {"epochs": 3}}',
        ["not valid JSON: the key 'optim' stands there twice"],
    ),
    "an unknown preset": (
        {"preset": "modren"},
        ["preset: expected one of legacy, custom, modern (did you mean 'modern'?), got 'modren'"],
    ),
    "a list for a choice": (
        {"preset": ["legacy"]},
        ["preset: expected one of legacy, custom, modern, got ['legacy']"],
    ),
    "several faults": (
        {"wramup": 1, "hidden_act": "gellu", "lr": -1, "epochs": 0},
        [
            "unknown setting 'wramup' (did you mean 'warmup'?)",
            "hidden_act: expected one of gelu, gelu_tanh, relu (did you mean 'gelu'?), got 'gellu'",
            "optim.lr must be above 0 and at most 10, got -1.0",
            "optim.epochs must be at least 1, got 0",
        ],
    ),
    "a setting twice": (
        {"optim": {"epochs": 2}, "epochs": 3},
        ["'optim.epochs' is set twice (the second time as 'epochs')"],
    ),
    "a share of all": ({"val_fraction": 1}, ["data.val_fraction must be between 0 and 0.9, got 1.0"]),
    "a share of nothing": ({"val_fraction": 0}, ["data.val_fraction must be between 0 and 0.9, got 0.0"]),
    "a negative seed": ({"seed": -1}, ["seed must be between 0 and 2**63 - 1, got -1"]),
    "a tiny vocabulary": ({"vocab_size": 50}, ["model.vocab_size must be between 100 and 4,194,304, got 50"]),
    "no time": ({"max_minutes": 0}, ["optim.max_minutes must be above 0, got 0.0"]),
    "a short max_length": ({"max_length": 2}, ["data.max_length must be at least 3, got 2"]),
    "fp16 on a CPU": (
        {"precision": "fp16", "device": "cpu"},
        ["runtime.precision: fp16 is 10 x slower than fp32 on a CPU; use bf16 or fp32"],
    ),
    "dropout with a kernel that has none": (
        {"attention_dropout": 0.1, "attention": "grouped"},
        [
            "model.attention_dropout: the grouped kernel has no dropout; "
            "set it to 0 or runtime.attention to naive, matmul or dense"
        ],
    ),
    "dropout with packed batches": (
        {"attention_dropout": 0.1, "plan": "packed"},
        [
            "model.attention_dropout: packed batches have no kernel with dropout; "
            "set it to 0 or batch.plan to uniform_length"
        ],
    ),
    "the varlen kernel on a CPU": (
        {"attention": "varlen", "device": "cpu"},
        ["runtime.attention: varlen needs a CUDA device; use grouped on a CPU"],
    ),
    "heads that do not divide the width": (
        {"hidden_size": 100, "num_attention_heads": 3},
        ["model.hidden_size 100 is not divisible by model.num_attention_heads 3"],
    ),
    "a size by name and by number": (
        {"size": "mini", "hidden_size": 64},
        ["model.size and model.hidden_size / num_hidden_layers exclude each other"],
    ),
    "no object": ("[1]", ["expected an object of settings"]),
    "no JSON": ("", ["not valid JSON: Expecting value: line 1 column 1 (char 0)"]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_faulty_settings_are_refused_all_at_once(command: Command, name: str) -> None:
    given, expected = SETTINGS[name]
    content = given if isinstance(given, str) else json.dumps(given)
    (command.directory / "c.json").write_text(content, encoding="utf-8")
    found = command.refused("train DIR --config DIR/c.json", 64)
    assert found == [f"DIR/c.json: {fault}" for fault in expected]


PYTHON_SETTINGS: dict[str, tuple[str, str]] = {
    "a syntax error": ("x = 1\ndef get_config(:\n", "DIR/c.py:2: SyntaxError: invalid syntax (c.py, line 2)"),
    "a missing module": (
        "\nimport nonexistent_thing\n",
        "DIR/c.py:2: ModuleNotFoundError: No module named 'nonexistent_thing'",
    ),
    "no get_config": ("x = 1\n", "DIR/c.py: no function get_config() that returns the settings"),
    "get_config that is no function": (
        "get_config = 3\n",
        "DIR/c.py: no function get_config() that returns the settings",
    ),
    "a list": ("def get_config():\n    return [1]\n", "DIR/c.py: get_config() returned list, not a dict"),
    "nothing returned": (
        "def get_config():\n    {'lr': 1}\n",
        "DIR/c.py: get_config() returned NoneType, not a dict",
    ),
    "an unknown name": (
        "def get_config():\n    return {'model': {'hiden_size': 1}}\n",
        "DIR/c.py: unknown setting 'model.hiden_size' (did you mean 'model.hidden_size'?)",
    ),
}


@pytest.mark.parametrize("name", PYTHON_SETTINGS)
def test_a_faulty_config_file_is_refused_with_its_line(command: Command, name: str) -> None:
    source, expected = PYTHON_SETTINGS[name]
    (command.directory / "c.py").write_text(source, encoding="utf-8")
    assert command.refused("train DIR --config DIR/c.py", 64) == [expected]


COMMAND_LINES: dict[str, tuple[str, int, str]] = {
    "no such command": (
        "trian DIR",
        64,
        "unknown command 'trian' (did you mean 'train'?); see custom-bert --help",
    ),
    "an unknown option": (
        "train DIR --optim.schedul linear",
        64,
        "unknown option --optim.schedul (did you mean --optim.schedule?); see custom-bert train --help",
    ),
    "an option without its group": (
        "train DIR --lr 1",
        64,
        "unknown option --lr (did you mean --optim.lr?); see custom-bert train --help",
    ),
    "an option without its group, of which there are two": (
        "train DIR --warmup 0.1",
        64,
        "unknown option --warmup (did you mean --batch.warmup or --optim.warmup?); "
        "see custom-bert train --help",
    ),
    "an option by its older name": (
        "train DIR --emb-dim 64",
        64,
        "unknown option --emb-dim (did you mean --model.hidden-size?); see custom-bert train --help",
    ),
    "an option's choice that is none": (
        "train DIR --model.size=huge",
        64,
        "--model.size: expected one of tiny, mini, small, medium, base, got 'huge'",
    ),
    "an option's fraction for a whole number": (
        "train DIR --optim.epochs 1.5",
        64,
        "--optim.epochs: expected a whole number, got '1.5'",
    ),
    "an option's switch that is none": (
        "train DIR --data.lowercase no",
        64,
        "--data.lowercase: expected True or False, got 'no'",
    ),
    "an option without a value": ("train DIR --seed", 64, "--seed needs a value: a whole number"),
    "two config files": (
        "train DIR --config DIR/a.py --config=DIR/b.py",
        64,
        "--config is given 2 times; give one",
    ),
    "a folder and a file": (
        "train DIR --data.train-texts DIR/other.txt",
        64,
        "--data.train-texts DIR/other.txt and DATA (DIR) contradict each other; give one",
    ),
    "two limits of time": (
        "train DIR --max-minutes 1 --optim.max-minutes 2",
        64,
        "--optim.max-minutes 2.0 and --max-minutes contradict each other; give one",
    ),
    "validation files that are not there": (
        "train --data.train-texts DIR/train_dataset.txt --data.train-labels DIR/train_labels.txt "
        "--data.val-texts DIR/vall.txt --data.val-labels DIR/vall_labels.txt",
        65,
        "DIR/vall.txt: no such file; leave the validation files out to have lines set aside",
    ),
    "an output below a file": (
        "train DIR --out DIR/val_labels.txt/run",
        74,
        "DIR/val_labels.txt/run: cannot write: DIR/val_labels.txt is not a directory",
    ),
    "no such config file": ("train DIR --config DIR/none.py", 64, "DIR/none.py: no such config file"),
    "a config file of another kind": (
        "train DIR --config=DIR/val_labels.txt",
        64,
        "DIR/val_labels.txt: expected a .py file with get_config(), or a .json file",
    ),
    "mps": (
        "train DIR --runtime.device mps",
        64,
        "runtime.device: mps is not supported; Apple machines train on the cpu device",
    ),
    "no CUDA device": (
        "train DIR --runtime.device cuda",
        64,
        "runtime.device: this machine or this torch build has no CUDA device",
    ),
    "no data": ("train DIR/x", 65, "DIR/x/train_dataset.txt: no such file; there is no directory DIR/x"),
    "no tokenizer": (
        "train DIR --data.tokenizer DIR/vocab.txt",
        65,
        "DIR/vocab.txt: no such tokenizer file; expected a vocab.txt or tokenizer.json",
    ),
    "a tokenizer that is none": (
        "train DIR --data.tokenizer DIR/train_labels.txt",
        65,
        "DIR/train_labels.txt: the vocabulary has no [CLS] or <s> token",
    ),
    "init over a config.py": (
        "init DIR/project",
        74,
        "DIR/project/config.py: exists already and is not overwritten",
    ),
    "init in place of a file": (
        "init DIR/val_labels.txt",
        74,
        "DIR/val_labels.txt: cannot write: Not a directory (ENOTDIR)",
    ),
    "sample data over data": (
        "sample-data DIR",
        74,
        "DIR/train_dataset.txt: exists already and is not overwritten; choose another directory",
    ),
}


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_a_faulty_command_line_is_refused(
    command: Command, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    import custom_bert.data.sample

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(custom_bert.data.sample, "make_examples", lambda: [])
    place(command.directory)
    (command.directory / "project").mkdir()
    (command.directory / "project" / "config.py").write_bytes(b"mine")
    line, code, expected = COMMAND_LINES[name]
    assert command.refused(line, code) == [expected]
    assert (command.directory / "project" / "config.py").read_bytes() == b"mine"
    assert {file: (command.directory / file).read_bytes() for file in NAMES} == GOOD


def test_an_older_name_is_told_before_a_fault(command: Command) -> None:
    (command.directory / "c.json").write_text('{"num_epochs": 0, "emb_dim": 64}')
    code, out, err = command("train DIR --config DIR/c.json")
    assert (code, faults(err)) == (64, ["DIR/c.json: optim.epochs must be at least 1, got 0"])
    assert out == (
        "DIR/c.json: 'num_epochs' is read as 'optim.epochs'\n"
        "DIR/c.json: 'emb_dim' is read as 'model.hidden_size'\n"
    )


# --- Run directories: exit 66 -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def run(whole_run: Path, command: Command) -> Path:
    """A run that is complete, DIR/run, beside the good data and DIR/texts.txt."""
    place(command.directory)
    (command.directory / "texts.txt").write_bytes(b"a\nb\n")
    return shutil.copytree(whole_run, command.directory / "run")


def test_the_whole_run_is_whole(command: Command, run: Path) -> None:
    code, out, err = command("predict DIR/run DIR/texts.txt")
    assert (code, err) == (0, "") and re.fullmatch(r"((bad|good)\t0\.\d{6}\n){2}", out)
    assert command("evaluate DIR/run DIR").code == 0
    assert command("info DIR/run").code == 0


def edited(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        value = json.loads(content)
        change(value)
        return json.dumps(value).encode()

    return edit


def cut(content: bytes) -> bytes:
    return content[:-10]


NOT_JSON = "not valid JSON: Expecting value: line 1 column 1 (char 0)"

DAMAGED: dict[str, tuple[str, Callable[[bytes], bytes] | bytes | None, int, str]] = {
    "no weights": (
        "model.safetensors",
        None,
        66,
        "DIR/run: no model.safetensors; the run has not been evaluated yet",
    ),
    "empty weights": ("model.safetensors", b"", 66, "DIR/run/model.safetensors: damaged: "),
    "weights cut off": ("model.safetensors", cut, 66, "DIR/run/model.safetensors: damaged: "),
    "no config.json": (
        "config.json",
        None,
        66,
        "DIR/run: not a complete run directory: it holds no config.json",
    ),
    "an empty config.json": ("config.json", b"", 66, f"DIR/run/config.json: {NOT_JSON}"),
    "another config.json": (
        "config.json",
        b"{}",
        66,
        "DIR/run/config.json: not a configuration of the format custom-bert/1 or custom-bert/2",
    ),
    "an unknown key": (
        "config.json",
        edited(lambda value: value["encoder"].update(hiden_size=8)),
        66,
        "DIR/run/config.json: unknown key 'hiden_size' (did you mean 'hidden_size'?)",
    ),
    "a missing key": (
        "config.json",
        edited(lambda value: value["encoder"].pop("norm")),
        66,
        "DIR/run/config.json: the key 'norm' is missing",
    ),
    "a class too many": (
        "config.json",
        edited(lambda value: value.update(num_labels=3)),
        66,
        "DIR/run/labels.json: expected 3 labels, got 2",
    ),
    "a vocabulary too small": (
        "config.json",
        edited(lambda value: value["encoder"].update(vocab_size=5)),
        66,
        "DIR/run/tokenizer.json: 77 entries, but the model has vectors for 5",
    ),
    "no labels.json": (
        "labels.json",
        None,
        66,
        "DIR/run: not a complete run directory: it holds no labels.json",
    ),
    "labels that are no strings": (
        "labels.json",
        b"[1, 2]",
        66,
        "DIR/run/labels.json: expected a list of strings",
    ),
    "a label too few": (
        "labels.json",
        b'["good"]',
        66,
        "DIR/run/labels.json: expected 2 labels, got 1",
    ),
    "no tokenizer.json": (
        "tokenizer.json",
        None,
        66,
        "DIR/run/tokenizer.json: no such tokenizer file",
    ),
    "an empty tokenizer.json": (
        "tokenizer.json",
        b"",
        66,
        "DIR/run/tokenizer.json: not a tokenizer.json: Expecting value: line 1 column 1 (char 0)",
    ),
    "a tokenizer.json cut off": ("tokenizer.json", cut, 66, "DIR/run/tokenizer.json: not a tokenizer.json: "),
    "a label twice": (
        "labels.json",
        b'["good", "good"]',
        66,
        "DIR/run/labels.json: the label 'good' stands there twice",
    ),
    "a width beyond the weights": (
        "config.json",
        lambda content: re.sub(rb'"hidden_size": \d+', b'"hidden_size": 65536', content),
        66,
        "DIR/run/config.json: describes ",
    ),
    "layers beyond the weights": (
        "config.json",
        lambda content: re.sub(rb'"num_hidden_layers": \d+', b'"num_hidden_layers": 1024', content),
        66,
        "DIR/run/config.json: describes ",
    ),
    "a billion layers": (
        "config.json",
        lambda content: re.sub(rb'"num_hidden_layers": \d+', b'"num_hidden_layers": 1000000000', content),
        66,
        "DIR/run/config.json: num_hidden_layers is 1000000000, not between 1 and 1024",
    ),
    "a number of 400 digits": (
        "config.json",
        lambda content: re.sub(rb'"norm_eps": [^,]+', b'"norm_eps": ' + b"9" * 400, content),
        66,
        "DIR/run/config.json: expected a finite number",
    ),
    "a billion positions": (
        "config.json",
        lambda content: re.sub(
            rb'"max_position_embeddings": \d+, "position_offset"',
            b'"max_position_embeddings": 1000000000, "position_offset"',
            re.sub(rb'"position": "\w+"', b'"position": "sinusoidal"', re.sub(rb",\s+", b", ", content)),
        ),
        66,
        "DIR/run/config.json: max_position_embeddings is 1000000000, not between 1 and 1048576",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_incomplete_or_damaged_run_is_refused(command: Command, run: Path, name: str) -> None:
    file, damage, code, expected = DAMAGED[name]
    if damage is None:
        (run / file).unlink()
    else:
        content = damage if isinstance(damage, bytes) else damage((run / file).read_bytes())
        (run / file).write_bytes(content)
    for line in ("predict DIR/run DIR/texts.txt", "evaluate DIR/run DIR"):
        (found,) = command.refused(line, code)
        assert found.startswith(expected) if expected.endswith((": ", " ")) else found == expected


RUN_COMMANDS: dict[str, tuple[dict[str, bytes | None], str, int, str]] = {
    "predict without a run": ({}, "predict DIR/no DIR/texts.txt", 66, "DIR/no: no such run directory"),
    "evaluate without a run": ({}, "evaluate DIR/no DIR", 66, "DIR/no: no such run directory"),
    "evaluate without data": (
        {},
        "evaluate DIR/run DIR/no",
        65,
        "DIR/no: no such folder; expected one with the data files",
    ),
    "info without a run": ({}, "info DIR/no", 66, "DIR/no: no such run directory"),
    "info on a folder of texts": (
        {},
        "info DIR",
        66,
        "DIR: not a complete run directory: it holds no run.json",
    ),
    "predict from a folder of texts": (
        {},
        "predict DIR DIR/texts.txt",
        66,
        "DIR: not a complete run directory: it holds no config.json",
    ),
    "a file for the run": (
        {},
        "predict DIR/texts.txt DIR/texts.txt",
        66,
        "DIR/texts.txt: no such run directory",
    ),
    "info on damage": ({"run/run.json": b"{"}, "info DIR/run", 66, "DIR/run/run.json: not valid JSON: "),
    "predict without texts": ({}, "predict DIR/run DIR/no.txt", 65, "DIR/no.txt: no such file"),
    "predict on an empty file": (
        {"texts.txt": b""},
        "predict DIR/run DIR/texts.txt",
        65,
        f"DIR/texts.txt: {EMPTY}",
    ),
    "predict on a directory": (
        {},
        "predict DIR/run DIR",
        65,
        "DIR: is a directory; expected a text file",
    ),
    "predict on Latin-1": (
        {"texts.txt": b"caf\xe9\n"},
        "predict DIR/run DIR/texts.txt",
        65,
        "DIR/texts.txt:1: not valid UTF-8 at byte 4 (0xe9); save it as UTF-8",
    ),
    "evaluate on unknown labels": (
        {"val_labels.txt": b"good\ngodo\n"},
        "evaluate DIR/run DIR",
        65,
        "DIR/val_labels.txt:2: label 'godo' is not one of the model's (did you mean 'good'?)",
    ),
    "evaluate on a text in place of a label": (
        {"val_labels.txt": b"good\n" + b"text " * 200_000 + b"\n"},
        "evaluate DIR/run DIR",
        65,
        f"DIR/val_labels.txt:2: label '{'text ' * 7}te...' is not one of the model's",
    ),
    "evaluate on a header": (
        {"val_labels.txt": b"label\ngood\n"},
        "evaluate DIR/run DIR",
        65,
        "DIR/val_labels.txt:1: label 'label' is not one of the model's; it looks like a header: "
        "if so, remove the first line of both files",
    ),
    "evaluate on half of the validation data": (
        {"val_labels.txt": None},
        "evaluate DIR/run DIR",
        65,
        "DIR/val_labels.txt: no such file",
    ),
    "evaluate on rows that cannot be told": (
        NO_VAL,
        "evaluate DIR/run DIR",
        66,
        "DIR/run/run.json: does not say which rows were held out",
    ),
}


@pytest.mark.parametrize("name", RUN_COMMANDS)
def test_a_run_or_input_that_does_not_fit_is_refused(command: Command, run: Path, name: str) -> None:
    changes, line, code, expected = RUN_COMMANDS[name]
    for file, content in changes.items():
        if content is None:
            (command.directory / file).unlink()
        else:
            (command.directory / file).write_bytes(content)
    (found,) = command.refused(line, code)
    assert found.startswith(expected) if expected.endswith((": ", " ")) else found == expected


# --- Random bytes -------------------------------------------------------------------------------------

PIECES = [
    b"good", b"bad", b"a film", b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\0", b"\t", b" ", b"",
    b"\xff", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", BOM, "\u2028".encode(), "\x85".encode(), "好".encode(),
    "好".encode()[:2], b"\xed\xa0\x80", b"PK\x03\x04", b"\x1b[31m", b"g\0o\0o\0d\0\n\0",
    "\U0001f642".encode(),
]  # fmt: skip


def test_random_bytes_never_give_a_traceback(command: Command) -> None:
    draw = random.Random(20240501)
    codes: dict[int, int] = {}
    started = time.process_time()
    for trial in range(300):
        for name, good in GOOD.items():
            kind = draw.random()
            if kind < 0.7:
                content = good
            elif kind < 0.75:
                content = draw.randbytes(draw.randint(0, 300))
            elif kind < 0.85:
                content = b"".join(draw.choices(PIECES, k=draw.randint(0, 30)))
            else:
                at = draw.randint(0, len(good))
                content = good[:at] + draw.choice(PIECES) + good[at + draw.randint(0, 3) :]
            (command.directory / name).write_bytes(content)
            if name.startswith("val") and draw.random() < 0.1:
                (command.directory / name).unlink()
        code, out, err = command("check-data DIR")
        codes[code] = codes.get(code, 0) + 1
        assert code in (0, 65), trial
        if code == 65:
            assert out == "" and len(faults(err)) == 1, (trial, err)
        else:
            assert err == "" and "no errors" in out, trial
        assert "\x1b" not in out + err, trial
    assert time.process_time() - started < 10
    assert codes[0] > 30 and codes[65] > 100, codes


# --- Each of these was a traceback, or another exit code, when it was found ---------------------------

ONE_LINE: dict[str, tuple[dict[str, bytes | None], str, int]] = {
    "evaluate: a text too many": ({"val_dataset.txt": b"a\nb\nc\n"}, "evaluate DIR/run DIR", 65),
    "evaluate: a label too many": ({"val_labels.txt": b"bad\ngood\nbad\n"}, "evaluate DIR/run DIR", 65),
    "train: a record without settings": (
        {"run/run.json": b'{"status": "finished", "identity": {"settings": 3}}'},
        "train DIR --out DIR/run",
        66,
    ),
    "train: a record that is none": ({"run/run.json": b'{"identity": 5}'}, "train DIR --out DIR/run", 66),
    "evaluate: a record of another shape": (
        {**NO_VAL, "run/run.json": b'{"config": {"seed": -3, "data.val_fraction": "x"}, "identity": {}}'},
        "evaluate DIR/run DIR",
        66,
    ),
    "info: run.json is no object": ({"run/run.json": b"[]"}, "info DIR/run", 66),
    "info: run.json is of another shape": ({"run/run.json": b'{"data": 3}'}, "info DIR/run", 66),
    "config.json: a number beyond floats": (
        {"c.json": b'{"lr": 1' + b"0" * 400 + b"}"},
        "train DIR --config DIR/c.json",
        64,
    ),
    "config.py: get_config fails": (
        {"c.py": b"def get_config():\n    return 1 / 0\n"},
        "train DIR --config DIR/c.py",
        64,
    ),
    "usage: an unknown option": ({}, "train DIR --bogus 1", 64),
    "usage: text for a number": ({}, "train DIR --optim.lr fast", 64),
    "usage: nothing given": ({}, "check-data", 64),
}


@pytest.mark.parametrize("name", ONE_LINE)
def test_what_was_once_a_traceback_is_one_line(command: Command, run: Path, name: str) -> None:
    changes, line, code = ONE_LINE[name]
    for file, content in changes.items():
        if content is None:
            (command.directory / file).unlink()
        else:
            (command.directory / file).write_bytes(content)
    found, _, err = command(line)
    assert (found, len(faults(err))) == (code, 1)


def test_what_the_system_forbids_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.inference import evaluate

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "DIR/locked")

    monkeypatch.setattr(evaluate, "evaluate_run", forbidden)
    assert command.refused("evaluate DIR/run DIR", 74) == ["DIR/locked: Permission denied"]
