"""A phase of a run: what is trained, on what, for how long. Pretraining and the task share one loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from custom_bert import machine
from custom_bert.batch import Batch
from custom_bert.data.loader import prefetch
from custom_bert.errors import UserError
from custom_bert.models.encoder import Encoder
from custom_bert.precision import MixedPrecision
from custom_bert.tasks.task import Learning, Objective, PhaseName
from custom_bert.training.optim import make_optimizer, share_by_depth
from custom_bert.training.plan import Material, RunPlan, epoch_batches
from custom_bert.training.ranks import Ranks


@dataclass(frozen=True)
class Phase:
    """One pass of the loop.

    Attributes:
        name: pretrain or train; the kind of its records in metrics.jsonl.
        model: maps a batch to the objective's output.
        optimizer: of the model's parameters.
        objective: the loss.
        epochs: passes over the training split.
        lr: peak learning rate.
        dropout: whether the encoder's dropout is on.
        accumulation: batches of an optimizer step.
        plan: epoch -> the example indices of each of its batches.
        build: (example indices, epoch) -> the batch of this rank's share of them, called in the loader's
            thread.
        evaluates: whether evaluations during the phase choose the weights that the run keeps.
    """

    name: PhaseName
    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    epochs: int
    lr: float
    dropout: bool
    accumulation: int
    plan: Callable[[int], list[np.ndarray]]
    build: Callable[[np.ndarray, int], Batch]
    evaluates: bool

    def begin(self) -> None:
        """Switches the encoder's dropout on or off, as the phase has it."""
        encoder = self.model.encoder
        assert isinstance(encoder, Encoder)
        config, on = encoder.config, float(self.dropout)
        encoder.set_dropout(on * config.hidden_dropout, on * config.attention_dropout)


@dataclass(frozen=True)
class Step:
    """One optimizer step's batches, and where in its phase it stands once it is done.

    Attributes:
        microbatches: on the CPU.
        drawn_in: the pass that they belong to, from 0.
        epochs_done, steps_done: whole passes of the phase, and steps of the pass after those.
        progress: share of the phase.
        epoch: passes over the data.
        last: whether the phase ends with it.
    """

    microbatches: list[Batch]
    drawn_in: int
    epochs_done: int
    steps_done: int
    progress: float
    epoch: float
    last: bool


def make_phase(
    name: PhaseName, model: nn.Module, learning: Learning, plan: RunPlan, material: Material, ranks: Ranks
) -> Phase:
    """A phase that trains a model.

    Args:
        name: of the phase.
        model: that is trained.
        learning: how.
        plan: of the run.
        material: what is learned from.
        ranks: the processes that train.
    """
    config, transform = plan.config, learning.transform

    def build(indices: np.ndarray, epoch: int) -> Batch:
        own, counts = ranks.share(indices)
        batch = material.train.build(
            own, config.batch.plan, config.data.max_length, transform=transform, epoch=epoch
        )
        return batch if counts else replace(batch, stands_in=True)

    return Phase(
        name=name,
        model=model,
        optimizer=make_optimizer(
            model,
            lr=learning.lr,
            weight_decay=config.optim.weight_decay,
            share=share_by_depth(
                plan.encoder.num_hidden_layers, learning.layer_lr_decay, learning.embedding_lr_factor
            ),
        ),
        objective=learning.objective,
        epochs=learning.epochs,
        lr=learning.lr,
        dropout=learning.dropout,
        accumulation=config.batch.accumulation,
        plan=lambda epoch: epoch_batches(
            material.train, config, learning.seed, epoch, transform.token_dropout
        ),
        build=build,
        evaluates=learning.evaluates,
    )


def total_steps(phase: Phase) -> int:
    """Optimizer steps of the phase, if all passes have as many batches as the first; with token dropout or
    packed batches another may have a few more or less."""
    return phase.epochs * -(-len(phase.plan(0)) // phase.accumulation)


def steps_of(phase: Phase, epochs_done: int = 0, steps_done: int = 0) -> Iterator[Step]:
    """The phase's optimizer steps in order; batches are prepared ahead by a thread.

    Args:
        phase: what is trained.
        epochs_done, steps_done: whole passes, and steps of the pass after those, that are left out; that
            takes no time.
    """
    size = phase.accumulation
    for epoch in range(epochs_done, phase.epochs):
        plan = phase.plan(epoch)
        count = -(-len(plan) // size)
        begin, steps_done = steps_done, 0
        batches = prefetch(plan[begin * size :], lambda indices, epoch=epoch: phase.build(indices, epoch))  # type: ignore[misc]
        for index in range(begin, count):
            # as the batches of the pass are counted, of which the last step may have fewer
            done = epoch + (index + 1) / count
            ends = index == count - 1
            yield Step(
                [next(batches) for _ in range(min(size, len(plan) - index * size))],
                drawn_in=epoch,
                epochs_done=epoch + ends,
                steps_done=0 if ends else index + 1,
                progress=done / phase.epochs,
                epoch=done,
                last=epoch == phase.epochs - 1 and ends,
            )


def estimate_seconds(
    phase: Phase, plan: RunPlan, material: Material, precision: MixedPrecision, parts: int = 1
) -> float:
    """Expected time of a phase, from one batch's forward and backward pass; leaves no trace.

    Args:
        phase: what is trained.
        plan: of the run.
        material: what is learned from.
        precision: of the passes.
        parts: in which a batch is computed.
    """
    first_epoch, lengths_N = phase.plan(0), material.train.lengths_N
    # the padded plan costs by texts, the others by tokens
    costs_N = np.ones_like(lengths_N) if plan.config.batch.plan == "padded" else lengths_N
    costs = [int(costs_N[indices].sum()) for indices in first_epoch]
    batches = sum(costs) / costs[0]
    while True:
        try:
            _, seconds = time_passes(
                phase, plan.device, precision, 2, parts
            )  # the first pays for allocations
            return seconds * parts * batches * phase.epochs * OVERHEAD
        except (MemoryError, RuntimeError) as error:
            if not machine.is_out_of_memory(error):
                raise
            if parts >= len(first_epoch[0]):
                raise text_too_long(int(lengths_N[first_epoch[0]].max())) from None
        phase.optimizer.zero_grad(set_to_none=True)
        parts *= 2


def text_too_long(tokens: int) -> UserError:
    """For a text that does not fit into memory by itself."""
    return UserError(
        f"a text of {tokens:,} tokens does not fit into memory; lower data.max_length or model.size"
    )


def time_passes(
    phase: Phase, device: torch.device, precision: MixedPrecision, count: int, parts: int = 1
) -> list[float]:
    """Seconds of each of `count` forward and backward passes of a phase's first batch, or of the first of its
    parts; leaves no trace."""
    phase.begin()
    indices = phase.plan(0)[0]
    batch = phase.build(indices[: -(-len(indices) // parts)], 0).to(device)
    assert batch.targets is not None
    on_gpu = [device] if device.type == "cuda" else []
    seconds = []
    with torch.random.fork_rng(devices=on_gpu):
        for _ in range(count):
            begun = time.perf_counter()
            with precision.autocast():
                output = phase.model(batch)
            phase.objective.loss_sum(output, batch.targets).backward()  # type: ignore[no-untyped-call]
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
    phase.optimizer.zero_grad(set_to_none=True)
    return seconds


OVERHEAD = 1.2
"""Optimizer and evaluations, on top of the passes that `estimate_seconds` times."""
