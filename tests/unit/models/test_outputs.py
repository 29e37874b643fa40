"""Evaluations round weights once for all batches, and leave nothing behind."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from custom_bert.batch import Batch, Targets
from custom_bert.config import ModelConfig
from custom_bert.errors import UserError
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outputs import outputs_of, rows_in_order
from custom_bert.precision import MixedPrecision, casts_kept
from custom_bert.presets import encoder_config
from custom_bert.tasks import classification
from custom_bert.training.evaluation import measure
from custom_bert.training.plan import RunPlan
from custom_bert.training.step import ALONE

CPU = torch.device("cpu")
BATCHES = [
    Batch.build([np.arange(5, 5 + n) for n in lengths]) for lengths in ((3, 4), (7,), (5, 5, 6), (12, 2))
]


def classifier() -> SequenceClassifier:
    torch.manual_seed(0)
    wishes = ModelConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
    config = encoder_config(
        "custom", wishes, vocab_size=60, pad_token_id=0, max_length=16, default_shape=(0, 0)
    )
    return SequenceClassifier(config, 3)


class Rounded(TorchDispatchMode):
    """Counts how often a matrix of the MLPs is rounded."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._to_copy.default and args[0].shape == (48, 32):
            self.count += 1
        return func(*args, **(kwargs or {}))


def outputs(model: SequenceClassifier) -> list[torch.Tensor]:
    autocast = MixedPrecision("bf16", CPU).autocast
    with casts_kept():
        return [output for _, output in outputs_of(model, BATCHES, device=CPU, autocast=autocast)]


def test_weights_are_rounded_once_for_all_batches() -> None:
    model = classifier()
    with Rounded() as rounded:
        found = outputs(model)
    assert rounded.count == 2, "once a layer"
    with torch.no_grad(), MixedPrecision("bf16", CPU).autocast():
        assert all((x == model.eval()(b).float()).all() for b, x in zip(BATCHES, found, strict=True))


def evaluated(model: SequenceClassifier) -> Any:
    labelled = [replace(b, targets=Targets(torch.zeros(b.num_texts).long())) for b in BATCHES]
    plan = SimpleNamespace(task=classification.Classification(("a", "b", "c")), device=CPU)
    autocast = MixedPrecision("bf16", CPU).autocast
    return measure(model, labelled, cast(RunPlan, plan), ALONE, autocast)


def test_an_evaluation_rounds_weights_once() -> None:
    with Rounded() as rounded:
        evaluated(classifier())
    assert rounded.count == 2


def test_an_evaluation_that_fails_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that stayed rounded would be those of every later step."""
    monkeypatch.setattr(classification, "cross_entropy_sum", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as held:
        evaluated(classifier())
    assert held.tb is not None
    assert torch.autocast_increment_nesting() == 1 and torch.autocast_decrement_nesting() == 0


def test_what_is_learned_between_evaluations_counts() -> None:
    model = classifier()
    before = outputs(model)
    with torch.no_grad():
        model.encoder.layers[0].mlp.up.weight.mul_(3)  # type: ignore[union-attr]
    assert all((x != y).any() for x, y in zip(before, outputs(model), strict=True))


def test_an_evaluation_that_is_left_early_keeps_nothing() -> None:
    model = classifier()
    first = next(outputs_of(model, BATCHES, device=CPU, autocast=MixedPrecision("bf16", CPU).autocast))
    with torch.no_grad():
        model.encoder.layers[0].mlp.up.weight.mul_(3)  # type: ignore[union-attr]
    assert (outputs(model)[0] != first[1]).any()
    assert torch.autocast_increment_nesting() == 1 and torch.autocast_decrement_nesting() == 0


class Limited:
    """A model for which a batch of more than some rows finds no memory."""

    def __init__(self, model: SequenceClassifier, most: int) -> None:
        self.model, self.most, self.seen = model, most, list[int]()
        self.training = False

    def train(self, mode: bool) -> None:
        self.model.train(mode)

    def eval(self) -> None:
        self.model.eval()

    def __call__(self, batch: Batch) -> torch.Tensor:
        self.seen.append(batch.num_rows)
        if batch.num_rows > self.most:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return cast(torch.Tensor, self.model(batch))


def test_a_batch_without_memory_is_computed_in_halves_to_the_same_outputs() -> None:
    indexed = [
        replace(batch, indices=np.arange(first, first + batch.num_texts))
        for batch, first in zip(BATCHES, (0, 2, 3, 6), strict=True)
    ]
    model = classifier().eval()
    whole = rows_in_order(outputs_of(model, indexed, device=CPU), 8)()
    limited = Limited(model, 12)
    halves = rows_in_order(outputs_of(cast(Any, limited), indexed, device=CPU), 8)()
    assert np.abs(whole - halves).max() <= 1e-6
    assert limited.seen == [7, 7, 16, 5, 5, 6, 12, 2], "later batches are divided before they fail"
    with pytest.raises(UserError, match="a text of 12 tokens does not fit into memory"):
        list(outputs_of(cast(Any, Limited(model, 11)), BATCHES[3:], device=CPU))


def test_what_runs_out_of_something_else_is_not_taken_for_memory() -> None:
    def broken(batch: Batch) -> torch.Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    model = classifier()
    model.forward = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="illegal"):
        list(outputs_of(model, BATCHES, device=CPU))
