"""One optimizer step: a free function that the loop, the golden-loss test and the benchmarks call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.ops.losses import cross_entropy_sum, r_drop_sum, target_weight
from custom_bert.precision import MixedPrecision
from custom_bert.torch_internals import scale_next_step
from custom_bert.training.ranks import Ranks, whole, without_exchange

ALONE = Ranks()
"""One process."""


class Objective(Protocol):
    """What a step minimises: a sum over targets, and what the whole step's sum is divided by."""

    def loss_sum(self, output: Tensor, batch: Batch) -> Tensor:
        """Sum of the losses of a batch's targets, given the model's output."""

    def weight(self, batch: Batch) -> Tensor | float:
        """The batch's part of the normaliser."""


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of the label of each text.

    Attributes:
        class_weights_C: weight of each class's examples; None for 1.
        label_smoothing: mass spread over all classes.
        r_drop: weight of R-Drop's divergence, as the paper has it; 0 for none. Otherwise the batch holds
            each text twice, the copies side by side.
    """

    class_weights_C: Tensor | None = None
    label_smoothing: float = 0.0
    r_drop: float = 0.0

    def loss_sum(self, output: Tensor, batch: Batch) -> Tensor:
        """`output` is logits, (N, C)."""
        assert batch.labels_N is not None, "training needs labels"
        loss = cross_entropy_sum(
            output,
            batch.labels_N,
            class_weights_C=self.class_weights_C,
            label_smoothing=self.label_smoothing,
        )
        if self.r_drop:
            apart = r_drop_sum(output, batch.labels_N, class_weights_C=self.class_weights_C)
            loss = loss + self.r_drop / 2 * apart
        return loss

    def weight(self, batch: Batch) -> Tensor | float:
        """Texts, or the sum of their classes' weights."""
        assert batch.labels_N is not None, "training needs labels"
        return target_weight(batch.labels_N, self.class_weights_C)


@dataclass(frozen=True)
class MaskedLanguage:
    """Cross-entropy of each masked token."""

    def loss_sum(self, output: Tensor, batch: Batch) -> Tensor:
        """`output` is that sum; see `MaskedLanguageModel`."""
        assert output.dim() == 0, "the model is not in training mode"
        return output

    def weight(self, batch: Batch) -> float:
        """Masked tokens."""
        assert batch.targets_M is not None, "the batch has no masked tokens"
        return float(len(batch.targets_M))


@dataclass(frozen=True)
class StepResult:
    """What a step measured, still on the device so that nothing waits for it.

    Attributes:
        loss: mean over the step's targets.
        grad_norm: of all gradients together, before clipping.
        skipped: 1 where loss or norm is not finite, so that the step left weights and moments alone; else 0.
        tokens, rows: of the step's batches, of all ranks.
        empty: whether no batch of any rank held a target; then nothing was computed, and the loss is nan.
    """

    loss: Tensor
    grad_norm: Tensor
    skipped: Tensor
    tokens: int
    rows: int
    empty: bool = False


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    microbatches: Sequence[Batch],
    objective: Objective,
    *,
    precision: MixedPrecision,
    clip_norm: float,
    ranks: Ranks = ALONE,
) -> StepResult:
    """Forward and backward over the microbatches, clipping, and the update.

    The loss of every microbatch is divided by the count of the whole step, so that how examples are
    divided among microbatches and ranks changes nothing but memory. Where the loss or the norm is not finite,
    the update does nothing; the device decides that by itself, so that the host never waits for it. Nor is
    there an update where the step holds no target, as in pretraining on texts without an ordinary token.

    Args:
        model: maps a `Batch` to what the objective wants; of several ranks, as `Ranks.parallel` gives it.
        optimizer: a fused one, which takes what the gradients are to be divided by, and whether to skip, as
            tensors; its gradients are cleared afterwards.
        microbatches: with targets, on the model's device.
        objective: the loss.
        precision: autocast and loss scaling.
        clip_norm: largest gradient norm.
        ranks: the processes that take part.
    """
    own = [batch for batch in microbatches if not batch.stands_in]
    tokens, rows = sum(batch.num_tokens for batch in own), sum(batch.num_rows for batch in own)
    total: Tensor | float = sum((objective.weight(batch) for batch in own), 0.0)
    if ranks.world > 1:
        total, all_tokens, all_rows = ranks.totals(float(total), tokens, rows)
        tokens, rows = int(all_tokens), int(all_rows)
    if isinstance(total, float) and total == 0:  # a mean over nothing is no number
        nothing = torch.zeros((), device=own[0].input_ids_T.device if own else None)
        return StepResult(nothing / 0, nothing, nothing, tokens, rows, empty=True)
    losses = []
    for i, batch in enumerate(microbatches, start=1):
        with nullcontext() if i == len(microbatches) else without_exchange(model):
            with precision.autocast():
                output = model(batch)
            loss = objective.loss_sum(output, batch) / total
            if batch.stands_in:
                loss = 0 * loss
            # gradients become the mean over the ranks, and shall be the sum
            precision.scaler.scale(loss * ranks.world).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    loss = ranks.total(torch.stack(losses).sum())
    precision.scaler.unscale_(optimizer)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    grad_norm = whole(nn.utils.get_total_norm(gradients, foreach=True))
    skipped = (~(loss + grad_norm).isfinite()).float()
    scale_next_step(optimizer, (grad_norm / clip_norm).clamp(min=1).float(), skipped)
    precision.scaler.step(optimizer)
    precision.scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(loss, grad_norm, skipped, tokens, rows)
