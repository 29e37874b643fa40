"""Runs a model over batches without gradients, and puts the outputs into the order of the inputs."""

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
    """Yields each batch with the model's output, (N, K) in fp32.

    The model is in evaluation mode meanwhile. Afterwards it is in the mode that it was in, and all its parts
    with it.

    Args:
        model: maps a `Batch` to (N, K): logits, or vectors, of each text.
        batches: on any device.
        device: where the model is.
        autocast: returns the context of a forward pass; by default passes compute in fp32.
    """
    was_training = model.training
    if was_training:  # a walk over all modules, which takes as long as a small model's layers
        model.eval()
    try:
        for batch in batches:
            batch = batch.to(device)
            with torch.no_grad(), autocast():
                output_NK = model(batch)
            yield batch, output_NK.float()
    finally:
        if was_training:
            model.train()


def rows_in_order(outputs: Iterable[tuple[Batch, Tensor]], count: int) -> np.ndarray:
    """Returns (count, K) fp32, where row i belongs to the example with index i. Without batches it is (0, 0).

    Args:
        outputs: batches with their outputs, as `outputs_of` yields them.
        count: the number of examples.
    """
    rows: np.ndarray | None = None
    for batch, output_NK in outputs:
        values = output_NK.cpu().numpy()
        if rows is None:
            rows = np.empty((count, values.shape[1]), dtype=np.float32)
        rows[batch.indices] = values
    return np.empty((0, 0), dtype=np.float32) if rows is None else rows
