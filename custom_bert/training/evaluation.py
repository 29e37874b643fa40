"""Evaluations of a run: what is measured of labels and of masked tokens, in one form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from custom_bert.batch import Batch
from custom_bert.data.batching import EVALUATION_PADDING, EVALUATION_ROWS, by_length, texts_at_once
from custom_bert.data.loader import prefetch
from custom_bert.metrics import Scores
from custom_bert.models.evaluate import evaluate, evaluate_masked
from custom_bert.training.phases import masker
from custom_bert.training.prepare import Prepared


@dataclass(frozen=True)
class Measured:
    """An evaluation.

    Attributes:
        loss: mean cross-entropy.
        metric: by which the best weights are chosen; the higher, the better.
        numbers: for metrics.jsonl and run.json, by name.
        scores: of labels; None of masked tokens.
    """

    loss: float
    metric: float
    numbers: dict[str, float]
    scores: Scores | None = None

    @property
    def words(self) -> str:
        """For a person."""
        known = {"accuracy": "accuracy", "macro_f1": "macro-F1", "perplexity": "perplexity"}
        shown = [f"{known[name]} {value:.4f}" for name, value in self.numbers.items()]
        return "  ".join([*shown, f"loss {self.loss:.4f}"])


def validation_batches(prepared: Prepared) -> Iterator[Batch]:
    """This rank's share of the validation rows, longest first; of running text with the same masks each time.

    All ranks have as many batches: a divided model computes together.
    """
    ranks, most = prepared.ranks, texts_at_once(len(prepared.labels))
    plan = by_length(prepared.val.lengths_N, EVALUATION_ROWS[prepared.device.type], most)
    own = [(indices, False) for indices in plan[ranks.rank :: ranks.world]]
    own += [(plan[0], True)] * (-(-len(plan) // ranks.world) - len(own))
    padding = 0.0 if prepared.config.runtime.attention == "varlen" else EVALUATION_PADDING
    masked = masker(prepared, prepared.config.seed) if prepared.config.objective == "masked_lm" else None

    def build(item: tuple[np.ndarray, bool]) -> Batch:
        indices, stands_in = item
        batch = prepared.val.build_for_evaluation(indices, padding=padding)
        batch = batch if masked is None else masked.mask(batch, epoch=0)
        return replace(batch, stands_in=True) if stands_in else batch

    return prefetch(own, build)


def measure(
    model: nn.Module,
    batches: Iterable[Batch],
    prepared: Prepared,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Measured:
    """Evaluates validation batches; in fp32 without `autocast`."""
    ranks = prepared.ranks
    options: dict[str, Any] = {"device": prepared.device, "autocast": autocast, "total": ranks.total}
    if prepared.config.objective == "masked_lm":
        found = evaluate_masked(model, batches, **options)
        assert found.targets, "read() refuses held-out texts without a token to hide"
        numbers = {"accuracy": found.accuracy, "perplexity": found.perplexity}
        return Measured(found.loss, 1 / found.perplexity, numbers)  # which accuracy follows with more noise
    labelled = evaluate(model, batches, len(prepared.labels), joined=ranks.joined, **options)
    scores = labelled.scores
    numbers = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
    return Measured(labelled.loss, numbers[prepared.config.optim.metric], numbers, scores)
