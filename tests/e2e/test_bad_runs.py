"""Run directories that are damaged or do not fit: one line that says what, where and what to do.

Every message stands here as a user sees it; DIR is the directory of the files.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import EMPTY, NO_VAL, Command, faults, place
from data_files import write_run


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
        "DIR/run/config.json: not a configuration of the format "
        "custom-bert/1 or custom-bert/2 or custom-bert/3",
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
    from custom_bert.inference import evaluate_run as evaluate

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "DIR/locked")

    monkeypatch.setattr(evaluate, "evaluate_run", forbidden)
    assert command.refused("evaluate DIR/run DIR", 74) == ["DIR/locked: Permission denied"]
