"""Command lines run in process, and the four good data files that tests of bad inputs change."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from data_files import lines

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

EMPTY = "the file is empty; expected one example a line"
BOM = b"\xef\xbb\xbf"


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


def place(directory: Path, changes: dict[str, bytes | None] | None = None) -> None:
    """The good files with some replaced or, for None, left out."""
    for name, content in {**GOOD, **(changes or {})}.items():
        if content is not None:
            (directory / name).write_bytes(content)


def changed(items: list[str], at: int, item: str) -> list[str]:
    return [item if i == at else old for i, old in enumerate(items)]
