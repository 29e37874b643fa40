"""One optimizer step: a free function that the loop, the golden-loss test and the benchmarks call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.precision import MixedPrecision
from custom_bert.tasks.parts import Objective
from custom_bert.torch_internals import scale_next_step
from custom_bert.training.ranks import Ranks, whole, without_exchange

ALONE = Ranks()
"""One process."""


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
    total: Tensor | float = sum((objective.weight(targets_of(batch)) for batch in own), 0.0)
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
            loss = objective.loss_sum(output, targets_of(batch)) / total
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


def targets_of(batch: Batch) -> Targets:
    """What is to be predicted of a batch that trains."""
    assert batch.targets is not None, "training needs targets"
    return batch.targets
