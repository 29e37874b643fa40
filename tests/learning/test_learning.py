"""It learns: memorises what it is given, learns nothing from shuffled labels, and drops out in training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import examples, settings, write_data, write_lines

from custom_bert import train_model
from custom_bert.batch import Batch
from custom_bert.config import ModelConfig
from custom_bert.models.heads import SequenceClassifier
from custom_bert.presets import encoder_config


@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_thirty_two_lines_are_memorised(tmp_path: Path, preset: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    texts, _ = examples(32)
    labels = [f"label {i % 4}" for i in np.random.Generator(np.random.PCG64(0)).permutation(32)]
    for split in ("train", "val"):
        write_lines(data / f"{split}_dataset.txt", texts)
        write_lines(data / f"{split}_labels.txt", labels)
    result = train_model(
        settings(
            data,
            tmp_path / "run",
            preset=preset,
            **{"optim.epochs": 60, "model.hidden_dropout": 0.0, "batch.batch_size": 8},
        )
    )
    assert result.accuracy == 1.0


def test_what_is_learned_holds_for_new_texts_and_shuffled_labels_teach_nothing(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    assert train_model(settings(data, tmp_path / "run")).accuracy >= 0.95
    labels = (data / "train_labels.txt").read_text().split("\n")[:-1]
    shuffled = [labels[i] for i in np.random.Generator(np.random.PCG64(5)).permutation(len(labels))]
    write_lines(data / "train_labels.txt", shuffled)
    control = train_model(settings(data, tmp_path / "control"))
    assert control.scores is not None
    last = control.scores.counts_CC.diagonal().sum() / control.scores.examples
    assert last <= 0.6  # chance is 0.33; the kept weights are the best of several evaluations


def test_pretraining_lowers_the_loss_of_masked_tokens(tmp_path: Path) -> None:
    import json

    data = write_data(tmp_path / "data")
    train_model(
        settings(
            data, tmp_path / "run", **{"optim.pretrain_epochs": 6, "optim.epochs": 1, "runtime.log_every": 1}
        )
    )
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "pretrain"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("preset", ["legacy", "custom", "modern"])
def test_dropout_is_live_in_training_and_dead_in_evaluation(preset: str) -> None:
    config = encoder_config(
        preset,  # type: ignore[arg-type]
        ModelConfig(hidden_dropout=0.5),
        vocab_size=50,
        pad_token_id=0,
        max_length=16,
        default_shape=(64, 2),
    )
    model = SequenceClassifier(config, 3)
    batch = Batch.build([np.arange(5, 15), np.arange(7, 12)])
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_attention_dropout_is_live_in_training_and_dead_in_evaluation() -> None:
    config = encoder_config(
        "legacy",
        ModelConfig(hidden_dropout=0.0, attention_dropout=0.5),
        vocab_size=50,
        pad_token_id=0,
        max_length=16,
        default_shape=(64, 2),
    )
    model = SequenceClassifier(config, 3)
    batch = Batch.build([np.arange(5, 15)])
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))
