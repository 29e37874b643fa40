"""A model over batches without gradients: its outputs as they stream by, or in input order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch


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


def rows_in_order(outputs: Iterable[tuple[Batch, Tensor]], count: int) -> np.ndarray:
    """(count, K) rows, row i for the example with index i."""
    rows: np.ndarray | None = None
    for batch, output_NK in outputs:
        values = output_NK.cpu().numpy()
        if rows is None:
            rows = np.empty((count, values.shape[1]), dtype=np.float32)
        rows[batch.indices] = values
    return np.empty((0, 0), dtype=np.float32) if rows is None else rows
