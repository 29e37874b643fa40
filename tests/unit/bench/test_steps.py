"""Timed steps count what they read."""

from pathlib import Path

import pytest
import torch
from training_runs import examples, ready, settings, write_data

from custom_bert.bench import steps
from custom_bert.bench.steps import time_steps
from custom_bert.models.encoder import Encoder
from custom_bert.training.step import StepResult, train_step


def test_tokens_are_those_of_the_texts_and_rows_those_of_the_batches(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=90, val=30)
    changes = {"batch.plan": "padded", "batch.batch_size": 10, "optim.token_dropout": 0.3, "optim.epochs": 1}
    prepared = ready(settings(data, None, **changes), print)
    found = time_steps(*prepared, tokens=10**9, warm=2)
    assert found.steps == 9 - 2
    assert found.rows == 70 * prepared.config.data.max_length
    assert found.tokens < found.texts < found.rows
    whole = int(prepared.train.lengths_N.sum())
    assert found.texts == pytest.approx(whole * 70 / 90, rel=0.1) and found.seconds > 0
    one = time_steps(*prepared, tokens=1, warm=2)
    assert one.steps == 1
    with pytest.raises(ValueError, match="makes 9 steps, and the first 9 are not timed"):
        time_steps(*prepared, tokens=1, warm=9)


def test_masked_language_modelling_is_timed_without_dropout_as_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(examples(300, seed=1)[0]))
    changes = {
        "task": "masked_lm",
        "data.corpus": [str(tmp_path / "text.txt")],
        "model.hidden_dropout": 0.2,
    }
    changes |= {"data.cache_dir": str(tmp_path / "cache"), "batch.token_budget": 64, "model.size": "tiny"}
    prepared = ready(changes, print)
    dropped = []

    def note(model: torch.nn.Module, *args: object, **kwargs: object) -> StepResult:
        encoder = model.encoder
        assert isinstance(encoder, Encoder)
        dropped.append((encoder.embeddings.dropout.p, *(layer.dropout.p for layer in encoder.layers)))
        return train_step(model, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "train_step", note)
    time_steps(*prepared, tokens=1, warm=1)
    assert dropped and set().union(*dropped) == {0.0}
