"""Runs a model over batches without gradients, and puts the outputs into the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.errors import UserError
from custom_bert.machine import is_out_of_memory
from custom_bert.precision import fp32_products


def outputs_of(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[tuple[Batch, Tensor]]:
    """Yields each batch with the model's output in fp32: (N, K), or (M, K) for the M rows of its targets.

    The model is in evaluation mode meanwhile. Afterwards it is in the mode that it was in, and all its parts
    with it. If memory runs out, the batch is computed in halves, and so are later ones of its size; the
    results are the same.

    Args:
        model: maps a `Batch` to (N, K): logits, or vectors, of each text.
        batches: on any device.
        device: where the model is.
        autocast: returns the context of a forward pass; by default passes compute in fp32.

    Raises:
        UserError: if a single text does not fit into memory.
    """
    was_training = model.training
    if was_training:  # a walk over all modules, which takes as long as a small model's layers
        model.eval()
    try:
        most = None
        for whole in batches:
            waiting = [whole]
            while waiting:
                batch = waiting.pop(0)
                if most is not None and batch.num_rows > most and batch.num_texts > 1:
                    waiting[:0] = batch.halves()
                    continue
                computed = _computed(model, batch, device, autocast)
                if computed is None:
                    most = batch.num_rows // 2
                    waiting[:0] = _halves(batch, device)
                else:
                    yield computed
    finally:
        if was_training:
            model.train()


def _computed(
    model: nn.Module,
    batch: Batch,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
) -> tuple[Batch, Tensor] | None:
    """Returns the batch on the device and the model's output, (N, K) in fp32; None if memory has run out."""
    try:
        batch = batch.to(device)
        with torch.no_grad(), fp32_products(device.type, tf32=False), autocast():
            output_NK: Tensor = model(batch)
        return batch, output_NK.float()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _halves(batch: Batch, device: torch.device) -> tuple[Batch, Batch]:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if batch.num_texts == 1:
        raise UserError(
            f"a text of {batch.num_rows:,} tokens does not fit into memory; a smaller data.max_length helps, "
            "or a device with more memory"
        )
    return batch.halves()


def rows_in_order(outputs: Iterable[tuple[Batch, Tensor]], count: int) -> Callable[[], np.ndarray]:
    """Has all batches computed, and returns what reads their outputs, once for all of them.

    A GPU may still be computing them until then, so that the host can do something else meanwhile.

    Args:
        outputs: batches with their outputs, as `outputs_of` yields them.
        count: the number of examples.

    Returns:
        A function that returns (count, K) fp32, where row i belongs to the example with index i. Without
        batches it is (0, 0).
    """
    parts = [(batch.indices, output_NK) for batch, output_NK in outputs]

    def read() -> np.ndarray:
        if not parts:
            return np.empty((0, 0), dtype=np.float32)
        values = torch.cat([output_NK for _, output_NK in parts]).cpu().numpy()
        rows = np.empty((count, values.shape[1]), dtype=np.float32)
        rows[np.concatenate([indices for indices, _ in parts])] = values
        return rows

    return read
