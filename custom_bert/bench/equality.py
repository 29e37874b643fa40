"""Proof that a switch changes speed and memory only: the same examples, the same loss and gradients.

Each proof gives the largest relative difference over all tensors, |a - b| / |b| in the 2-norm, between the
recipe with the switch on and with it off, and the bound that it has to keep. In fp64 where the switch exists
there; mixed precision is held against the rounding of its own type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from custom_bert.batch import Batch
from custom_bert.bench.speed import VOCABULARY, build_model
from custom_bert.bench.switches import LEGACY, Improvement, Switches
from custom_bert.bench.workloads import AG_NEWS, SyntheticTexts
from custom_bert.config import ModelConfig
from custom_bert.data.batching import plan_batches
from custom_bert.models.heads import SequenceClassifier
from custom_bert.precision import MixedPrecision
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.training.compile import compile_layers
from custom_bert.training.step import targets_of

EXAMPLES = 24
HALF_BOUND = 0.05
"""bf16 rounds to 2 ** -9; through a few layers and their gradients less than this is left."""


@dataclass(frozen=True)
class Proof:
    """One comparison.

    Attributes:
        what: compared with what, and in which precision.
        difference: the largest relative one.
        bound: what it has to stay below.
    """

    what: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the difference is a number within the bound."""
        return self.difference <= self.bound


def prove(improvement: Improvement, device: str) -> Proof | None:
    """The proof for an improvement, or None for those that change what is learned."""
    pre = replace(LEGACY, norm="pre")
    off = replace(pre, **{improvement.field: improvement.off})
    on = replace(pre, **{improvement.field: improvement.on})
    if improvement.changes_learning:
        return None
    if improvement.field == "precision":
        difference = _difference(on, off, device, torch.float32)
        return Proof(f"{improvement.on} against fp32: loss and gradients", difference, HALF_BOUND)
    exact = improvement.field != "compile"
    dtype, bound = (torch.float64, 1e-10) if exact else (torch.float32, 1e-5)
    name = "fp64" if exact else "fp32"
    return Proof(f"on against off in {name}: loss and gradients", _difference(on, off, device, dtype), bound)


def _difference(on: Switches, off: Switches, device: str, dtype: torch.dtype) -> float:
    found, wanted = (_loss_and_gradients(s, torch.device(device), dtype) for s in (on, off))
    assert found.keys() == wanted.keys()
    worst = 0.0
    for name, tensor in wanted.items():
        size = float(tensor.norm())
        # a gradient that is zero in exact arithmetic (the keys' bias) has no relative size
        scale = size if size > 1e-6 * math.sqrt(tensor.numel()) else 1.0
        difference = float((found[name] - tensor).norm()) / scale
        worst = max(worst, difference) if math.isfinite(difference) else math.inf
    return worst


def _loss_and_gradients(switches: Switches, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Of the same examples under every recipe, whatever batches its plan makes of them."""
    with _seeded():
        model = build_model(switches, AG_NEWS.max_length, ModelConfig(size="tiny", hidden_dropout=0.0))
    model = model.to(device, dtype).train()
    if switches.compile:
        compile_layers(model.encoder)
    precision = MixedPrecision(switches.precision, device)
    objective, total = CrossEntropy(), torch.zeros((), dtype=torch.float64, device=device)
    for batch in _batches(switches, device):
        with precision.autocast():
            logits = model(batch)
        loss = objective.loss_sum(logits, targets_of(batch)) / EXAMPLES
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return {"loss": total, **_gradients(model)}


def _gradients(model: SequenceClassifier) -> dict[str, Tensor]:
    return {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}


def _batches(switches: Switches, device: torch.device) -> Iterator[Batch]:
    texts = SyntheticTexts(AG_NEWS.lengths(EXAMPLES), VOCABULARY)
    builder = texts.builder()
    plan = plan_batches(texts.lengths_N, switches.plan, token_budget=512, batch_size=8, seed=0, epoch=0)
    for indices in plan:
        yield builder.build(indices, switches.plan, AG_NEWS.max_length).to(device)


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
