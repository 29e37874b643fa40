"""Data handed in, and nothing printed: what folds, searches and notebooks need."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from data_files import write_set
from training_runs import examples, settings

from custom_bert import Classifier, Reporter, in_memory, train_model
from custom_bert.errors import ConfigError, DataError

QUIET = Reporter(silent=True)
FILES = ("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels")


def without_files(data: Path, out: Path, **changes: object) -> dict[str, object]:
    return {k: v for k, v in settings(data, out, **changes).items() if k not in FILES}


@pytest.mark.parametrize("val", [True, False], ids=["validation texts", "set aside"])
def test_texts_in_memory_train_as_the_same_texts_in_files_and_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], val: bool
) -> None:
    train, held = examples(150), examples(40, seed=1)
    data = write_set(tmp_path / "data", *train, *(held if val else ()))
    filed = train_model(settings(data, tmp_path / "filed", **{"optim.epochs": 2}))
    capsys.readouterr()
    source = in_memory(
        np.array(train[0]), train[1], **(dict(val_texts=held[0], val_labels=held[1]) if val else {})
    )
    config = without_files(data, tmp_path / "listed", **{"optim.epochs": 2})
    listed = train_model(config, source=source, reporter=QUIET)
    assert capsys.readouterr() == ("", "")
    assert listed.numbers == filed.numbers
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("filed", "listed")]
    assert weights[0] == weights[1]
    assert Classifier.load(listed.directory).predict(["a dog barks"])
    assert train_model(config, source=source, reporter=QUIET).steps == 0  # it is finished


def test_other_texts_are_another_run(tmp_path: Path) -> None:
    texts, labels = examples(60)
    config = without_files(tmp_path, tmp_path / "run", **{"optim.epochs": 1})
    train_model(config, source=in_memory(texts, labels), reporter=QUIET)
    with pytest.raises(Exception, match="holds another run"):
        train_model(config, source=in_memory([*texts[:-1], "another text"], labels), reporter=QUIET)


def test_several_labels_of_a_text_are_one_string(tmp_path: Path) -> None:
    texts, labels = examples(90)
    labels = [f"{label}\tnamed" if i % 3 else label for i, label in enumerate(labels)]
    config = without_files(tmp_path, tmp_path / "run", **{"optim.epochs": 1, "task": "multi_label"})
    result = train_model(config, source=in_memory(texts, labels), reporter=QUIET)
    assert json.loads((result.directory / "labels.json").read_text()) == [
        "animals",
        "machines",
        "named",
        "weather",
    ]
    assert result.accuracy == result.numbers["exact_match"] and result.scores.examples > 0


def test_what_cannot_be_taken_is_named(tmp_path: Path) -> None:
    texts, labels = examples(30)
    with pytest.raises(TypeError, match=r"label 3: expected a string, got None"):
        in_memory(texts, [*labels[:3], None, *labels[4:]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="belong together"):
        in_memory(texts, labels, val_texts=texts)
    config = without_files(tmp_path, tmp_path / "run")
    with pytest.raises(DataError, match=r"labels:30: a label without a text|texts has 29 lines, labels 30"):
        train_model(config, source=in_memory(texts[:-1], labels), reporter=QUIET)
    with pytest.raises(DataError, match=r"labels:1: empty label"):
        train_model(config, source=in_memory(texts, ["", *labels[1:]]), reporter=QUIET)
    with pytest.raises(ConfigError, match="task masked_lm: it learns from files of running text"):
        train_model({**config, "task": "masked_lm"}, source=in_memory(texts, labels), reporter=QUIET)
    assert not (tmp_path / "run").exists()
