"""Lower layers that keep their weights: by rule, by request, and to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from e2e.test_head_start import ARCHITECTURE, copy_without_pooling, from_published, published_in
from e2e.test_pretrain import recipe, write_corpus
from span_data import write_spans
from training_runs import built, ready, write_data

from custom_bert import train_model
from custom_bert.model_files.native import load_model
from custom_bert.rules import choices


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_in(tmp_path_factory.mktemp("published"), **{"model.num_hidden_layers": 3})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "data")


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, 1),
        ({"task": "multi_label"}, 1),
        ({"optim.freeze_layers": 0}, 0),
        ({"optim.freeze_layers": 2}, 2),
        ({"optim.head_init": "contrast"}, 0),
        ({"optim.pretrain_epochs": 1}, 0),
        ({"model.init_from": "scratch"}, 0),
        ({"preset": "legacy"}, 0),
    ],
)
def test_a_third_of_the_layers_keep_their_weights_unless_something_changes_all(
    data: Path, published: Path, changes: dict[str, Any], layers: int
) -> None:
    assert ready(from_published(data, None, published, **changes)).plan.config.optim.freeze_layers == layers


def test_much_text_trains_all_layers(data: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "FREEZE_UP_TO", 1000)
    assert ready(from_published(data, None, published)).plan.config.optim.freeze_layers == 0


def test_a_checkpoint_that_was_not_made_for_mean_vectors_trains_all_layers(
    data: Path, published: Path, tmp_path: Path
) -> None:
    copy_without_pooling(published, tmp_path)
    plan = ready(from_published(data, None, tmp_path)).plan
    reasons = {choice.name: choice.reason for choice in plan.choices}
    assert plan.config.optim.freeze_layers == 0
    assert reasons["optim.freeze_layers"].endswith("does not say that it was made for mean vectors")


def test_spans_are_learned_in_all_layers(published: Path, tmp_path: Path) -> None:
    spans = write_spans(tmp_path / "data")
    files = {f"data.{name}_spans": str(spans / f"{name}.conll") for name in ("train", "val")}
    found = ready({"task": "tokens", **files, "model.init_from": str(published)})
    assert found.plan.config.optim.freeze_layers == 0


def test_masked_language_modelling_goes_on_in_all_layers(published: Path, tmp_path: Path) -> None:
    config = recipe(
        write_corpus(tmp_path / "corpus"), tmp_path / "run", **{"model.init_from": str(published)}
    )
    found = ready({name: value for name, value in config.items() if name not in ARCHITECTURE})
    assert found.plan.config.optim.freeze_layers == 0


def test_what_is_frozen_keeps_every_bit_and_the_rest_learns(
    data: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = from_published(data, tmp_path / "run", published)
    before = built(ready(from_published(data, None, published))).model.state_dict()
    train_model(config)
    assert "; the upper 2 of 3 layers learn\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["optim.freeze_layers"] == 1
    after = load_model(tmp_path / "run").model.state_dict()
    frozen = ("encoder.embeddings.", "encoder.layers.0.")
    for name, tensor in after.items():
        if name.startswith(frozen):
            assert torch.equal(tensor, before[name]), name
    assert all(
        not torch.equal(tensor, before[name])
        for name, tensor in after.items()
        if name.startswith("encoder.layers.") and not name.startswith(frozen)
    )
