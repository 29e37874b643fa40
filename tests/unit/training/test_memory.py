"""Memory is budgeted before the first step, and where it runs out, batches are halved."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import Ready, built, ready, settings, write_data

from custom_bert import machine, train_model
from custom_bert.errors import ConfigError, UserError
from custom_bert.tasks.classification import Classification
from custom_bert.training import loop, memory
from custom_bert.training.phases import steps_of
from custom_bert.training.step import ALONE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("memory") / "data", train=90, val=30)


def prepared(data: Path, **changes: Any) -> Ready:
    return ready(settings(data, None, **changes))


def test_what_fits_is_not_halved_and_what_does_not_is_halved_until_it_does(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = prepared(data)
    assert memory.halvings_needed(*one, ALONE) == 0
    fixed = memory.BYTES * one.encoder.num_parameters(3)
    plan = one.epoch_plan(0, 0, None)
    largest = max(int(one.train.lengths_N[indices].sum()) for indices in plan)
    step = largest * one.encoder.bytes_per_row
    for share, halvings in ((1.01, 0), (0.99, 1), (0.26, 2), (0.24, 3)):
        monkeypatch.setattr(machine, "memory_of", lambda _, s=share: int((fixed + s * step) / memory.SHARE))
        assert memory.halvings_needed(*one, ALONE) == halvings
    monkeypatch.setattr(machine, "memory_of", lambda _: fixed)
    with pytest.raises(ConfigError, match=r"model\.size: weights, gradients and moments take"):
        memory.halvings_needed(*one, ALONE)


def test_logits_of_many_classes_count(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = prepared(data)
    task = Classification(tuple(map(str, range(65_536))))
    many = few._replace(plan=replace(few.plan, task=task))
    fixed = memory.BYTES * many.encoder.num_parameters(65_536)
    plan = many.epoch_plan(0, 0, None)
    logits = memory.LOGIT_BYTES * 65_536 * max(map(len, plan))
    rows = max(int(many.train.lengths_N[indices].sum()) for indices in plan) * many.encoder.bytes_per_row
    assert logits > 10 * rows
    for room, halvings in ((logits + rows, 0), (0.99 * logits, 1), (0.4 * logits, 2)):
        monkeypatch.setattr(machine, "memory_of", lambda _, r=room: int((fixed + r) / memory.SHARE) + 1)
        assert memory.halvings_needed(*many, ALONE) == halvings


def test_a_run_that_does_not_fit_is_told_and_trains_in_parts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"model.hidden_dropout": 0.0}
    train_model(settings(data, tmp_path / "whole", **changes))
    monkeypatch.setattr(loop, "halvings_needed", lambda *_: 2)
    train_model(settings(data, tmp_path / "parts", **changes))
    told = "the largest batches do not fit into memory; each is computed in 4 parts"
    assert told in capsys.readouterr().out
    whole, parts = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


@pytest.mark.parametrize("changes", [{}, {"optim.r_drop": 1.0, "model.hidden_dropout": 0.1}])
def test_halves_hold_the_same_examples_once(data: Path, changes: dict[str, Any]) -> None:
    one = prepared(data, **changes)
    state = built(one)
    for step in steps_of(state.phases[0]):
        for times in (1, 2, 9):
            parts = memory.halved(state.phases[0], step, times)
            assert len(parts) > len(step.microbatches) or all(len(set(b.indices)) == 1 for b in parts)
            found, wanted = (
                np.concatenate([b.indices for b in batches]) for batches in (parts, step.microbatches)
            )
            assert sorted(found) == sorted(wanted)
            assert sum(b.num_tokens for b in parts) == sum(b.num_tokens for b in step.microbatches)


def test_allocators_are_told_from_other_errors() -> None:
    cpu = RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"
    )
    assert machine.is_out_of_memory(cpu) and machine.is_out_of_memory(MemoryError())
    assert machine.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not machine.is_out_of_memory(RuntimeError("expected scalar type Float"))


def test_a_text_that_does_not_fit_alone_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(memory, "train_step", fail)
    with pytest.raises(
        UserError, match=r"a text of \d+ tokens does not fit into memory; lower data\.max_length"
    ):
        train_model(settings(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_other_errors_keep_their_traceback(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("expected scalar type Float")

    monkeypatch.setattr(memory, "train_step", fail)
    with pytest.raises(RuntimeError, match="scalar type"):
        train_model(settings(data, tmp_path / "run"))
