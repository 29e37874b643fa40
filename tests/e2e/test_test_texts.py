"""Test texts: checked before training, measured once by what predicts, shown everywhere, and without any
influence on what is learned."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import Command, place
from data_files import lines
from training_runs import arguments, break_off, examples, settings, write_data, write_lines

from custom_bert import Classifier, Reporter, in_memory, train_model
from custom_bert.cli import main
from custom_bert.errors import DataError
from custom_bert.inference.evaluate_run import evaluate_run
from custom_bert.training import final_evaluation, outcome

QUIET = Reporter(silent=True)
FAST: dict[str, Any] = {"optim.epochs": 1, "floor": True}
SEVERAL: dict[str, Any] = {**FAST, "task": "multi_label"}


def write_test(data: Path, count: int = 30, *, shift: int = 0) -> Path:
    """Test files; with a shift the labels are those of other texts."""
    texts, labels = examples(count, seed=2)
    write_lines(data / "test_dataset.txt", texts)
    write_lines(data / "test_labels.txt", labels[shift:] + labels[:shift])
    return data


def with_test(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    files = {"data.test_texts": "test_dataset.txt", "data.test_labels": "test_labels.txt"}
    return settings(data, out, **{name: str(data / file) for name, file in files.items()}, **changes)


def record_of(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "run.json").read_text())
    return record


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data with an ensemble and a test, and a run on them."""
    folder = tmp_path_factory.mktemp("test")
    data = write_test(write_data(folder / "data", train=2_100))
    for name in ("train_dataset.txt", "train_labels.txt"):  # the labels do not come in their sorted order
        write_lines(data / name, (data / name).read_text().splitlines()[::-1])
    train_model(with_test(data, folder / "run", **{**FAST, "optim.lr": 3e-4}), reporter=QUIET)
    return data, folder / "run"


def test_it_is_measured_by_what_predicts_and_each_side_stands_beside_it(trained: tuple[Path, Path]) -> None:
    data, run = trained
    test = record_of(run)["test"]
    found = evaluate_run(run, data, split="test")
    assert found.floor is not None and found.encoder is not None
    assert {name: test[name] for name in found.model.numbers} == pytest.approx(found.model.numbers)
    assert test["floor"] == pytest.approx(found.floor.numbers)
    assert test["encoder"] == pytest.approx(found.encoder.numbers)
    assert test["examples"] == record_of(run)["data"]["test_examples"] == 30
    texts, labels = ((data / f"test_{kind}.txt").read_text().splitlines() for kind in ("dataset", "labels"))
    assert test["accuracy"] == pytest.approx(Classifier.load(run).evaluate(texts, labels).accuracy)


def test_training_info_and_the_page_show_it(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    test = record_of(run)["test"]
    assert main(["info", str(run)]) == 0
    info = capsys.readouterr().out
    for name, numbers in (("test", test), ("  floor", test["floor"]), ("  encoder", test["encoder"])):
        assert f"{name:<10}  accuracy {numbers['accuracy']:.4f}, macro-F1 {numbers['macro_f1']:.4f}: " in info
    assert main(["report", str(run), str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "accuracy on test texts" in page and "Classes of the test texts" in page
    assert main(["train", *arguments(with_test(data, tmp_path / "run", **FAST))]) == 0
    said = capsys.readouterr().out
    shown = record_of(tmp_path / "run")["test"]
    assert f"test       accuracy {shown['accuracy']:.4f}, " in said and ", 30 test texts, 3 labels" in said
    assert "30 texts that decided nothing" in said
    assert main(["evaluate", str(run), str(data), "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(test["accuracy"])


@pytest.mark.parametrize("changes", [FAST, SEVERAL, {**FAST, "floor": False}])
def test_other_test_labels_or_none_give_the_same_model_bit_for_bit(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    data = write_data(tmp_path / "data")
    kept = []
    for shift in (None, 0, 1):
        if shift is not None:
            write_test(data, shift=shift)
        run = tmp_path / f"run{shift}"
        result = train_model(with_test(data, run, **changes), reporter=QUIET)
        names = ("model.safetensors", "tokenizer.json", "labels.json", "config.json")
        kept.append([(run / name).read_bytes() for name in names] + [record_of(run)["validation"]])
        assert (result.test is None) == (shift is None)
        assert result.test is None or result.test.keys() == result.numbers.keys()
    assert kept[0] == kept[1] == kept[2]
    assert record_of(tmp_path / "run0")["test"] != record_of(tmp_path / "run1")["test"]
    assert record_of(tmp_path / "run0")["identity"] == record_of(tmp_path / "runNone")["identity"]


def test_it_is_measured_once_and_not_before_training_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_test(write_data(tmp_path / "data"))
    seen: list[str] = []
    real, real_measure = outcome.evaluate_now, final_evaluation.measure

    def evaluated(*positional: Any, **named: Any) -> Any:
        seen.append("validation")
        return real(*positional, **named)

    def measured(*positional: Any, **named: Any) -> Any:
        seen.append("test")
        return real_measure(*positional, **named)

    monkeypatch.setattr("custom_bert.training.fit.evaluate_now", evaluated)
    monkeypatch.setattr(final_evaluation, "measure", measured)
    train_model(with_test(data, tmp_path / "run", **FAST, ensemble=False), reporter=QUIET)
    assert seen.count("test") == 1 and seen[-1] == "test" and "validation" in seen


def test_an_unfinished_run_goes_on_with_other_test_texts_and_a_finished_one_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    broken = with_test(data, run, **FAST, **{"runtime.checkpoint_every": 2})
    break_off(broken, step=4)
    write_test(data)
    whole = train_model({**broken, "out": str(tmp_path / "whole")})
    capsys.readouterr()
    result = train_model(broken)
    said = capsys.readouterr().out
    assert "the test texts are new since this run began" in said and "continues after" in said
    assert result.test == whole.test is not None
    again = train_model(broken)
    assert again.test == pytest.approx(result.test)
    assert "this run was not measured" not in capsys.readouterr().out
    write_test(data, shift=1)
    train_model(broken)
    assert f"evaluate {run} DATA --split test measures them" in capsys.readouterr().out
    for name in ("test_dataset.txt", "test_labels.txt"):
        (data / name).unlink()
    train_model(broken)
    assert "test" not in capsys.readouterr().out.replace(str(tmp_path), "")


def test_texts_in_memory_and_a_limit_of_time(tmp_path: Path) -> None:
    train, test = examples(150), examples(30, seed=2)
    config = {
        name: value
        for name, value in settings(tmp_path, tmp_path / "run", **FAST).items()
        if not name.startswith(("data.train", "data.val"))
    }
    source = in_memory(*train, test_texts=test[0], test_labels=test[1])
    result = train_model({**config, "optim.max_minutes": 0.02}, source=source, reporter=QUIET)
    scores = Classifier.load(result.directory).evaluate(*test)
    assert result.test is not None and result.test["accuracy"] == pytest.approx(scores.accuracy)
    with pytest.raises(ValueError, match="test_texts and test_labels belong together"):
        in_memory(*train, test_texts=test[0])
    with pytest.raises(DataError, match="test_labels:1: label 'moon' never occurs in labels"):
        train_model(
            {**config, "out": str(tmp_path / "b")},
            source=in_memory(*train, test_texts=["a"], test_labels=["moon"]),
            reporter=QUIET,
        )


def test_ctrl_c_while_it_is_measured_leaves_a_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_test(write_data(tmp_path / "data"))
    config, real = with_test(data, tmp_path / "run", **FAST), outcome.evaluate_on_test

    def interrupted(*positional: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*positional, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(outcome, "evaluate_on_test", interrupted)
        train_model(config, reporter=QUIET)
    assert record_of(tmp_path / "run")["status"] == "interrupted"
    result = train_model(config, reporter=QUIET)
    assert record_of(tmp_path / "run")["status"] == "finished" and result.test is not None


@pytest.mark.parametrize("lines_of_train", [240, 2_100])
def test_texts_that_change_while_the_encoder_learns_cost_the_test_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines_of_train: int
) -> None:
    data = write_test(write_data(tmp_path / "data", train=lines_of_train))
    real = outcome.evaluate_on_test

    def changed(*positional: Any, **named: Any) -> Any:
        write_lines(data / "test_dataset.txt", ["another text"] * 30)
        return real(*positional, **named)

    monkeypatch.setattr(outcome, "evaluate_on_test", changed)
    alone = {"ensemble": False} if lines_of_train < 2_000 else {}
    train_model(with_test(data, tmp_path / "run", **FAST, **alone))
    record, said = record_of(tmp_path / "run"), capsys.readouterr().out
    assert record["status"] == "finished"
    if alone:
        assert "the floor is not measured on the test texts: " in said
        assert "floor" not in record["test"] and record["test"]["accuracy"] >= 0
    else:
        assert "the test texts are not measured: " in said and "--split test measures them" in said
        assert "test" not in record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"test_dataset.txt": lines(["fine"]), "test_labels.txt": lines(["goood"])},
            "DIR/test_labels.txt:1: label 'goood' never occurs in DIR/train_labels.txt "
            "(did you mean 'good'?)",
        ),
        (
            {"test_dataset.txt": lines(["fine", "dull"]), "test_labels.txt": lines(["good"])},
            "DIR/test_dataset.txt:2: a text without a label: DIR/test_dataset.txt has 2 lines, "
            "DIR/test_labels.txt 1; 1 text too many",
        ),
        (
            {"test_dataset.txt": lines(["fine"])},
            "DIR/test_labels.txt: no such file, but there is DIR/test_dataset.txt; write both, or neither to "
            "go without a test",
        ),
    ],
)
def test_what_is_wrong_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, bytes | None], message: str
) -> None:
    place(tmp_path, changes)
    command = Command(tmp_path, capsys)
    assert command.refused("train DIR --out DIR/run", 65) == [message]
    assert command.refused("check-data DIR", 65) == [message]
    assert not (tmp_path / "run").exists()


def test_a_name_of_the_users_own_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(tmp_path)
    told = Command(tmp_path, capsys).refused(
        "train --data.train-texts DIR/train_dataset.txt --data.train-labels DIR/train_labels.txt "
        "--data.test-texts DIR/mine.txt --out DIR/run",
        65,
    )
    assert told == ["DIR/mine.txt: no such file; leave the test files out to go without a test"]


def test_leaks_and_empty_texts_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(
        tmp_path,
        {
            "test_dataset.txt": lines(["a fine film", "", "new"]),
            "test_labels.txt": lines(["good", "bad", "bad"]),
        },
    )
    command = Command(tmp_path, capsys)
    said = command("check-data DIR").out
    assert "DIR/test_dataset.txt: 3 lines, 14 characters" in said
    assert "DIR/test_dataset.txt: 1 text also in DIR/train_dataset.txt (line 1); the test scores" in said
    assert "DIR/test_dataset.txt: 1 empty text (line 2)" in said
    found = json.loads(command("check-data DIR --json").out)
    assert found["test_leaks"] == [[1, 1]] and found["files"]["test"]["empty_texts"] == [2]


def test_evaluate_without_test_files_names_what_is_missing(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = trained
    place(tmp_path)
    told = Command(tmp_path, capsys).refused(f"evaluate {run} DIR --split test", 65)
    assert len(told) == 1 and told[0].startswith("DIR/test_dataset.txt: no such file")
