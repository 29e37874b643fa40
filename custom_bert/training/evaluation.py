"""Evaluations of a run, in which all ranks take part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.attention_kernels import KERNELS
from custom_bert.batch import Batch, Targets
from custom_bert.data.batching import EVALUATION_PADDING, EVALUATION_ROWS, by_length, texts_at_once
from custom_bert.data.loader import BatchBuilder, prefetch
from custom_bert.models.heads import thresholds_of
from custom_bert.models.outputs import outputs_of
from custom_bert.precision import casts_kept
from custom_bert.reports.measures import measured
from custom_bert.tasks.parts import Gathering, Measured
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.ranks import Ranks

Autocast = Callable[[], AbstractContextManager[object]]


def in_words(evaluation: Measured) -> str:
    """Returns the numbers of an evaluation as one line."""
    shown = [f"{measure.words} {value:.4f}" for measure, value in measured(evaluation.numbers)]
    return "  ".join([*shown, f"loss {evaluation.loss:.4f}"])


def evaluation_batches(
    examples: BatchBuilder, plan: RunPlan, material: Material, ranks: Ranks
) -> Iterator[Batch]:
    """Yields the batches of this rank's share of some examples, longest first. If the task hides tokens, the
    same ones are hidden in every evaluation.

    All ranks get the same number of batches, because a model that is divided among them computes only if all
    take part. A rank that has one less gets a stand-in, which counts for nothing.
    """
    most = texts_at_once(plan.task.num_outputs)
    batches = by_length(examples.lengths_N, EVALUATION_ROWS[plan.device.type], most)
    own = [(indices, False) for indices in batches[ranks.rank :: ranks.world]]
    own += [(batches[0], True)] * (-(-len(batches) // ranks.world) - len(own))
    kernel = plan.config.runtime.attention
    padding = 0.0 if kernel and KERNELS[kernel].needs_flash else EVALUATION_PADDING
    masker = plan.task.measuring(plan.config, material.tokenizer).masker

    def build(item: tuple[np.ndarray, bool]) -> Batch:
        indices, stands_in = item
        batch = examples.build_for_evaluation(indices, padding=padding)
        batch = batch if masker is None else masker.mask(batch, epoch=0)
        return replace(batch, stands_in=True) if stands_in else batch

    return prefetch(own, build)


@casts_kept()
def measure(
    model: nn.Module,
    batches: Iterable[Batch],
    plan: RunPlan,
    ranks: Ranks,
    autocast: Autocast = nullcontext,
    *,
    kept_NK: Tensor | None = None,
) -> Measured:
    """Evaluates a model; every rank has to call this.

    Args:
        model: the model.
        batches: this rank's batches.
        plan: the plan of the run.
        ranks: the processes that evaluate a share each.
        autocast: makes the context of a forward pass; the default computes in fp32.
        kept_NK: (N, K) on the CPU, whose row of each of this rank's examples becomes the model's output; None
            to keep no outputs.

    Returns:
        The measures of all ranks' batches together, the same at every rank.
    """
    scorer = plan.task.scorer(thresholds_of(model))
    for indices, outputs, targets in _answers(model, batches, plan, autocast):
        scorer.add(outputs, targets)
        if kept_NK is not None:
            kept_NK[indices] = outputs.cpu()
    return scorer.measured(Gathering(ranks.total, ranks.joined))


def measure_and_keep(
    model: nn.Module, batches: Iterable[Batch], plan: RunPlan, ranks: Ranks, count: int
) -> tuple[Measured, np.ndarray]:
    """Evaluates a model in fp32, and keeps its outputs; every rank has to call this.

    Returns:
        What `measure` returns, and (count, K) fp32 the outputs in the order of the examples, of which there
        are `count`.
    """
    kept_NK = torch.zeros(count, plan.task.num_outputs)
    measured = measure(model, batches, plan, ranks, kept_NK=kept_NK)
    return measured, ranks.total(kept_NK).numpy()  # each row is of one rank, and zero at the others


@casts_kept()
def choose(
    model: nn.Module, batches: Iterable[Batch], plan: RunPlan, ranks: Ranks, autocast: Autocast = nullcontext
) -> None:
    """Has the task choose what the model needs beside its weights, such as thresholds, by examples that are
    set aside for that. See `measure` for the arguments; every rank has to call this."""
    answers = ((outputs, targets) for _, outputs, targets in _answers(model, batches, plan, autocast))
    plan.task.choose(model, answers, Gathering(ranks.total, ranks.joined))


def _answers(
    model: nn.Module, batches: Iterable[Batch], plan: RunPlan, autocast: Autocast
) -> Iterator[tuple[np.ndarray, Tensor, Targets]]:
    """Yields the indices of the examples of each batch, the model's outputs in fp32 and the targets, but for
    stand-ins."""
    for batch, outputs in outputs_of(model, batches, device=plan.device, autocast=autocast):
        if not batch.stands_in:  # the model has computed it all the same, as the other ranks need
            assert batch.targets is not None, "an evaluation needs targets"
            yield batch.indices, outputs, batch.targets
