"""Directories of older formats are starts of training and are exported, also with sinusoidal positions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_runs import settings, write_lines

from custom_bert import Classifier, train_model
from custom_bert.cli import main
from custom_bert.model_files.description import POSITIONS
from custom_bert.model_files.native import load_model

SHAPE = ("model.hidden_size", "model.num_hidden_layers", "model.num_attention_heads")


def sinusoidal(source: Path, target: Path) -> Path:
    """A directory as the format 2 has it, whose positions are computed and not stored."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("stable", "run.json"))
    described = json.loads((target / "config.json").read_text())
    task = described.pop("task")
    if task == "masked_lm":
        described |= {"objective": task}
        del described["long_texts"]
    described["format"], described["encoder"]["position"] = "custom-bert/2", "sinusoidal"
    (target / "config.json").write_text(json.dumps(described))
    for name in ("model.safetensors", "optimizer.safetensors"):
        if (target / name).exists():
            tensors = load_file(target / name)
            if "steps" in tensors:  # one for each parameter
                tensors["steps"] = tensors["steps"][1:].clone()
            save_file({n: t for n, t in tensors.items() if not n.endswith(POSITIONS)}, target / name)
    return target


def start(data: Path, source: Path, out: Path, **changes: Any) -> dict[str, Any]:
    found = {**settings(data, out), "model.init_from": str(source), "optim.epochs": 1, **changes}
    return {name: value for name, value in found.items() if name not in SHAPE}


@pytest.fixture(scope="module")
def older(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the preset custom, whose table of positions begins with a row for padding."""
    return sinusoidal(run, tmp_path_factory.mktemp("older") / "run")


def test_sinusoidal_positions_are_exported(
    older: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    assert main(["export", str(older), str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "RobertaPreLayerNormForSequenceClassification" in out and "verified with transformers" in out


def test_sinusoidal_positions_are_not_trained(
    data: Path, older: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_model(start(data, older, tmp_path / "run"))
    assert (
        "its positions are sinusoidal; they become a table, which is not trained" in capsys.readouterr().out
    )
    before, after = (load_model(path).model.state_dict() for path in (older, tmp_path / "run"))
    assert torch.equal(before[POSITIONS], after[POSITIONS])
    assert not torch.equal(
        before["encoder.layers.0.attn.qkv.weight"], after["encoder.layers.0.attn.qkv.weight"]
    )


def test_an_encoder_with_sinusoidal_positions_goes_on_with_its_moments(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "corpus.txt", [*(data / "train_dataset.txt").read_text().splitlines(), ""] * 2)
    unread = ("data.train_texts", "data.train_labels", "data.val_texts", "data.val_labels")
    unread += ("optim.token_dropout", "optim.r_drop", "optim.embedding_lr_factor", "optim.pretrain_epochs")
    recipe = {name: value for name, value in settings(data, tmp_path / "first").items() if name not in unread}
    recipe |= {"task": "masked_lm", "data.corpus": str(tmp_path / "corpus.txt"), "optim.schedule": "wsd"}
    recipe["data.val_fraction"] = 0.1
    train_model({**recipe, "optim.epochs": 2})
    stable = sinusoidal(tmp_path / "first" / "stable", tmp_path / "older")
    more = {**recipe, "out": str(tmp_path / "more"), "optim.epochs": 1, "model.init_from": str(stable)}
    train_model({name: value for name, value in more.items() if name not in SHAPE})
    assert "training goes on with the moments of AdamW" in capsys.readouterr().out
    before, after = (load_model(path).model.state_dict() for path in (stable, tmp_path / "more"))
    assert torch.equal(before[POSITIONS], after[POSITIONS])


def test_a_start_with_other_labels_leaves_the_thresholds_of_its_own_behind(
    data: Path, run: Path, tmp_path: Path
) -> None:
    train_model(start(data, run, tmp_path / "first", task="multi_label"))
    fewer = shutil.copytree(data, tmp_path / "fewer")
    for split in ("train", "val"):
        labels = (data / f"{split}_labels.txt").read_text().splitlines()
        write_lines(fewer / f"{split}_labels.txt", [label.replace("weather", "") for label in labels])
    train_model(start(fewer, tmp_path / "first", tmp_path / "second", task="multi_label"))
    assert Classifier.load(tmp_path / "second").labels == ("animals", "machines")
