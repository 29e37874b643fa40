"""A phase of a run: what is trained, on which batches, and for how long. Pretraining and the task are phases
of the same form, so that one loop trains both."""

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
from custom_bert.tasks.parts import Learning, Objective, PhaseName
from custom_bert.training.optim import AdamW, make_optimizer, share_by_depth
from custom_bert.training.plan import Material, RunPlan, epoch_batches
from custom_bert.training.ranks import Ranks


@dataclass(frozen=True)
class Phase:
    """A part of a run with its own model, loss and plan.

    Attributes:
        name: pretrain or train; also the kind of its records in metrics.jsonl.
        model: maps a batch to the output that the objective reads.
        optimizer: the optimizer of the model's parameters.
        objective: the loss.
        epochs: the number of epochs.
        lr: the peak learning rate.
        dropout: whether the encoder's dropout is on.
        accumulation: the number of batches in an optimizer step.
        plan: returns the batches of an epoch, each as example indices.
        build: builds the batch of this rank's share of some example indices in an epoch; it is called in the
            loader's thread.
        evaluates: whether evaluations during the phase choose the weights that the run keeps.
    """

    name: PhaseName
    model: nn.Module
    optimizer: AdamW
    objective: Objective
    epochs: int
    lr: float
    dropout: bool
    accumulation: int
    plan: Callable[[int], list[np.ndarray]]
    build: Callable[[np.ndarray, int], Batch]
    evaluates: bool

    def begin(self) -> None:
        """Switches the encoder's dropout on or off, as the phase wants it."""
        encoder = self.model.encoder
        assert isinstance(encoder, Encoder)
        config, on = encoder.config, float(self.dropout)
        encoder.set_dropout(on * config.hidden_dropout, on * config.attention_dropout)


@dataclass(frozen=True)
class Step:
    """The batches of one optimizer step, and how much of the phase is done after it.

    Attributes:
        microbatches: the batches, on the CPU.
        drawn_in: the epoch that they belong to, from 0.
        epochs_done, steps_done: the number of whole epochs, and of steps in the epoch after those.
        progress: the share of the phase.
        epoch: the number of epochs, with a fraction.
        last: whether the phase ends with this step.
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
    """Makes a phase.

    Args:
        name: the name of the phase.
        model: the model that is trained.
        learning: how it learns: the loss, the learning rates, and what becomes of the examples.
        plan: the plan of the run.
        material: the data.
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
    """Returns the number of optimizer steps of a phase, if all epochs have as many batches as the first. With
    token dropout or packed batches, other epochs may have a few more or less."""
    return phase.epochs * -(-len(phase.plan(0)) // phase.accumulation)


def steps_of(phase: Phase, epochs_done: int = 0, steps_done: int = 0) -> Iterator[Step]:
    """Yields the optimizer steps of a phase in order. A thread builds their batches ahead.

    Args:
        phase: the phase.
        epochs_done, steps_done: the number of whole epochs, and of steps in the epoch after those, to leave
            out. That takes no time, because a plan says what is in each batch.
    """
    size = phase.accumulation
    for epoch in range(epochs_done, phase.epochs):
        plan = phase.plan(epoch)
        count = -(-len(plan) // size)
        begin, steps_done = steps_done, 0
        batches = prefetch(plan[begin * size :], lambda indices, epoch=epoch: phase.build(indices, epoch))  # type: ignore[misc]
        for index in range(begin, count):
            done = epoch + (index + 1) / count  # in steps, of which the last one may have fewer batches
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
    """Returns the seconds that a phase will take, from the time of one batch's forward and backward pass.
    Model, optimizer and random generators stay as they are.

    Args:
        phase: the phase.
        plan: the plan of the run.
        material: the data.
        precision: the precision of the passes.
        parts: the number of parts in which a batch is computed.

    Raises:
        UserError: if a single text does not fit into memory.
    """
    first_epoch, lengths_N = phase.plan(0), material.train.lengths_N
    # the padded plan costs by texts, the others by tokens
    costs_N = np.ones_like(lengths_N) if plan.config.batch.plan == "padded" else lengths_N
    costs = [int(costs_N[indices].sum()) for indices in first_epoch]
    batches = sum(costs) / costs[0]
    while True:
        try:
            # of two passes the second counts, since the first allocates memory
            _, seconds = time_passes(phase, plan.device, precision, 2, parts)
            return seconds * parts * batches * phase.epochs * OVERHEAD
        except (MemoryError, RuntimeError) as error:
            if not machine.is_out_of_memory(error):
                raise
            if parts >= len(first_epoch[0]):
                raise text_too_long(int(lengths_N[first_epoch[0]].max())) from None
        phase.optimizer.zero_grad(set_to_none=True)
        parts *= 2


def text_too_long(tokens: int) -> UserError:
    """Makes the error for a text that does not fit into memory by itself."""
    return UserError(
        f"a text of {tokens:,} tokens does not fit into memory; lower data.max_length or model.size"
    )


def time_passes(
    phase: Phase, device: torch.device, precision: MixedPrecision, count: int, parts: int = 1
) -> list[float]:
    """Returns the seconds of each of `count` forward and backward passes of a phase's first batch, or of its
    first part. Model, optimizer and random generators stay as they are."""
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
                machine.wait_for(device)
            seconds.append(time.perf_counter() - begun)
    phase.optimizer.zero_grad(set_to_none=True)
    return seconds


OVERHEAD = 1.2
"""The time of a phase as a multiple of that of its passes: it includes the optimizer and evaluations."""
