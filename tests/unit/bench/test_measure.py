"""Records: the command that measures again, and the machine that was measured."""

import json
import sys
from pathlib import Path

import pytest
import torch

from custom_bert.bench.measure import as_given, write_record


def test_a_command_keeps_every_option_but_where_things_are() -> None:
    words = ["--data", "/home/me/sets", "--repeats", "3", "--out=/tmp/x.json", "--sides", "ours, defaults"]
    found = as_given("/home/me/benchmarks/peers.py", words)
    assert found == (
        "python benchmarks/peers.py --data FOLDER --repeats 3 --out FILE --sides 'ours, defaults'"
    )


def test_a_script_records_how_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/peers.py", "--data", str(tmp_path), "--repeats", "2"])
    record = write_record(tmp_path / "r.json", question="q", table=[])
    assert record["command"] == "python benchmarks/peers.py --data FOLDER --repeats 2"
    assert f"`{record['command']}` at " in (tmp_path / "r.md").read_text()


def test_a_record_of_the_cpu_names_the_cpu_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    write_record(tmp_path / "r.json", question="q", command="c", table=[])
    assert json.loads((tmp_path / "r.json").read_text())["machine"]["device"] == "cpu"
