"""A run starts from a command, a file of settings or three lines of Python; what it says and caches first."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import arguments, ready, settings, write_data

from custom_bert import TrainConfig, train_model
from custom_bert.cli import COMMANDS, main
from custom_bert.config_sources import from_mapping
from custom_bert.errors import ConfigError, DataError
from custom_bert.rules import choices
from custom_bert.training import vocabulary

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert name in said and ("--optim.lr" in said) == (name in ("train", "pretrain"))


def test_a_second_run_uses_the_tokenised_data(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.data.tokenizer import TextTokenizer

    def refuse(*_: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(TextTokenizer, "encode", refuse)
    train_model(settings(data, data.parent / "cached", seed=4))


def test_command_line_counts_more_than_config_file_and_config_file_more_than_preset(
    data: Path, tmp_path: Path
) -> None:
    values = settings(data, tmp_path / "run", **{"optim.epochs": 2, "model.hidden_dropout": 0.3, "seed": 5})
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert main(["train", "--config", str(tmp_path / "config.json"), "--seed", "6"]) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["seed"], config["optim.epochs"]) == (6, 2)
    assert config["model.hidden_dropout"] == 0.3 and config["model.norm"] == "pre"


def test_the_command_line_reads_no_config_file_unless_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.py").write_text("raise SystemExit('read without being asked')")
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments(settings(data, tmp_path / "run"))]) == 0


def test_three_lines_train_with_the_module_and_no_main_guard(data: Path, tmp_path: Path) -> None:
    values = settings(data, tmp_path / "run")
    (tmp_path / "train.py").write_bytes((ROOT / "train.py").read_bytes())
    (tmp_path / "config.py").write_text(f"def get_config():\n    return {values!r}\n")
    (tmp_path / "three.py").write_text(
        "from train import train_model\nimport config\ntrain_model(config)\nprint('once')\n"
    )
    done = subprocess.run(
        [sys.executable, "three.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1 and "accuracy" in done.stdout
    again = [sys.executable, "train.py", "--optim.epochs", "5"]  # the config.py beside it, and more
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 66 and "error: " in done.stderr and "optim.epochs was 4, is 5" in done.stderr


def test_a_config_object_works_too(data: Path, tmp_path: Path) -> None:
    from custom_bert.config_sources import from_mapping

    config = from_mapping(settings(data, tmp_path / "run", **{"optim.epochs": 1}))
    assert isinstance(config, TrainConfig)
    assert train_model(config).directory == tmp_path / "run"


def test_no_vocabulary_is_kept_of_texts_that_changed_meanwhile(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data, tmp_path / "data")
    real = vocabulary.train_tokenizer

    def train(*arguments: Any, **options: Any) -> Any:
        with (tmp_path / "data" / "train_dataset.txt").open("a") as stream:
            stream.write("a line that nobody checked\n")
        return real(*arguments, **options)

    monkeypatch.setattr(vocabulary, "train_tokenizer", train)
    with pytest.raises(DataError, match=r"train_dataset\.txt: the file changed while it was read"):
        ready(settings(tmp_path / "data", tmp_path / "run"), print)
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_another_process_without_standard_output_and_with_another_hash_seed_trains_the_same(
    data: Path, run: Path, tmp_path: Path
) -> None:
    """As under a supervisor that gives no standard output."""
    environment = {**os.environ, "PYTHONHASHSEED": "77", "LANG": "C"}
    command = [sys.executable, "-m", "custom_bert", "train", *arguments(settings(data, tmp_path / "r"))]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(closed, stderr=subprocess.PIPE, cwd=ROOT, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    ours, theirs = (json.loads((d / "run.json").read_text()) for d in (run, tmp_path / "r"))
    assert theirs["status"] == "finished"
    assert ours["identity"] == theirs["identity"] and ours["choices"] == theirs["choices"]
    assert (tmp_path / "r" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_settings_without_effect_are_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"batch.plan": "padded", "model.rope_theta": 5.0, "data.val_fraction": 0.2}
    train_model(settings(data, tmp_path / "run", **changes, **{"optim.epochs": 1}))
    told = [line for line in capsys.readouterr().out.splitlines() if "has no effect" in line]
    assert told == [
        "warning: batch.token_budget 256 has no effect: batch.plan is padded, which goes by batch.batch_size",
        "warning: model.rope_theta 5.0 has no effect: model.position is learned",
        "warning: data.val_fraction 0.2 has no effect: there are validation files",
    ]


def test_init_writes_the_two_files_and_refuses_to_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new")]) == 0
    for name in ("config.py", "train.py"):
        assert (tmp_path / "new" / name).read_bytes() == (ROOT / name).read_bytes()
    capsys.readouterr()
    assert main(["init", str(tmp_path / "new")]) == 74
    assert "exists already and is not overwritten" in capsys.readouterr().err


def test_faults_of_the_configuration_are_all_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train_model({"lr": -1, "epohcs": 3})
    assert len(caught.value.faults) == 2


def test_mps_is_refused_in_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments(settings(data, tmp_path / "run", **{"runtime.device": "mps"}))]) == 64
    assert capsys.readouterr().err.count("\n") == 1


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"custom-bert \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_windows_that_may_not_fit_into_memory_are_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(data, tmp_path / "run", **{"data.long_texts": "windows", "data.max_length": 6})
    assert not any("longest texts" in line for line in ready(given, print).warnings)
    monkeypatch.setattr(choices, "fitting_rows", lambda bytes_per_row, memory: 8)
    (told,) = (line for line in ready(given, print).warnings if "longest texts" in line)
    assert re.search(r"steps of up to \d\d rows, and 8 fit into 25% of the memory", told)


def test_a_damaged_vocabulary_in_the_cache_is_made_again(data: Path, tmp_path: Path) -> None:
    config = settings(data, None, **{"data.cache_dir": str(tmp_path)})
    whole = ready(config).tokenizer.sha256
    (path,) = (tmp_path / "tokenizers").glob("*.json")
    path.write_text(path.read_text().replace("engine", "engime"))
    assert ready(config).tokenizer.sha256 == whole
    assert "engime" not in path.read_text()


def test_a_suspicion_is_printed_and_kept_and_numpy_settings_are_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data", train=60, val=None)
    for name, header in (("train_dataset.txt", "text\n"), ("train_labels.txt", "label\n")):
        (data / name).write_text(header + (data / name).read_text())
    numbers = {"optim.epochs": np.int64(1), "optim.lr": np.float32(0.5**10), "seed": np.array(3)}
    train_model({**settings(data, tmp_path / "run"), **numbers})
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (told,) = (line for line in record["data"]["warnings"] if "look like a header" in line)
    assert f"warning: {told}\n" in capsys.readouterr().out
    stored = {name: record["config"][name] for name in numbers}
    assert stored == {"optim.epochs": 1, "optim.lr": 0.5**10, "seed": 3}


def test_a_cache_that_cannot_be_written_stops_no_training_and_is_told_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home directory is a file; the next start finds what the first left among the temporary files."""
    (tmp_path / "home").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    config = from_mapping(settings(data, tmp_path / "run", **{"data.cache_dir": None}))
    said: list[str] = []
    first = ready(config, said.append)
    place = tmp_path / f"custom-bert-{os.geteuid()}"
    told = f"cache: {tmp_path}/home/.cache/custom-bert: cannot write: Not a directory (ENOTDIR); "
    told += f"prepared data is kept in {place}"
    assert said[1:] == [told] and "training a WordPiece vocabulary" in said[0]
    again: list[str] = []
    assert ready(config, again.append).tokenizer.sha256 == first.tokenizer.sha256
    assert again == [told]
    assert {path.name for path in tmp_path.iterdir()} == {"home", place.name}
