"""Faulty settings and command lines: one line a fault that says what, where and what to do. No traceback.

Every message stands here as a user sees it; DIR is the directory of the files.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from command_line import GOOD, Command, faults, place
from data_files import NAMES

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
    "a limit that the range does not name": (
        {"max_length": 3_000_000},
        ["data.max_length must be at most 1,048,576, got 3000000"],
    ),
    "a share below nothing": (
        {"val_fraction": -0.1},
        ["data.val_fraction must be between 0 and 0.9, got -0.1"],
    ),
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


def test_an_option_by_its_older_name_is_read_with_a_note(command: Command) -> None:
    code, out, err = command("train DIR --emb-dim wide")
    assert (code, faults(err)) == (64, ["--model.hidden-size: expected a whole number, got 'wide'"])
    assert out == "--emb-dim is read as --model.hidden-size\n"
