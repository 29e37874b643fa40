"""Computes a model's outputs for texts: in batches of similar length, and back in input order.

Shapes: N texts, K outputs of the model for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import LongTexts, Precision
from custom_bert.data.batching import EVALUATION_ROWS, by_length
from custom_bert.data.loader import BatchBuilder, prefetch
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.errors import warn_caller
from custom_bert.models.encoder import Encoder
from custom_bert.models.outputs import outputs_of, rows_in_order
from custom_bert.openmp import about_to_compute
from custom_bert.ops.attention import plan_ahead
from custom_bert.ops.kernels import has_flash
from custom_bert.precision import MixedPrecision


def prepare_threads() -> None:
    """Has to be called before anything is computed: a forked process has lost its threads, and is warned."""
    lost = about_to_compute()
    if lost:
        warn_caller(lost)


def compute(model: nn.Module, tokenizer: TextTokenizer, texts: Sequence[str], **how: Any) -> np.ndarray:
    """Returns (N, K) fp32 outputs; row i belongs to text i. See `begin` for the arguments."""
    return begin(model, tokenizer, texts, **how)()


def begin(
    model: nn.Module,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    max_length: int,
    long_texts: LongTexts = "head",
    device: torch.device,
    precision: Precision = "fp32",
    unknown: UnknownText,
) -> Callable[[], np.ndarray]:
    """Has a model compute its outputs for texts, and returns what reads them: (N, K) fp32, row i of text i.

    For a GPU, batches are built in a thread, and the host does not wait for the outputs until they are read.

    Args:
        model: maps a `Batch` to (N, K) outputs.
        tokenizer: the model's tokenizer.
        texts: at least one text.
        max_length: the number of tokens that are kept of a text, or of each of its windows.
        long_texts: what becomes of a longer text.
        device: where the model is.
        precision: the number format of matrix products.
        unknown: counts the text that the vocabulary does not know.
    """
    encoded = tokenizer.encode(texts, max_length, long_texts)
    unknown.add(encoded)
    window = max_length if long_texts == "windows" else None
    builder = BatchBuilder(encoded, np.arange(len(texts)), None, tokenizer.pad_id, window=window)
    return rows_in_order(computed(model, builder, device, precision), len(texts))


def computed(
    model: nn.Module, builder: BatchBuilder, device: torch.device, precision: Precision
) -> Iterator[tuple[Batch, Tensor]]:
    """Yields the batches of all examples of a builder, in an order by length, with the model's outputs.

    For a GPU, batches are built in a thread.

    Args:
        model: the model.
        builder: builds the batches.
        device: where the model is.
        precision: the number format of matrix products.
    """
    gpu, flash = device.type == "cuda", precision != "fp32" and has_flash(device, _head_width(model))
    ahead = partial(plan_ahead, kernel=None, flash=flash) if gpu and not flash else None
    builder = replace(builder, pin_memory=gpu, ahead=ahead)
    # flash attention has no padding, and needs no blocks
    build = partial(builder.build_for_evaluation, padding=0.0) if flash else builder.build_for_evaluation
    plan = by_length(builder.lengths_N, EVALUATION_ROWS[device.type])
    batches = prefetch(plan, build) if gpu else map(build, plan)
    autocast = MixedPrecision(precision, device).autocast
    return outputs_of(model, batches, device=device, autocast=autocast)


def _head_width(model: nn.Module) -> int:
    """Returns the width of the attention heads of a model; 0 if it has no encoder."""
    encoder = next((module for module in model.modules() if isinstance(module, Encoder)), None)
    return 0 if encoder is None else encoder.config.head_dim
