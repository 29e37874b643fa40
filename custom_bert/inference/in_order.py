"""Computes a model's outputs for texts: in batches of similar length, and back in input order.

Shapes: N texts, K outputs of the model for each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from custom_bert.config import LongTexts, Precision
from custom_bert.data.batching import EVALUATION_ROWS, by_length
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.errors import warn_caller
from custom_bert.models.outputs import outputs_of, rows_in_order
from custom_bert.openmp import about_to_compute
from custom_bert.precision import MixedPrecision


def prepare_threads() -> None:
    """Has to be called before anything is computed: a forked process has lost its threads, and is warned."""
    lost = about_to_compute()
    if lost:
        warn_caller(lost)


def compute(
    model: nn.Module,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    max_length: int,
    long_texts: LongTexts = "head",
    device: torch.device,
    precision: Precision = "fp32",
    unknown: UnknownText,
) -> np.ndarray:
    """Returns (N, K) fp32 outputs; row i belongs to text i.

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
    batches = map(builder.build_for_evaluation, by_length(builder.lengths_N, EVALUATION_ROWS[device.type]))
    autocast = MixedPrecision(precision, device).autocast
    return rows_in_order(outputs_of(model, batches, device=device, autocast=autocast), len(texts))
