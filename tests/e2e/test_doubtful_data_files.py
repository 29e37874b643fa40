"""Data files that are doubtful, or only look so: warnings. And files of random bytes: never a traceback.

DIR is the directory of the files.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from command_line import BOM, GOOD, LABELS, NO_VAL, TEXTS, Command, changed, faults, place
from data_files import NAMES, SPECIALS, lines, write_set

from custom_bert.cli import main

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
            "DIR/train_labels.txt: 2 labels like another except for case, spaces or width, "
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
    from training_runs import ready

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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--label-order", "a,b"], "data.label_order a,b has no effect: task is classification"),
        (["--label-separator", "|"], "data.label_separator | has no effect: task is classification"),
        (["--task", "multi_label", "--label-order", "a,b"], "data.label_order a,b has no effect: task is"),
    ],
)
def test_check_data_says_which_of_its_options_the_task_does_not_read(
    options: list[str], expected: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-data", str(data), *options]) == 0
    assert f"warning: {expected}" in capsys.readouterr().out
