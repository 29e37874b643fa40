"""Keeps steps within the memory that there is.

The memory of a step is estimated before the first one, because a system that runs out of memory kills the
process. If an allocator refuses all the same, batches are halved. The result is the same but for dropout's
draws, for rounding, and because each part of a batch predicts at least one masked token.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from custom_bert import machine
from custom_bert.batch import Batch
from custom_bert.errors import ConfigError, UserError
from custom_bert.training.phases import Phase, Step, text_too_long
from custom_bert.training.plan import Material, RunPlan, epoch_batches
from custom_bert.training.ranks import Ranks
from custom_bert.training.state import State
from custom_bert.training.state_tensors import random_state, restore_random
from custom_bert.training.step import StepResult, Totals, train_step

SHARE = 0.9
"""The share of the memory that a run may take by its own estimate."""

BYTES = 16
"""The bytes that a parameter takes: its value, its gradient and AdamW's two moments, in fp32."""

LOGIT_BYTES, R_DROP_BYTES = 16, 10
"""The bytes that one logit of a text takes, as measured: value, logarithmic softmax and their gradients in
fp32; and the bytes that R-Drop adds."""


def halvings_needed(plan: RunPlan, material: Material, ranks: Ranks) -> int:
    """Returns how often batches have to be halved so that the largest fits into memory, by estimate.

    Raises:
        ConfigError: if the model alone does not fit.
    """
    encoder, config, memory = plan.encoder, plan.config, machine.free_memory_of(plan.device)
    outputs = plan.task.num_outputs
    fixed = BYTES * encoder.num_parameters(outputs)
    if config.runtime.shard:
        fixed //= ranks.world
    room = SHARE * memory - fixed
    if room <= 0:
        raise ConfigError(
            [
                f"model.size: weights, gradients and moments take {fixed / 1e9:.1f} GB of the "
                f"{memory / 1e9:.1f} GB that are free; choose a smaller one"
            ]
        )
    lengths_N = material.train.lengths_N
    batches = epoch_batches(material.train, config, config.seed, 0, None)
    several = [indices for indices in batches if len(indices) > 1]  # one text cannot be divided
    copies = 2 if config.optim.r_drop and outputs else 1
    # with many classes and short texts, logits take more than all layers together
    logits_N = outputs * material.train.windows_of_texts()
    per_logit = LOGIT_BYTES + (R_DROP_BYTES if config.optim.r_drop else 0)

    def taken(indices: np.ndarray) -> int:
        padded = config.batch.plan == "padded"
        rows = len(indices) * config.data.max_length if padded else int(lengths_N[indices].sum())
        own = rows * encoder.bytes_per_row + int(logits_N[indices].sum()) * per_logit
        return copies * -(-own // ranks.world)

    largest = max(map(taken, several), default=encoder.bytes_per_row)
    return max(0, math.ceil(math.log2(largest / room)))


def step_within_memory(
    state: State,
    phase: Phase,
    step: Step,
    model: nn.Module,
    *,
    device: torch.device,
    clip_norm: float,
    warn: Callable[[str], None],
    totals: Totals | None = None,
) -> StepResult:
    """Runs `train_step`. If memory runs out, runs it again from the same random state with the batches
    halved, and halves batches from then on.

    Args:
        state: the state of the run, which holds how often batches are halved.
        phase: the phase. Its optimizer has its moments already, so that memory can run out in forward and
            backward passes only, which change no weights.
        step: the step, with batches on the CPU.
        model: the phase's model, as `Ranks.parallel` returned it.
        device: the device of the model.
        clip_norm: the largest gradient norm.
        warn: prints a warning about a halving.
        totals: the sums over the batches of all ranks, if these have exchanged them already.

    Raises: UserError: if a single text does not fit, or if there are several ranks, which cannot agree on
        halving.
    """
    while True:
        batches = halved(phase, step, state.progress.halvings)
        before = random_state(device)
        try:
            return train_step(
                model,
                phase.optimizer,
                batches,
                phase.objective,
                precision=state.precision,
                clip_norm=clip_norm,
                ranks=state.ranks,
                totals=totals,
            )
        except (MemoryError, RuntimeError) as error:
            if not machine.is_out_of_memory(error):
                raise
            if state.ranks.world > 1:
                raise UserError(
                    f"a batch of {sum(b.num_rows for b in batches):,} tokens does not fit into memory; lower "
                    f"batch.token_budget, or raise batch.accumulation"
                ) from error
        # out of the handler, whose frames hold the tensors that there was no room for
        phase.optimizer.zero_grad(set_to_none=True)
        restore_random(before, device)
        state.precision.forget()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        rows = max(batch.num_rows for batch in batches)
        if all(len(np.unique(batch.indices)) == 1 for batch in batches):
            raise text_too_long(rows)
        state.progress.halvings += 1
        warn(f"a batch of {rows:,} tokens does not fit into memory; from now on batches are halved")


def halved(phase: Phase, step: Step, times: int) -> list[Batch]:
    """Returns the step's batches, each divided into up to 2 ** `times` parts."""
    if not times:
        return step.microbatches
    parts = []
    for batch in step.microbatches:
        # each example once, in the batch's order: with R-Drop a batch has each twice, and building makes the
        # copies
        _, first = np.unique(batch.indices, return_index=True)
        examples = batch.indices[np.sort(first)]
        count = min(len(examples), 2**times)
        parts += [phase.build(part, step.drawn_in) for part in np.array_split(examples, count)]
    return parts
