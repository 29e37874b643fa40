"""Timed steps count what they read."""

from pathlib import Path

import pytest
from training_runs import settings, write_data

from custom_bert.bench.steps import time_steps
from custom_bert.config_sources import from_mapping
from custom_bert.training.prepare import prepare


def test_tokens_are_those_of_the_texts_and_rows_those_of_the_batches(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=90, val=30)
    changes = {"batch.plan": "padded", "batch.batch_size": 10, "optim.token_dropout": 0.3, "optim.epochs": 1}
    prepared = prepare(from_mapping(settings(data, None, **changes)), print)
    found = time_steps(prepared, tokens=10**9, warm=2)
    assert found.steps == 9 - 2
    assert found.rows == 70 * prepared.max_length
    assert found.tokens < found.texts < found.rows
    whole = int(prepared.train.lengths_N.sum())
    assert found.texts == pytest.approx(whole * 70 / 90, rel=0.1) and found.seconds > 0
    one = time_steps(prepared, tokens=1, warm=2)
    assert one.steps == 1
