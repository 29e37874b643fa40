"""One optimizer step: a free function that the loop, the golden-loss test and the benchmarks call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.ops.losses import cross_entropy_sum, target_weight
from custom_bert.training.precision import MixedPrecision


@dataclass(frozen=True)
class Objective:
    """What the loss is.

    Attributes:
        class_weights_C: weight of each class's examples; None for 1.
        label_smoothing: mass spread over all classes.
    """

    class_weights_C: Tensor | None = None
    label_smoothing: float = 0.0

    def loss_sum(self, logits_NC: Tensor, labels_N: Tensor) -> Tensor:
        """Sum over the examples; divide by the `weight` of the whole step."""
        return cross_entropy_sum(
            logits_NC,
            labels_N,
            class_weights_C=self.class_weights_C,
            label_smoothing=self.label_smoothing,
        )

    def weight(self, labels_N: Tensor) -> float:
        """The examples' share of the normaliser."""
        return target_weight(labels_N, self.class_weights_C)


@dataclass(frozen=True)
class StepResult:
    """What a step measured, still on the device so that nothing waits for it.

    Attributes:
        loss: mean over the step's examples.
        grad_norm: of all gradients together, before clipping.
    """

    loss: Tensor
    grad_norm: Tensor


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    microbatches: Sequence[Batch],
    objective: Objective,
    *,
    precision: MixedPrecision,
    clip_norm: float,
) -> StepResult:
    """Forward and backward over the microbatches, clipping, and the update.

    The loss of every microbatch is divided by the count of the whole step, so that how examples are
    divided among microbatches changes nothing but memory.

    Args:
        model: maps a `Batch` to logits (N, C).
        optimizer: its gradients are cleared afterwards.
        microbatches: with labels, on the model's device.
        objective: the loss.
        precision: autocast and loss scaling.
        clip_norm: largest gradient norm.
    """
    total = sum(objective.weight(_labels(batch)) for batch in microbatches)
    losses = []
    for batch in microbatches:
        with precision.autocast():
            logits_NC = model(batch)
        loss = objective.loss_sum(logits_NC, _labels(batch)) / total
        precision.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    precision.scaler.unscale_(optimizer)
    grad_norm = nn.utils.clip_grad_norm_(model.parameters(), clip_norm, foreach=True)
    precision.scaler.step(optimizer)
    precision.scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(torch.stack(losses).sum(), grad_norm)


def _labels(batch: Batch) -> Tensor:
    assert batch.labels_N is not None, "training needs labels"
    return batch.labels_N
