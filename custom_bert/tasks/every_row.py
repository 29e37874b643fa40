"""Every row of a batch as a target, so that a model computes all of its outputs. Exports are verified so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from custom_bert.batch import Batch, Targets


def every_row(batch: Batch) -> Batch:
    """Returns the batch with every row as a target, whose value is its token."""
    return dataclasses.replace(batch, targets=Targets(batch.input_ids_T, torch.arange(batch.num_rows)))


def rows_of_texts(outputs: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
    """Returns for each text the (length, K) outputs of its tokens. Rows of filler stand at the end."""
    return torch.split(outputs[: sum(lengths)], list(lengths))
