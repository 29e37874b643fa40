"""Data files that cannot be used: one line that says what, where and what to do. No traceback.

Every message stands here as a user sees it; DIR is the directory of the files.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import BOM, EMPTY, GOOD, LABELS, NO_VAL, TEXTS, Command, Result, changed, place
from data_files import NAMES, lines, write_run


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


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


UTF16 = "UTF-16 text; save it as UTF-8"
NUL = "NUL byte; not plain text (if it is UTF-16, save it as UTF-8)"
CR = "lines end with CR alone; convert them to LF"
ALIKE = "like labels; are the two files swapped?"
UNSEEN = "never occurs in DIR/train_labels.txt"

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
        "DIR/train_labels.txt:2: label 'bad\\t0.9' holds a tab; to learn several labels a line, separated by "
        "tabs, take --task multi_label",
    ),
    "shares of labels": (
        {"train_labels.txt": lines(changed(LABELS, 1, "bad:0.9\tgood:0.1"))},
        "DIR/train_labels.txt:2: label 'bad:0.9\\tgood:0.1' looks like shares of labels; take --task "
        "soft_labels",
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
        "30 different ones in 30 lines, such as '1'; put them into a few classes, or take --task regression",
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


@pytest.mark.parametrize("line", ["train", "check-data", "evaluate DIR/run"])
def test_a_file_that_is_no_table_is_told_by_every_command(command: Command, line: str) -> None:
    write_run(command.directory / "run")
    (command.directory / "reviews.xlsx").write_bytes(b"text,label\n")
    assert command.refused(f"{line} DIR/reviews.xlsx", 65) == [
        "DIR/reviews.xlsx: is a file; give a folder, or a table that ends with .csv, .tsv, .jsonl, .ndjson, "
        ".parquet"
    ]


def test_a_probe_takes_a_folder(command: Command) -> None:
    write_run(command.directory / "run")
    (command.directory / "reviews.csv").write_bytes(b"text,label\n")
    assert command.refused("probe DIR/run DIR/reviews.csv", 65) == [
        "DIR/reviews.csv: is a file; give a folder: write its texts, one a line, into train_dataset.txt, "
        "and the label of each into train_labels.txt"
    ]


@pytest.mark.parametrize("name", ODD_PATHS)
def test_an_odd_path_is_refused(command: Command, name: str) -> None:
    arrange, argument, expected = ODD_PATHS[name]
    arrange(command.directory)
    assert command.refused(f"check-data {argument}", 65) == [expected]
