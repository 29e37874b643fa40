"""Pairs of texts with shares, numbers, ranks and several labels have all that pairs with one label have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_data import SUBJECTS, pairs_of
from training_runs import break_off, settings, write_lines

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.training.log import Reporter

QUIET = Reporter(silent=True)
WORDS = [word for words in SUBJECTS.values() for word in words]


def subject_of(pair: tuple[str, str]) -> int:
    """The index of the subject that the second text of a pair speaks of, from 0 to 7."""
    return next(i for i, word in enumerate(WORDS) if word in pair[1].split())


def shares(i: int) -> str:
    return "animal:0.75\tmachine:0.25" if i < 4 else "machine:0.875\tanimal:0.125"


TASKS: dict[str, tuple[Callable[[int], str], str, float]] = {
    "soft_labels": (shares, "divergence", 0.3),
    "regression": (lambda i: str(100.5 + 10 * (i // 2)), "mae", 6.0),
    "ordinal": (lambda i: str(1 + i // 2), "mae_ranks", 0.6),
    "multi_label": (lambda i: "animal" if i < 4 else "machine\theavy", "micro_f1", -0.9),
}
"""How each task writes its labels, and a measure with the value that it has to fall below; one that should be
high has both with a minus."""


def config(task: str, data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    return settings(data, out, task=task, **{"data.pairs": True, "optim.epochs": 10, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for task, (label, _, _) in TASKS.items():
        (folder / task).mkdir()
        for seed, (name, count) in enumerate((("train", 200), ("val", 60))):
            pairs, _ = pairs_of(count, seed)
            write_lines(folder / task / f"{name}_dataset.txt", ["\t".join(pair) for pair in pairs])
            write_lines(folder / task / f"{name}_labels.txt", [label(subject_of(pair)) for pair in pairs])
    return folder


@pytest.fixture(scope="module", params=TASKS)
def trained(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Path, Path]:
    """A task, its data, and a run with encoder and floor."""
    task = request.param
    made = config(task, folder / task, folder / f"{task}-run", floor=True)
    return task, folder / task, train_model(made, reporter=QUIET).directory


def test_it_learns_from_the_second_text_and_evaluate_finds_what_the_run_says(
    trained: tuple[str, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    task, data, run = trained
    record = json.loads((run / "run.json").read_text())
    _, metric, bound = TASKS[task]
    measured = record["validation"][metric]
    assert (measured < bound) if bound > 0 else (measured > -bound), measured
    assert record["data"]["pairs"] is True and metric in record["floor"]
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[metric] == pytest.approx(measured, abs=1e-6)


def test_predictions_are_the_same_from_lines_tables_and_python(
    trained: tuple[str, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data, run = trained
    lines = (data / "val_dataset.txt").read_text().splitlines()[:12]
    pairs = [tuple(line.split("\t")) for line in lines]
    predictions = Classifier.load(run).predict(pairs)
    write_lines(tmp_path / "pairs.txt", lines)
    assert main(["predict", str(run), str(tmp_path / "pairs.txt")]) == 0
    assert capsys.readouterr().out.splitlines() == [one.line() for one in predictions]
    write_lines(tmp_path / "pairs.jsonl", [json.dumps({"a": a, "b": b}) for a, b in pairs])
    columns = ["--text-column", "a", "--second-text-column", "b"]
    assert main(["predict", str(run), str(tmp_path / "pairs.jsonl"), *columns]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row, (a, b), one in zip(rows, pairs, predictions, strict=True):
        assert (row.pop("a"), row.pop("b")) == (a, b)
        assert [str(cell) for cell in row.values()] == [str(cell) for cell in one.cells()]


@pytest.mark.parametrize("task", TASKS)
def test_a_broken_run_goes_on_bit_for_bit(task: str, folder: Path, tmp_path: Path) -> None:
    few = {"optim.epochs": 2, "runtime.checkpoint_every": 4, "model.hidden_dropout": 0.1}
    whole = train_model(config(task, folder / task, tmp_path / "whole", **few), reporter=QUIET).directory
    broken = config(task, folder / task, tmp_path / "broken", **few)
    break_off(broken, 11)
    again = train_model(broken, reporter=QUIET).directory
    for name in ("model.safetensors", "config.json"):
        assert (whole / name).read_bytes() == (again / name).read_bytes(), name


def test_an_export_gives_a_pair_what_the_encoder_gives_it(
    trained: tuple[str, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    task, data, run = trained
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    assert "32 pairs have the same token ids, and logits within" in capsys.readouterr().out
    function = {"function_to_apply": "none"} if task == "regression" else {}
    pipe = transformers.pipeline("text-classification", str(tmp_path / "out"), top_k=None, truncation=True)
    lines = (data / "val_dataset.txt").read_text().splitlines()[:12]
    pairs = [tuple(line.split("\t")) for line in lines]
    classifier = Classifier.load(run, encoder_only=True)
    ours_NK = classifier.predict_proba(pairs)
    if task == "ordinal":  # an export says how probable it is to be above each rank
        ours_NK = 1 - ours_NK.cumsum(1)[:, :-1]
    for (a, b), row_K in zip(pairs, ours_NK, strict=True):
        answers = pipe([{"text": a, "text_pair": b}], **function)[0]
        theirs = {answer["label"]: answer["score"] for answer in answers}
        found_K = [theirs[name] for name in pipe.model.config.id2label.values()]
        assert np.allclose(found_K, row_K, rtol=1e-5, atol=1e-5)
    card = (tmp_path / "out" / "README.md").read_text()
    assert '"text_pair": "another"' in card and "pairs of texts" in card, card


def test_swapping_counts_the_pairs_that_get_another_answer(
    trained: tuple[str, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    task, data, run = trained
    code = main(["evaluate", str(run), str(data), "--swap", "--json"])
    if task == "regression":
        assert code == 64 and "task regression has no labels that could change" in capsys.readouterr().err
        return
    lines = (data / "val_dataset.txt").read_text().splitlines()
    pairs = [tuple(line.split("\t")) for line in lines]
    classifier = Classifier.load(run)
    here, there = (classifier.predict(some) for some in (pairs, [(b, a) for a, b in pairs]))
    changed = [a.cells()[0] != b.cells()[0] for a, b in zip(here, there, strict=True)]
    found = json.loads(capsys.readouterr().out)["changed_when_swapped"]
    assert code == 0 and found == pytest.approx(np.mean(changed)) and found > 0.5
    assert main(["evaluate", str(run), str(data), "--swap"]) == 0
    assert (
        f"{found:.1%} of the pairs get other labels when their texts are swapped" in capsys.readouterr().out
    )


def test_words_of_both_texts_are_explained(trained: tuple[str, Path, Path]) -> None:
    task, _, run = trained
    if task == "regression":
        return
    classifier = Classifier.load(run)
    label = classifier.labels[-1]
    words = classifier.explain(("the cat is on", "the engine of it"), label=label).labels[0].words
    effects = {(one.word, one.second): abs(one.effect) for one in words}
    assert {second for _, second in effects} == {False, True}
    assert effects["engine", True] > effects["the", False]
