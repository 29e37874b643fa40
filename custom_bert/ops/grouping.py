"""The grouped kernel's plan of a batch: sequences of similar length together, each group a rectangle.

Shapes: T rows of the batch, P gathered rows, S rows of a sequence in its group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from custom_bert.layout import Layout

GROUP = 12
"""Sequences that the grouped kernel attends together; 8 to 16 measured alike on a CPU."""


@dataclass(frozen=True)
class Group:
    """Some sequences of similar length, as the grouped kernel gathers them.

    Attributes:
        start: first row of the group among the gathered rows of all groups.
        count: sequences.
        length: rows of each, the group's longest sequence.
        mask_N11S: True where a row is a token; None where all are.
    """

    start: int
    count: int
    length: int
    mask_N11S: Tensor | None


@dataclass(frozen=True)
class Grouping:
    """Rows of all groups one after the other, and the way back.

    Attributes:
        gather_P: row of the batch for each gathered row, T (a row of zeros) for padding.
        scatter_T: gathered row for each row of the batch, P (a row of zeros) for padding.
        groups: where each group lies.
    """

    gather_P: Tensor
    scatter_T: Tensor
    groups: tuple[Group, ...]


def grouping(layout: Layout) -> Grouping:
    """Sequences sorted by length, in groups of `GROUP`, padded inside a group only. By `layout.once`."""
    device = layout.lengths_N.device
    starts, lengths = layout.cu_seqlens.cpu().numpy(), layout.lengths_N.cpu().numpy()
    total = layout.num_rows
    order = np.argsort(lengths, kind="stable")
    gathered, groups, at = [], [], 0
    for begin in range(0, len(order), GROUP):
        members = order[begin : begin + GROUP]
        longest = int(lengths[members].max())
        steps = np.arange(longest)
        real = steps < lengths[members][:, None]
        gathered.append(np.where(real, starts[:-1][members][:, None] + steps, total).ravel())
        mask = None if real.all() else torch.from_numpy(real)[:, None, None, :].to(device)
        groups.append(Group(at, len(members), longest, mask))
        at += len(members) * longest
    gather = np.concatenate(gathered)
    scatter = np.full(total, at, dtype=np.int64)
    scatter[gather[gather < total]] = np.flatnonzero(gather < total)
    return Grouping(torch.from_numpy(gather).to(device), torch.from_numpy(scatter).to(device), tuple(groups))
