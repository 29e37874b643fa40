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
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outputs import outputs_of
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
