"""With data.val_fraction 0 all texts train, the last weights are kept, and it is said what is measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from training_runs import break_off, settings, write_data

from custom_bert import Classifier, TextClassifier, train_model
from custom_bert.cli import main
from custom_bert.data.labelled_texts import MEASURED_ON_TRAINING
from custom_bert.errors import ConfigError, DataError
from custom_bert.inference.evaluate_run import evaluate_run

LINES = 240


def config(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return settings(data, out, **{"floor": True, "data.val_fraction": 0, "optim.epochs": 3, **changes})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", train=LINES, val=None)


@pytest.mark.parametrize("task", ["classification", "multi_label"])
def test_all_lines_train_and_the_last_weights_are_kept(
    data: Path, tmp_path: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train_model(config(data, run, task=task))
    said = capsys.readouterr().out
    record = json.loads((run / "run.json").read_text())
    aside = record["data"].get("choosing_examples", 0)
    assert record["data"]["train_examples"] == record["data"]["val_examples"] == LINES - aside
    assert aside == (0 if task == "classification" else pytest.approx(LINES / 10, abs=2))
    assert record["best_step"] == record["steps"]
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len([line for line in lines if json.loads(line)["kind"] == "eval"]) == 1
    assert f"{LINES - aside} training texts, no other to validate" in said and "(the last)" in said
    assert said.count(MEASURED_ON_TRAINING) == 1  # beside the final measures
    assert main(["info", str(run)]) == 0
    assert "measured on the same texts" in capsys.readouterr().out
    assert len(Classifier.load(run).predict(["a text"])) == 1


def test_what_is_measured_on_training_texts_chooses_nothing(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_model(
        config(data, run, **{"optim.lr": 1e-7})
    )  # the floor, which learned these texts, is far better
    record = json.loads((run / "run.json").read_text())
    assert record["floor"]["accuracy"] > record["validation"]["accuracy"]
    assert record["config"]["ensemble"] is False and "ensemble" not in record


def test_a_limit_of_time_ends_it_with_the_last_weights_too(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_model(config(data, run, **{"optim.epochs": None, "optim.max_minutes": 0.02}))
    record = json.loads((run / "run.json").read_text())
    assert record["best_step"] == record["steps"]


def test_evaluating_it_on_its_own_data_is_refused_unless_the_training_texts_are_asked_for(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train_model(config(data, run))
    capsys.readouterr()
    assert main(["evaluate", str(run), str(data)]) == DataError.exit_code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "set no rows aside, for data.val_fraction was 0; --split train" in said
    record = json.loads((run / "run.json").read_text())
    found = evaluate_run(run, data, split="train")
    assert found.model.numbers["accuracy"] == pytest.approx(record["validation"]["accuracy"])


def test_a_run_that_was_broken_off_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    train_model(config(data, tmp_path / "whole"))
    broken = config(data, tmp_path / "run", **{"runtime.checkpoint_every": 2})
    break_off(broken, step=5)
    train_model(broken)
    weights = "model.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_pretraining_needs_held_out_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("some words\n" * 100)
    given = ["pretrain", str(tmp_path / "text.txt"), "--data.val-fraction", "0"]
    assert main(given) == ConfigError.exit_code
    assert "data.val_fraction 0: task masked_lm needs held-out text" in capsys.readouterr().err


def test_the_estimator_trains_on_all_texts(tmp_path: Path) -> None:
    texts = [f"good {i}" for i in range(30)] + [f"bad {i}" for i in range(30)]
    labels = ["yes"] * 30 + ["no"] * 30
    found = TextClassifier(validation_fraction=0, epochs=1, floor=False).fit(texts, labels)
    assert sorted(found.classes_) == ["no", "yes"]
    found.save(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["train_examples"] == 60
