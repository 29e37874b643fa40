"""A model over batches without gradients: outputs in input order, and metrics as they stream by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.metrics import ConfusionMatrix, Scores
from custom_bert.ops.losses import cross_entropy_sum
from custom_bert.precision import casts_kept


@dataclass(frozen=True)
class Evaluation:
    """Metrics and the mean cross-entropy (unweighted, unsmoothed) of a split."""

    scores: Scores
    loss: float


def outputs_of(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[tuple[Batch, Tensor]]:
    """Each batch with the model's output (N, K) in fp32, in evaluation mode; the model's mode is put back.

    Args:
        model: maps a `Batch` to (N, K): logits, or vectors, of each text.
        batches: on any device.
        device: where the model is.
        autocast: makes the context of a forward pass; fp32 by default.
    """
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            batch = batch.to(device)
            with torch.no_grad(), autocast():
                output_NK = model(batch)
            yield batch, output_NK.float()
    finally:
        model.train(was_training)


@casts_kept()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    num_labels: int,
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
    joined: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> Evaluation:
    """Metrics of labelled batches. See `outputs_of`.

    Args:
        total: sums counts over the processes that evaluate a part each.
        joined: appends the rows of these processes to each other; how many a process has may differ.
    """
    matrix = ConfusionMatrix(num_labels)
    loss, examples = torch.zeros((), dtype=torch.float64, device=device), 0
    for batch, logits_NC in outputs_of(model, batches, device=device, autocast=autocast):
        if batch.stands_in:
            continue
        assert batch.labels_N is not None, "evaluation needs labels"
        loss += cross_entropy_sum(logits_NC, batch.labels_N)
        examples += batch.num_texts
        matrix.add(batch.labels_N.cpu().numpy(), logits_NC.argmax(-1).cpu().numpy())
    loss_and_examples = total(torch.tensor([float(loss), examples], dtype=torch.float64)).tolist()
    of_all = ConfusionMatrix(num_labels)
    of_all.add(*joined(torch.from_numpy(matrix.pairs())).numpy().T)
    return Evaluation(of_all.scores(), loss_and_examples[0] / max(loss_and_examples[1], 1))


@dataclass(frozen=True)
class MaskedEvaluation:
    """Of hidden tokens.

    Attributes:
        loss: mean cross-entropy, in nats a token.
        accuracy: share of them that are predicted.
        targets: how many.
    """

    loss: float
    accuracy: float
    targets: int

    @property
    def perplexity(self) -> float:
        """exp(loss): the pseudo-perplexity of the text under this masking (Salazar et al. 2020, arXiv
        1910.14659, who hide one token at a time)."""
        return math.exp(min(self.loss, 700.0))


@casts_kept()
def evaluate_masked(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
) -> MaskedEvaluation:
    """Of batches with masked tokens. See `outputs_of` and `evaluate`."""
    loss, right = torch.zeros(2, dtype=torch.float64, device=device).unbind(0)
    targets = 0
    for batch, logits_MV in outputs_of(model, batches, device=device, autocast=autocast):
        if batch.stands_in:
            continue
        assert batch.targets_M is not None, "evaluation needs masked tokens"
        loss += cross_entropy_sum(logits_MV, batch.targets_M)
        right += (logits_MV.argmax(-1) == batch.targets_M).sum()
        targets += len(batch.targets_M)
    counts = total(torch.tensor([float(loss), float(right), targets], dtype=torch.float64)).tolist()
    return MaskedEvaluation(counts[0] / max(counts[2], 1), counts[1] / max(counts[2], 1), int(counts[2]))


def rows_in_order(outputs: Iterable[tuple[Batch, Tensor]], count: int) -> np.ndarray:
    """(count, K) rows, row i for the example with index i."""
    rows: np.ndarray | None = None
    for batch, output_NK in outputs:
        values = output_NK.cpu().numpy()
        if rows is None:
            rows = np.empty((count, values.shape[1]), dtype=np.float32)
        rows[batch.indices] = values
    return np.empty((0, 0), dtype=np.float32) if rows is None else rows
