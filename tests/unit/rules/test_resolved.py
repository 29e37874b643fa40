"""A resolved configuration waits for no decision, and making one changes nothing in the process."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from training_runs import ready, settings, write_data

from custom_bert.config import TrainConfig, field_types, to_flat
from custom_bert.config_sources import from_mapping
from custom_bert.rules.resolved import decided, resolved
from custom_bert.training.prepare import prepare

VALUES = {
    "out": "a directory named by settings and data",
    "data.tokenizer": "a vocabulary is trained",
    "data.cache_dir": "the usual place",
    "model.size": "width and depth are given",
    "data.table": "the data is in files",
    "data.val_table": "rows are set aside",
    "data.test_table": "there is no test data",
    "data.text_column": "guessed by its name",
    "data.second_text_column": "texts are no pairs",
    "data.label_column": "guessed by its name",
    "data.split_column": "all rows train",
    "data.group_column": "rows have no groups",
    "data.encoding": "UTF-8",
    "data.label_order": "the order of the numbers",
    "batch.batch_size": "no limit",
    "optim.eval_every": "by shares of the time",
    "optim.max_minutes": "no limit",
    "optim.patience": "never",
    "runtime.attention": "the rule is asked by every forward pass, as evaluation has another precision",
    "runtime.checkpoint_every": "by the time",
    "runtime.log_every": "about a hundred in a run",
}
"""Settings that a resolved configuration may leave at None, and the value that None is there."""


def test_every_setting_is_decided_or_has_none_as_a_value() -> None:
    optional = {name for name, kind in field_types().items() if type(None) in get_args(kind)}
    assert {*decided()} | VALUES.keys() == optional and not {*decided()} & VALUES.keys()


def test_what_is_not_decided_is_a_fault_that_names_it() -> None:
    with pytest.raises(AssertionError, match=r"not decided: .*optim\.lr"):
        resolved(TrainConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {"model.init_from": "scratch"},
        {"preset": "legacy"},
        {"task": "masked_lm"},
        {"preset": "modern"},
        {},  # starts from the default checkpoint where that is installed
    ],
)
def test_every_run_has_a_resolved_configuration(tmp_path: Path, changes: dict[str, str]) -> None:
    data = write_data(tmp_path / "data", train=800, val=20)
    corpus = {"data.corpus": [str(data / "train_dataset.txt")]} if "task" in changes else {}
    small = settings(data, None, **changes, **corpus)
    plain = {k: v for k, v in small.items() if k.startswith(("data.", "task", "preset", "model.init"))}
    flat = to_flat(ready(plain).config)
    assert not [name for name in decided() if flat[name] is None]


def test_deciding_changes_nothing_in_the_process(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=60, val=20)

    def state() -> list[object]:
        return [
            torch.get_num_threads(),
            torch.get_rng_state().tolist(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_default_dtype(),
            np.random.get_state()[1].tolist(),  # type: ignore[index, union-attr]
            random.getstate(),
            dict(os.environ),
        ]

    before = state()
    config = settings(data, None, **{"runtime.threads": 1 + before[0] % 2, "runtime.deterministic": True})  # type: ignore[operator]
    draft, _ = prepare(from_mapping(config), lambda line: None)
    draft.final()
    assert state() == before
