"""Timing of the product's own training steps on prepared data, for comparisons with other trainers."""

from __future__ import annotations

import time
from dataclasses import dataclass

from custom_bert.machine import wait_for
from custom_bert.training.build import build
from custom_bert.training.log import Reporter
from custom_bert.training.optim import set_lr
from custom_bert.training.phases import steps_of
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.step import ALONE, train_step


@dataclass(frozen=True)
class Timed:
    """What was measured in some steps of a run's last phase.

    Attributes:
        texts: tokens of the steps' texts, including those that token dropout leaves out.
        tokens: tokens that the steps computed.
        rows: rows of the steps' batches, including padding and filler.
        steps: the number of timed steps.
        seconds: the time that they took.
        parameters: the number of the model's parameters.
        ready_seconds: the time from the start to the first step: building and compiling the model.
        planned: tokens of the texts of the whole phase, all epochs together.
    """

    texts: int
    tokens: int
    rows: int
    steps: int
    seconds: float
    parameters: int
    ready_seconds: float
    planned: int


def time_steps(plan: RunPlan, material: Material, *, tokens: int, warm: int) -> Timed:
    """Trains for some steps, without evaluations, logs or checkpoints.

    Args:
        plan: what is trained, and how.
        material: the data that it is trained on.
        tokens: the number of tokens of texts after which timing ends.
        warm: the number of first steps that are not timed.

    Raises:
        ValueError: if the data ends before a step is timed.
    """
    begun = time.perf_counter()
    state = build(plan, material, ALONE, Reporter(silent=True))
    ready = time.perf_counter() - begun
    phase, device = state.phases[-1], plan.device
    phase.begin()
    texts = read = rows = count = 0
    for count, step in enumerate(steps_of(phase), start=1):
        set_lr(phase.optimizer, 1e-4)  # any rate will do: the time of a step does not depend on it
        train_step(
            phase.model,
            phase.optimizer,
            [batch.to(device) for batch in step.microbatches],
            phase.objective,
            precision=state.precision,
            clip_norm=1.0,
        )
        if count > warm:
            texts += sum(int(material.train.lengths_N[batch.indices].sum()) for batch in step.microbatches)
            read += sum(batch.num_tokens for batch in step.microbatches)
            rows += sum(batch.num_rows for batch in step.microbatches)
        if count == warm:
            wait_for(device)
            begun = time.perf_counter()
        if texts >= tokens:
            break
    if count <= warm:
        raise ValueError(f"the data makes {count} steps, and the first {warm} are not timed")
    wait_for(device)
    seconds = time.perf_counter() - begun
    parameters = sum(parameter.numel() for parameter in phase.model.parameters())
    planned = int(material.train.lengths_N.sum()) * phase.epochs
    return Timed(texts, read, rows, count - warm, seconds, parameters, ready, planned)
