"""The grouped kernel's plan of a batch: sequences of similar length are gathered into rectangles.

Shapes: T rows of the batch, P gathered rows, S rows of a sequence in its group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from custom_bert.layout import Layout

GROUP = 12
"""The number of sequences in a group. On a CPU, 8 to 16 were equally fast."""


@dataclass(frozen=True)
class Group:
    """Sequences of similar length, which the grouped kernel pads to one length.

    Attributes:
        start: the group's first row among the gathered rows of all groups.
        count: the number of sequences.
        length: the number of rows of each, which is the length of the longest.
        mask_N11S: True where a row is a token; None if all are.
    """

    start: int
    count: int
    length: int
    mask_N11S: Tensor | None


@dataclass(frozen=True)
class Grouping:
    """Indices that gather the rows of all groups, one after the other, and that scatter them back.

    Attributes:
        gather_P: the row of the batch for each gathered row; T, a further row of zeros, for padding.
        scatter_T: the gathered row for each row of the batch; P, a further row of zeros, for padding.
        groups: where each group lies.
    """

    gather_P: Tensor
    scatter_T: Tensor
    groups: tuple[Group, ...]


def grouping(layout: Layout) -> Grouping:
    """Sorts the sequences by length and divides them into groups of `GROUP`. Call it through
    `layout.once`."""
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
