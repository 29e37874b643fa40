"""Computes a model's outputs for the units of texts: in batches of similar length, and back in input order.

Shapes: N texts, U units of a text, K outputs of the model for each unit, M units of a batch, T units of all
batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.config import LongTexts, Precision
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.row_targets import RowTargets
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.data.windows import overlap_of
from custom_bert.decoding.spans import UnitOutputs, of_texts
from custom_bert.inference.in_order import computed
from custom_bert.models.token_tagger import TokenTagger


def begin_units(
    model: nn.Module,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    *,
    max_length: int,
    long_texts: LongTexts,
    device: torch.device,
    precision: Precision = "fp32",
    unknown: UnknownText,
) -> Callable[[], np.ndarray]:
    """Has a model compute its outputs for the units of texts, and returns what reads them: an (N,) array of
    `UnitOutputs`. See `in_order.begin` for the arguments."""
    encoded = tokenizer.encode(texts, max_length, long_texts, units=True)
    unknown.add(encoded)
    units = encoded.units
    assert units is not None
    rows_N = np.flatnonzero([len(of_text) for of_text in units])  # a text without units has no outputs
    parts: list[tuple[Batch, Tensor]] = []
    if len(rows_N):
        targets = RowTargets.of_units([units[row] for row in rows_N.tolist()])
        windowed = long_texts == "windows"
        builder = BatchBuilder(
            encoded,
            rows_N,
            None,
            tokenizer.pad_id,
            window=max_length if windowed else None,
            overlap=overlap_of(max_length, tokenizer.frame.size) if windowed else 0,
            row_targets=targets,
        )
        parts = list(computed(model, builder, device, precision))

    def read() -> np.ndarray:
        found: list[np.ndarray | None] = [None] * len(texts)
        nothing_UK = np.empty((0, cast(TokenTagger, model).num_labels), dtype=np.float32)
        if parts:  # one copy from a GPU for all of them
            indices = np.concatenate([batch.indices for batch, _ in parts])
            counts = [count for batch, _ in parts if batch.targets for count in batch.targets.about or ()]
            values_TK = torch.cat([outputs_MK for _, outputs_MK in parts]).cpu().numpy()
            of_each = np.split(values_TK, np.cumsum(counts)[:-1])
            for row, values_UK in zip(rows_N[indices].tolist(), of_each, strict=True):
                found[row] = values_UK
        return of_texts(
            [
                UnitOutputs(text, of_text[:, 1:], nothing_UK if values_UK is None else values_UK)
                for text, of_text, values_UK in zip(texts, units, found, strict=True)
            ]
        )

    return read
