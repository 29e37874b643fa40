"""Proofs that a switch changes speed and memory only: the same examples give the same loss and gradients.

A proof holds the largest relative difference over all tensors, |a - b| / |b| in the 2-norm, between the
recipe with the switch on and with it off, and the bound that it has to keep. It is computed in fp64 where the
switch works there. The bound of mixed precision is that of its own rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from custom_bert import terminal
from custom_bert.batch import Batch
from custom_bert.bench.speed import VOCABULARY, build_model
from custom_bert.bench.switches import LEGACY, Improvement, Switches
from custom_bert.bench.workloads import AG_NEWS, SyntheticTexts
from custom_bert.config import ModelConfig
from custom_bert.data.batching import plan_batches
from custom_bert.models.heads import SequenceClassifier
from custom_bert.precision import MixedPrecision
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.training.compile import fuse
from custom_bert.training.step import targets_of

EXAMPLES = 24
"""Texts that are computed with both sides."""

HALF_BOUND = 0.05
"""bf16 rounds to 2 ** -9. Through a few layers and their gradients, the rounding errors stay below this."""


@dataclass(frozen=True)
class Proof:
    """One comparison.

    Attributes:
        what: what is compared, and in which precision.
        difference: the largest relative difference of a tensor.
        bound: the largest difference that is allowed.
    """

    what: str
    difference: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the difference is a number within the bound."""
        return self.difference <= self.bound


def prove(improvement: Improvement, device: str) -> Proof | None:
    """Compares an improvement on with off. Returns None for improvements that change what is learned."""
    pre = replace(LEGACY, norm="pre")  # the architecture of `custom`, for which the switches are made
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
    """The largest relative difference of the loss and of every gradient."""
    actual, wanted = (_loss_and_gradients(s, torch.device(device), dtype) for s in (on, off))
    assert actual.keys() == wanted.keys()
    worst = 0.0
    for name, tensor in wanted.items():
        size = float(tensor.norm())
        # a gradient that is zero in exact arithmetic (the keys' bias) has no relative size
        scale = size if size > 1e-6 * math.sqrt(tensor.numel()) else 1.0
        difference = float((actual[name] - tensor).norm()) / scale
        worst = max(worst, difference) if math.isfinite(difference) else math.inf
    return worst


def _loss_and_gradients(switches: Switches, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """The loss and the gradients, in fp64, of the same examples, however the recipe's plan divides them."""
    with _seeded():
        model = build_model(switches, AG_NEWS.max_length, ModelConfig(size="tiny", hidden_dropout=0.0))
    model = model.to(device, dtype).train()
    if switches.compile:
        fuse(model.encoder, device, terminal.complain)
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
    """Draws the same weights each time, and leaves the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
