"""Every run with labels has a floor: ready first, kept whatever happens, measured beside the encoder."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import arguments, examples, settings, write_data, write_lines

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.errors import CustomBertWarning, RunError
from custom_bert.training import fit


def with_floor(data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A run with a floor, whose encoder predicts alone."""
    return settings(data, out, **{"floor": True, "ensemble": False, "optim.epochs": 1, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("floor")
    data = write_data(folder / "data")
    train_model(with_floor(data, folder / "run"))
    return data, folder / "run"


def test_training_prints_it_before_the_first_step_and_beside_the_result(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = trained
    assert main(["train", *arguments(with_floor(data, tmp_path / "run"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [i for i, line in enumerate(lines) if line.startswith("floor      accuracy ")]
    first_step = next(i for i, line in enumerate(lines) if line.startswith("train "))
    table = next(i for i, line in enumerate(lines) if line.startswith("label "))
    assert len(found) == 2 and found[0] < first_step < table < found[1]
    assert first_step <= 9


def test_it_is_in_the_record_in_info_and_on_the_page(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((trained[1] / "run.json").read_text())
    assert record["floor"].keys() == {"accuracy", "macro_f1", "texts", "of", "val_texts", "val_of"}
    assert record["floor"]["texts"] == record["floor"]["of"] == record["data"]["train_examples"]
    assert main(["info", str(trained[1])]) == 0
    assert f"floor       accuracy {record['floor']['accuracy']:.4f}" in capsys.readouterr().out
    assert main(["report", str(trained[1]), str(tmp_path / "page.html")]) == 0
    assert "accuracy of the floor" in (tmp_path / "page.html").read_text()


def test_evaluate_measures_it_on_the_same_rows(
    trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    record = json.loads((run / "run.json").read_text())
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("accuracy", "macro_f1"):
        assert found["floor"][name] == pytest.approx(record["floor"][name], abs=1e-9)
        assert found[name] == pytest.approx(record["validation"][name], abs=1e-9)
    assert main(["evaluate", str(run), str(data)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("floor      accuracy ")


def test_it_changes_nothing_of_what_the_encoder_learns(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained
    train_model(with_floor(data, tmp_path / "run", floor=False))
    assert not (tmp_path / "run" / "floor").exists()
    assert "floor" not in json.loads((tmp_path / "run" / "run.json").read_text())
    weights = [(path / "model.safetensors").read_bytes() for path in (run, tmp_path / "run")]
    assert weights[0] == weights[1]


def test_turning_it_off_afterwards_is_the_same_run(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = trained
    shutil.copytree(run, tmp_path / "run")
    assert train_model(with_floor(data, tmp_path / "run", floor=False)).steps == 0


@pytest.mark.parametrize("off", [{"floor": False, "ensemble": None}, {"ensemble": False}])
def test_choosing_the_better_one_is_the_same_run_as_the_encoder_alone(
    trained: tuple[Path, Path], tmp_path: Path, off: dict[str, Any]
) -> None:
    data, _ = trained
    choosing = {"optim.lr": 1e-7, "ensemble": None}
    train_model(with_floor(data, tmp_path / "run", **choosing))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ensemble"]["fitted_on"] == 0
    assert train_model(with_floor(data, tmp_path / "run", **{**choosing, **off})).steps == 0


def interrupted_at_once(
    data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Trains, with Ctrl-C before the first step, and returns what was printed."""
    real = fit.begin_moments

    def begin(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fit, "begin_moments", begin)
        with pytest.raises(KeyboardInterrupt):
            train_model(with_floor(data, out))
    return capsys.readouterr().out


def test_ctrl_c_before_the_first_step_leaves_a_run_that_predicts_and_goes_on(
    trained: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, whole = trained
    run = tmp_path / "run"
    said = interrupted_at_once(data, run, monkeypatch, capsys)
    assert f"{run} predicts with its floor" in said
    texts = (data / "val_dataset.txt").read_text().splitlines()
    labels = (data / "val_labels.txt").read_text().splitlines()
    with pytest.warns(CustomBertWarning, match="the encoder has no weights yet; the floor predicts"):
        classifier = Classifier.load(run)
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert classifier.evaluate(texts, labels).accuracy == pytest.approx(record["floor"]["accuracy"])
    assert np.allclose(classifier.predict_proba(texts).sum(axis=1), 1, atol=1e-5)
    assert main(["predict", str(run), str(data / "val_dataset.txt")]) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == len(texts)
    assert told.err.count("the encoder has no weights yet") == 1
    floor_before = (run / "floor" / "floor.safetensors").stat().st_mtime_ns
    train_model(with_floor(data, run))
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (run / "floor" / "floor.safetensors").stat().st_mtime_ns == floor_before  # it was not fitted again
    assert "floor" in json.loads((run / "run.json").read_text())


def test_a_damaged_floor_is_one_line_and_the_encoder_predicts_without_it(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "floor" / "floor.safetensors").write_bytes(b"x")
    assert main(["predict", str(tmp_path / "run"), str(data / "val_dataset.txt")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), str(data)]) == RunError.exit_code
    assert "floor.json: damaged" in capsys.readouterr().err
    (tmp_path / "run" / "model.safetensors").unlink()
    with (
        pytest.warns(CustomBertWarning),
        pytest.raises(RunError, match=r"floor\.json: damaged"),
    ):
        Classifier.load(tmp_path / "run")


def test_label_sets_have_a_floor_with_thresholds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    for name in ("train_labels.txt", "val_labels.txt"):
        labels = (data / name).read_text().splitlines()
        write_lines(data / name, [f"{label}\tall" if label != "weather" else "" for label in labels])
    run, several = tmp_path / "run", {"task": "multi_label"}
    train_model(with_floor(data, run, **several))
    record = json.loads((run / "run.json").read_text())
    assert record["floor"]["macro_f1"] > 0.9
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["floor"]
    assert found["exact_match"] == pytest.approx(record["floor"]["exact_match"])
    (run / "model.safetensors").unlink()
    with pytest.warns(CustomBertWarning):
        predicted = Classifier.load(run).predict((data / "val_dataset.txt").read_text().splitlines())
    given = ["\t".join(one.as_dict()["labels"]) for one in predicted]
    right = (data / "val_labels.txt").read_text().splitlines()
    wanted = ["\t".join(sorted(label.split("\t"))) if label else "" for label in right]
    share = np.mean([one == other for one, other in zip(given, wanted, strict=True)])
    assert share == pytest.approx(record["floor"]["exact_match"])


def test_pretraining_has_none(tmp_path: Path) -> None:
    texts, _ = examples(200)
    write_lines(tmp_path / "corpus.txt", [line for text in texts for line in (text, "")])
    out = tmp_path / "run"
    train_model(
        {
            "task": "masked_lm",
            "data.val_fraction": 0.1,
            "data.corpus": [str(tmp_path / "corpus.txt")],
            "data.cache_dir": str(tmp_path / "cache"),
            "model.hidden_size": 32,
            "model.num_hidden_layers": 1,
            "model.num_attention_heads": 2,
            "optim.epochs": 1,
            "out": str(out),
        }
    )
    assert not (out / "floor").exists()
