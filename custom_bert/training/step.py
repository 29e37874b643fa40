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
from custom_bert.training.optim import AdamW
from custom_bert.training.ranks import Ranks, whole, without_exchange

ALONE = Ranks()
"""The ranks of a run in one process."""


@dataclass(frozen=True)
class StepResult:
    """The measures of a step. Tensors are still on the device, so that the host does not wait for them.

    Attributes:
        loss: the mean loss of the step's targets.
        grad_norm: the norm of all gradients together, before clipping.
        skipped: 1 if loss or norm is not finite, so that the step left weights and moments as they were; 0
            otherwise.
        tokens, rows: the number of tokens and of rows in the step's batches, of all ranks.
        empty: whether no batch of any rank held a target. Then nothing was computed, and the loss is nan.
    """

    loss: Tensor
    grad_norm: Tensor
    skipped: Tensor
    tokens: int
    rows: int
    empty: bool = False


@dataclass(frozen=True)
class Totals:
    """Sums over the batches of a step.

    Attributes:
        weight: by which the sum of the losses is divided: the number of targets, or the sum of their weights.
        tokens, rows: the number of tokens and of rows.
    """

    weight: Tensor | float
    tokens: int
    rows: int

    def numbers(self) -> tuple[float, float, float]:
        """Returns the sums as plain numbers, for an exchange between ranks."""
        return float(self.weight), self.tokens, self.rows

    @staticmethod
    def of(numbers: Sequence[float]) -> Totals:
        """Returns the sums that `numbers` had returned, added up over ranks."""
        weight, tokens, rows = numbers
        return Totals(weight, int(tokens), int(rows))


def totals_of(microbatches: Sequence[Batch], objective: Objective) -> Totals:
    """Returns the sums over the batches of a process, but for stand-ins, which count for nothing."""
    own = [batch for batch in microbatches if not batch.stands_in]
    weight: Tensor | float = sum((objective.weight(targets_of(batch)) for batch in own), 0.0)
    return Totals(weight, sum(batch.num_tokens for batch in own), sum(batch.num_rows for batch in own))


def train_step(
    model: nn.Module,
    optimizer: AdamW,
    microbatches: Sequence[Batch],
    objective: Objective,
    *,
    precision: MixedPrecision,
    clip_norm: float,
    ranks: Ranks = ALONE,
    totals: Totals | None = None,
) -> StepResult:
    """Runs forward and backward passes over the microbatches, clips the gradients, and updates the weights.

    The loss of every microbatch is divided by the count of the whole step, so that the way in which examples
    are divided among microbatches and ranks changes nothing but memory. If the loss or the norm is not
    finite, the update does nothing; the device decides that, so that the host never waits for it. There is no
    update either if the step holds no target, as in pretraining on texts without an ordinary token.

    Args:
        model: maps a `Batch` to what the objective reads; with several ranks, what `Ranks.parallel` returned.
        optimizer: the optimizer, whose gradients are cleared afterwards.
        microbatches: batches with targets, on the host or on the model's device, to which they are moved.
            Their weights are added up where they are: on the host no device has to be waited for.
        objective: the loss.
        precision: autocast and loss scaling.
        clip_norm: the largest gradient norm.
        ranks: the processes that take part.
        totals: the sums over the batches of all ranks; None to exchange them here.
    """
    device = next(model.parameters()).device
    if totals is None:
        totals = totals_of(microbatches, objective)
        if ranks.world > 1:
            totals = Totals.of(ranks.totals(*totals.numbers()))
    total, tokens, rows = totals.weight, totals.tokens, totals.rows
    # a mean over nothing is no number; a total on a device is not looked at, which would wait for the device
    if isinstance(total, float) and total == 0:
        nothing = torch.zeros((), device=device)
        return StepResult(nothing / 0, nothing, nothing, tokens, rows, empty=True)
    losses = []
    with precision.products():
        for i, batch in enumerate(microbatches, start=1):
            batch = batch.to(device)
            with nullcontext() if i == len(microbatches) else without_exchange(model):
                with precision.autocast():
                    output = model(batch)
                loss = objective.loss_sum(output, targets_of(batch)) / total
                if batch.stands_in:
                    loss = 0 * loss
                # the exchange takes the mean of the ranks' gradients, and their sum is needed
                precision.scaler.scale(loss * ranks.world).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
    loss = ranks.total(torch.stack(losses).sum())
    precision.scaler.unscale_(optimizer)  # type: ignore[arg-type]  # it reads the groups alone
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    grad_norm = whole(nn.utils.get_total_norm(gradients, foreach=True))
    skipped = (~(loss + grad_norm).isfinite()).float()
    optimizer.divisor, optimizer.skip = (grad_norm / clip_norm).clamp(min=1).float(), skipped
    optimizer.step()  # the scaler's own `step` would decide anew whether to skip, by the gradients alone
    precision.scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(loss, grad_norm, skipped, tokens, rows)


def targets_of(batch: Batch) -> Targets:
    """Returns the targets of a batch for training, which has some."""
    assert batch.targets is not None, "training needs targets"
    return batch.targets
