"""Weights of texts: one of two is as two of its kind, and one of zero is as none."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from training_runs import examples, settings

from custom_bert import Classifier, Reporter, in_memory, train_model
from custom_bert.batch import Batch, Targets
from custom_bert.config_sources import load
from custom_bert.data.labelled_texts import LabelledTexts
from custom_bert.data.memory import as_relative
from custom_bert.errors import RunError
from custom_bert.floor.ensemble import Ensemble, fit_ensemble
from custom_bert.floor.linear import fit_classes
from custom_bert.floor.linear_sets import fit_sets
from custom_bert.label_metrics import best_thresholds
from custom_bert.precision import MixedPrecision
from custom_bert.tasks import multi_label
from custom_bert.tasks.classification import Classification, ClassScorer, CrossEntropy
from custom_bert.tasks.floors import combine
from custom_bert.tasks.multi_label import BinaryCrossEntropy
from custom_bert.tasks.parts import Gathering, Objective
from custom_bert.tasks.set_scorer import SetScorer
from custom_bert.training.build import build
from custom_bert.training.prepare import prepare
from custom_bert.training.step import ALONE, train_step

QUIET = Reporter(silent=True)
RANDOM = np.random.Generator(np.random.PCG64(0))
TIMES = RANDOM.integers(1, 4, 24)
"""How often each of 24 texts counts."""


def config(folder: Path, **changes: Any) -> dict[str, Any]:
    given = settings(folder, folder / "run", **changes)
    return {k: v for k, v in given.items() if not k.startswith(("data.train", "data.val"))}


def repeated(rows: list[Any], times: np.ndarray = TIMES) -> list[Any]:
    return [row for row, count in zip(rows, times.tolist(), strict=True) for _ in range(count)]


def gradients(objective: Objective, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
    model = nn.Linear(3, 3, bias=False, dtype=torch.float64)
    nn.init.eye_(model.weight)
    loss = objective.loss_sum(model(logits), targets) / objective.weight(targets)
    loss.backward()  # type: ignore[no-untyped-call]
    return torch.cat([loss.detach()[None], model.weight.grad.flatten()])  # type: ignore[union-attr]


def twice(values: torch.Tensor, weights_N: torch.Tensor | None) -> Targets:
    """As R-Drop has every text twice."""
    weights_N = None if weights_N is None else weights_N.repeat_interleave(2)
    return Targets(values.repeat_interleave(2, 0), None, weights_N)


@pytest.mark.parametrize("r_drop", [0.0, 2.0])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("sets", [False, True])
def test_a_text_of_weight_two_is_as_two_texts_in_the_loss(r_drop: float, balanced: bool, sets: bool) -> None:
    weights, hot_NC = torch.tensor([0.5, 1.0, 3.0]), torch.from_numpy(RANDOM.integers(0, 2, (24, 3))).float()
    objective: Objective = (
        BinaryCrossEntropy(torch.stack([weights, 1 + weights]) if balanced else None, 0.1, r_drop)
        if sets
        else CrossEntropy(weights if balanced else None, 0.1, r_drop)
    )
    values = hot_NC if sets else hot_NC.sum(1).long().clamp(max=2)
    logits = torch.from_numpy(RANDOM.normal(size=(24, 2, 3)))
    rows = np.arange(24)
    found = [
        gradients(objective, logits[chosen].flatten(0, 1), twice(values[chosen], w))
        for chosen, w in (
            (rows, torch.from_numpy(TIMES).float()),
            (np.repeat(rows, TIMES), None),
        )
    ]  # fmt: skip
    assert torch.allclose(*found, rtol=1e-6)
    without = gradients(objective, logits.flatten(0, 1), twice(values, None))
    assert not torch.allclose(found[0], without, rtol=1e-3)


@pytest.mark.parametrize(
    ("task", "balance"), [("classification", "none"), ("classification", "balanced"), ("multi_label", "none")]
)
def test_a_step_of_weighted_texts_is_that_of_repeated_ones_however_it_is_divided(
    tmp_path: Path, task: str, balance: str
) -> None:
    texts, labels = examples(24)
    given = {
        "task": task,
        "optim.class_weights": balance,
        "data.tokenizer": str(vocabulary(tmp_path)),
        "model.hidden_dropout": 0.0,
    }
    given["optim.embedding_init"] = "random"  # co-occurrences count texts
    found = []
    for source, parts in (
        (in_memory(texts, labels, weights=TIMES, val_texts=texts, val_labels=labels), 1),
        (in_memory(texts, labels, weights=TIMES, val_texts=texts, val_labels=labels), 4),
        (in_memory(repeated(texts), repeated(labels), val_texts=texts, val_labels=labels), 1),
    ):
        draft, material = prepare(load(config(tmp_path, **given)), lambda line: None, source)
        state = build(draft.final(), material, ALONE, QUIET)
        phase = state.phases[0]
        batches = [
            material.train.build(rows, "uniform_length", 32)
            for rows in np.array_split(np.arange(len(material.train.rows_N)), parts)
        ]
        result = train_step(
            phase.model, phase.optimizer, batches, phase.objective,
            precision=MixedPrecision("fp32", torch.device("cpu")), clip_norm=1e9,
        )  # fmt: skip
        found.append([float(result.loss), float(result.grad_norm)])
    if task == "classification":  # the other sets lines aside for thresholds, drawn from all that there are
        assert found[0] == pytest.approx(found[2], rel=1e-5)
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def vocabulary(folder: Path) -> Path:
    words = sorted({word for text in examples(24)[0] for word in text.split()})
    path = folder / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return path


def trained(folder: Path, texts: list[str], labels: list[str], weights: Any, **changes: Any) -> bytes:
    given = {"optim.epochs": 2, "floor": True, **changes}
    result = train_model(
        config(folder, **given), source=in_memory(texts, labels, weights=weights), reporter=QUIET
    )
    parts = ("model.safetensors", "floor/floor.safetensors", "floor/floor.json", "labels.json")
    return b"".join((result.directory / part).read_bytes() for part in parts)


@pytest.mark.parametrize("task", ["classification", "multi_label"])
def test_equal_weights_are_the_same_run_and_a_text_of_weight_zero_is_left_out_bit_for_bit(
    tmp_path: Path, task: str
) -> None:
    texts, labels = examples(90)
    plain = trained(tmp_path / "1", texts, labels, None, task=task)
    assert trained(tmp_path / "2", texts, labels, [0.3] * 90, task=task) == plain
    more = [*texts, "an unheard text"], [*labels, "unheard"]
    assert trained(tmp_path / "3", *more, [7] * 90 + [0], task=task) == plain
    assert trained(tmp_path / "4", texts, labels, [1.0] * 89 + [2], task=task) != plain


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run to start from."""
    folder = tmp_path_factory.mktemp("started")
    trained(folder, *examples(60), None)
    return str(folder / "run")


@pytest.mark.parametrize("part", ["encoder", "floor", "probe"])
@pytest.mark.parametrize("task", ["classification", "multi_label"])
@pytest.mark.filterwarnings("ignore:.*the floor predicts")
def test_where_texts_contradict_each_other_the_heavier_are_believed(
    tmp_path: Path, task: str, part: str, started: str
) -> None:
    texts = [f"{word} {i}" for i in range(40) for word in ("engine", "rain", "engine", "rain")]
    labels = ["a", "b", "b", "a"] * 40
    changes = {"encoder": {"optim.epochs": 6, "optim.lr": 1e-2}, "floor": {"floor": True, "optim.epochs": 1}}
    changes["probe"] = {"model.init_from": started, "optim.head_init": "probe", "optim.lr": 1e-9}
    for heavy, expected in (([9, 9, 1, 1], [0, 1]), ([1, 1, 9, 9], [1, 0])):
        given = config(tmp_path / str(heavy[0]), task=task, **changes[part])
        if part == "probe":
            given = {k: v for k, v in given.items() if not k.startswith("model.") or k == "model.init_from"}
        result = train_model(given, source=in_memory(texts, labels, weights=heavy * 40), reporter=QUIET)
        if part == "floor":
            (result.directory / "model.safetensors").unlink()
        probabilities_NC = Classifier.load(result.directory).predict_proba(["engine 1", "rain 1"])
        assert (
            probabilities_NC.argmax(0).tolist() == expected
        )  # the text of which each label is more probable


def test_other_weights_are_another_run(tmp_path: Path) -> None:
    texts, labels = examples(60)
    trained(tmp_path, texts, labels, [1, 2] * 30)
    with pytest.raises(RunError, match="weights changed"):
        trained(tmp_path, texts, labels, [2, 1] * 30)


def test_thresholds_and_ensembles_count_a_text_as_often_as_it_weighs() -> None:
    hot_NC, probabilities_NC = RANDOM.random((24, 3)) > 0.6, RANDOM.random((24, 3)).astype(np.float32)
    rows = np.repeat(np.arange(24), TIMES)
    assert (hot_NC.sum(0) >= 5).all()
    weighted = best_thresholds(probabilities_NC, hot_NC, TIMES)
    assert weighted.tolist() == best_thresholds(probabilities_NC[rows], hot_NC[rows]).tolist()
    assert weighted.tolist() != best_thresholds(probabilities_NC, hot_NC).tolist()
    ids_N = hot_NC.sum(1).clip(max=2)
    one, other = np.eye(3)[ids_N] + RANDOM.normal(size=(24, 3)), RANDOM.normal(size=(24, 3))
    ensemble = fit_ensemble(one, other, ids_N, TIMES)
    again = fit_ensemble(one[rows], other[rows], ids_N[rows])
    assert ensemble.record() == pytest.approx(again.record(), rel=1e-3)
    assert ensemble.record() != pytest.approx(fit_ensemble(one, other, ids_N).record(), rel=1e-2)


def test_a_run_hands_its_weights_to_thresholds_and_to_ensembles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, labels = examples(90)
    weights_N = np.arange(1.0, 91)
    seen: list[Any] = []

    def spy(probabilities_NC: Any, true_NC: Any, weights_N: Any = None) -> Any:
        seen.append(weights_N)
        return best_thresholds(probabilities_NC, true_NC, weights_N)

    monkeypatch.setattr(multi_label, "best_thresholds", spy)
    trained(tmp_path / "1", texts, labels, weights_N, task="multi_label")
    of_the_floor, *of_the_encoder = (np.sort(some).tolist() for some in seen)
    assert len({*of_the_floor}) == len(of_the_floor) > 2 and of_the_encoder
    assert all(some == of_the_floor for some in of_the_encoder)
    source = in_memory(texts, labels, weights=weights_N)
    _, material = prepare(load(config(tmp_path)), lambda line: None, source)
    assert isinstance(material.source, LabelledTexts)
    data = dataclasses.replace(material.source.dataset, choosing=material.source.dataset.train)
    floor, scores = (
        fit_classes(texts, np.arange(90) % 3, 3, seed=0),
        np.zeros((90, 3), np.float32),
    )

    def fit(encoder_NC: Any, floor_NC: Any, ids_N: Any, weights_N: Any) -> Ensemble:
        seen.append(weights_N)
        return Ensemble(1.0, 1.0)

    combine(
        fit,
        data,
        floor,
        lambda model: ClassScorer(data.labels),
        scores[: len(data.train)],
        scores[: len(data.val)],
    )
    assert seen[-1].tolist() == data.train.targets.weights_N.tolist()  # type: ignore[union-attr]


def test_weights_have_the_mean_one_so_that_a_floor_is_as_strong_as_without_any() -> None:
    weights_N = as_relative(np.array([1.0, 2.0, 6.0]))
    assert weights_N is not None and weights_N.tolist() == pytest.approx([1 / 3, 2 / 3, 2.0])


def test_the_scales_of_floors_and_their_balance_count_weights() -> None:
    texts, labels = examples(90)
    ids_N = np.unique(labels, return_inverse=True)[1]
    times_N = RANDOM.integers(1, 4, 90)
    weights_N = as_relative(times_N.astype(float))
    for balanced in (False, True):
        plain, weighted = (
            fit_classes(texts, ids_N, 3, seed=0, balanced=balanced, weights_N=w) for w in (None, weights_N)
        )
        assert not np.allclose(plain.weights_FC, weighted.weights_FC) and plain.scale != weighted.scale
    hot_NC = np.eye(3)[ids_N] > 0
    one, other = (
        fit_sets(texts[:60], hot_NC[:60], texts[60:], hot_NC[60:], held_out_weights_N=w)
        for w in (None, times_N[60:])
    )
    assert np.array_equal(one.weights_FC, other.weights_FC) and one.offset != other.offset


def test_the_best_weights_are_chosen_by_weight_and_shown_measures_count_each_text_once() -> None:
    true_N, scores_NC = RANDOM.integers(0, 3, 24), torch.from_numpy(RANDOM.normal(size=(24, 3)))
    scorer, predicted_N = ClassScorer(("a", "b", "c")), scores_NC.argmax(1).numpy()
    for rows in np.array_split(np.arange(24), 3):
        weights_N = torch.from_numpy(TIMES[rows]).float()
        scorer.add(scores_NC[rows], Targets(torch.from_numpy(true_N[rows]), None, weights_N))
    found, given = scorer.measured(), {"sample_weight": TIMES}
    assert found.weighted_numbers == pytest.approx(
        {
            "accuracy": accuracy_score(true_N, predicted_N, **given),
            "macro_f1": f1_score(true_N, predicted_N, average="macro", **given),
        }
    )
    assert found.numbers["accuracy"] == accuracy_score(true_N, predicted_N)
    assert found.numbers != found.weighted_numbers
    task, by_f1 = Classification(("a", "b", "c")), SimpleNamespace(optim=SimpleNamespace(metric="macro_f1"))
    assert task.worth(found, by_f1) == found.weighted_numbers["macro_f1"]  # type: ignore[arg-type]
    hot_NC = np.eye(3)[true_N] + np.eye(3)[(true_N + TIMES) % 3] > 0
    sets = SetScorer(("a", "b", "c"), np.full(3, 0.5, dtype=np.float32))
    sets.add(scores_NC, Targets(torch.from_numpy(hot_NC).float(), None, torch.from_numpy(TIMES).float()))
    expected = (scores_NC.sigmoid() >= 0.5).numpy()
    assert sets.measured().weighted_numbers == pytest.approx(
        {
            "micro_f1": f1_score(hot_NC, expected, average="micro", **given),
            "macro_f1": f1_score(hot_NC, expected, average="macro", **given),
            "exact_match": accuracy_score(hot_NC, expected, **given),
        }
    )
    assert sets.measured().numbers["exact_match"] == accuracy_score(hot_NC, expected)


@pytest.mark.parametrize("sets", [False, True])
@pytest.mark.parametrize("first", [0, 10])
def test_several_processes_add_up_their_weights_also_if_one_has_no_batch(sets: bool, first: int) -> None:
    scores_NC, hot_NC = torch.from_numpy(RANDOM.normal(size=(24, 3))), RANDOM.integers(0, 2, (24, 3))
    values = torch.from_numpy(hot_NC).float() if sets else torch.from_numpy(hot_NC.sum(1).clip(max=2))

    def scored(rows: np.ndarray) -> ClassScorer | SetScorer:
        labels = ("a", "b", "c")
        scorer = SetScorer(labels, np.full(3, 0.5, dtype=np.float32)) if sets else ClassScorer(labels)
        if len(rows):
            scorer.add(scores_NC[rows], Targets(values[rows], None, torch.from_numpy(TIMES[rows]).float()))
        return scorer

    sent: list[torch.Tensor] = []

    def send(tensor: torch.Tensor) -> torch.Tensor:
        sent.append(tensor)
        return tensor

    rows = np.arange(24)
    scored(rows[:first]).measured(Gathering(send, send))
    parts = iter(sent)
    both = scored(rows[first:]).measured(
        Gathering(lambda tensor: tensor + next(parts), lambda some: torch.cat([next(parts), some]))
    )
    assert both.weighted_numbers == pytest.approx(scored(rows).measured().weighted_numbers)
    assert both.numbers == scored(rows).measured().numbers


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 29 + [-1], r"^weight 29: expected a finite number from 0 on, got -1\.0$"),
        ([float("nan")] + [1.0] * 29, r"^weight 0: expected a finite number from 0 on, got nan$"),
        ([float("inf")] + [1.0] * 29, r"^weight 0: .* got inf$"),
        ([0] * 30, r"^weights: all are zero, so that there is nothing to learn$"),
        ([1] * 29, r"^weights: expected 30 numbers, one for each text, got the shape \(29,\)$"),
        (["much"] * 30, r"^weights: expected a number for each text, got \['much', .*$"),
        (3.0, r"^weights: expected a number for each text, got 3\.0$"),
    ],
)
def test_weights_that_make_no_sense_are_refused_in_one_line(weights: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        in_memory(*examples(30), weights=weights)


def test_batches_carry_the_weights_of_their_texts() -> None:
    batch = Batch.build([np.array([2, 3])] * 3, targets=np.arange(3), weights=np.float32([1, 2, 3]))
    assert batch.targets is not None and batch.targets[1:].weights_N is not None
    assert batch.targets[1:].weights_N.tolist() == [2, 3]
    elsewhere = batch.targets.to(torch.device("meta"))
    assert elsewhere.weights_N is not None and elsewhere.weights_N.is_meta and elsewhere.rows_M is None
    both = Targets.joined([batch.targets[:1], batch.targets[2:]])
    assert both.values.tolist() == [0, 2] and both.weights_N is not None and both.weights_N.tolist() == [1, 3]
