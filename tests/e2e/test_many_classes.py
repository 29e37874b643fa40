"""More classes than tables and matrices show: a run trains, evaluates, predicts, exports and is reported."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_runs import arguments, settings, write_lines

from custom_bert import Classifier, files, train_model
from custom_bert.cli import main
from custom_bert.data import batching

CLASSES = 300
"""More than a confusion matrix is written out for, and than a table in a terminal has rows."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("many")
    (folder / "data").mkdir()
    labels = [f"class {i % CLASSES}" for i in range(2 * CLASSES)]
    write_lines(folder / "data" / "train_labels.txt", labels)
    write_lines(folder / "data" / "train_dataset.txt", [f"word{i} {x}" for i, x in enumerate(labels)])
    config = settings(folder / "data", folder / "run", **{"optim.epochs": 1, "batch.token_budget": 1024})
    train_model(config)
    return config


@pytest.fixture
def run(config: dict[str, Any]) -> Path:
    return Path(config["out"])


def test_the_record_has_every_class_and_the_confusions_in_place_of_a_matrix(run: Path) -> None:
    validation = files.read_run_json(run, "run.json")["validation"]
    assert len(validation["per_class"]) == len(validation["labels"]) == CLASSES
    assert "confusion_matrix" not in validation and validation["confusions_left_out"] == 0
    wrong = sum(count for *_, count in validation["confusions"])
    assert wrong == round(validation["examples"] * (1 - validation["accuracy"])) > 0


def test_evaluating_again_gives_what_training_wrote(
    config: dict[str, Any], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(run), str(run.parent / "data")]
    assert main([*command, "--json"]) == 0
    validation = files.read_run_json(run, "run.json")["validation"]
    assert json.loads(capsys.readouterr().out) == {k: v for k, v in validation.items() if k != "loss"}
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 210 and lines[-3].startswith("100 more classes")


def test_texts_are_read_in_smaller_windows_where_there_are_more_classes(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, taken = [f"word{i}" for i in range(40)], 0
    classifier = Classifier.load(run)
    whole = [one.label for one in classifier.predict(texts)]
    monkeypatch.setattr(batching, "EVALUATION_OUTPUTS", 7 * CLASSES + 1)

    def source() -> Iterator[str]:
        nonlocal taken
        for taken, text in enumerate(texts, start=1):  # noqa: B007
            yield text

    stream = classifier.stream(source())
    first = next(stream)
    assert taken == 7
    assert [one.label for one in (first, *stream)] == whole


def test_every_command_reads_the_run(
    config: dict[str, Any], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(run)]) == 0
    assert "100 more labels are not shown; info --json prints every label" in capsys.readouterr().out
    assert main(["report", str(run), str(tmp_path / "page.html")]) == 0
    assert "true</th><th>predicted" in (tmp_path / "page.html").read_text()
    assert main(["predict", str(run), config["data.train_texts"]]) == 0
    assert main(["export", str(run), str(tmp_path / "hf")]) == 0
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "with 300 labels" in card and "` and 100 more, which `config.json` has." in card
    assert len(json.loads((tmp_path / "hf" / "config.json").read_text())["id2label"]) == CLASSES
    capsys.readouterr()
    assert main(["train", *arguments(config)]) == 0
    assert "this run is finished" in capsys.readouterr().out
