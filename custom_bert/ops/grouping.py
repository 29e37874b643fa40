"""The grouped kernel's plan of a batch: sequences of similar length are gathered into rectangles.

Shapes: T rows of the batch, P gathered rows, S rows of a sequence in its group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from custom_bert.layout import Layout, like

GROUP = 12
"""The number of sequences in a group. On a CPU, 8 to 16 were equally fast."""

SIMILAR, SHORT = 1.5, 16
"""On a GPU the longest sequence of a group has at most `SIMILAR` times the rows of the shortest, or at most
`SHORT` rows. With lengths spread evenly between the two, a sixth of the rows are padding."""


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

    def to(self, device: torch.device) -> Grouping:
        """Returns the same plan on `device`; from page-locked memory it is copied asynchronously."""
        moved = [
            group
            if group.mask_N11S is None
            else replace(group, mask_N11S=group.mask_N11S.to(device, non_blocking=True))
            for group in self.groups
        ]
        gather_P, scatter_T = (
            index.to(device, non_blocking=True) for index in (self.gather_P, self.scatter_T)
        )
        return Grouping(gather_P, scatter_T, tuple(moved))


def grouping(layout: Layout) -> Grouping:
    """Sorts the sequences by length and divides them into groups of `GROUP`. Call it through
    `layout.once`."""
    lengths_N = layout.lengths_N.cpu().numpy()
    return _grouped(layout, lengths_N, np.arange(GROUP, len(lengths_N), GROUP))


def grouping_by_length(layout: Layout) -> Grouping:
    """Sorts the sequences by length and divides them into groups in which the longest is at most `SIMILAR`
    times as long as the shortest. Call it through `layout.once`.

    A GPU computes a large group as fast as a small one, and the host pays for every group. Made before the
    layout is moved to the GPU, the plan costs no wait.
    """
    lengths_N = layout.lengths_N.cpu().numpy()
    ends, sorted_N = list[int](), np.sort(lengths_N)
    while (begun := ends[-1] if ends else 0) < len(sorted_N):
        most = max(SIMILAR * int(sorted_N[begun]), SHORT)
        ends.append(int(np.searchsorted(sorted_N, most, side="right")))
    return _grouped(layout, lengths_N, np.array(ends[:-1], dtype=np.int64))


def _grouped(layout: Layout, lengths_N: np.ndarray, cuts: np.ndarray) -> Grouping:
    """Returns the plan of the groups that begin at 0 and at `cuts` in the order of lengths."""
    starts, total = layout.cu_seqlens.cpu().numpy(), layout.num_rows
    order = np.argsort(lengths_N, kind="stable")

    def beside(array: np.ndarray) -> Tensor:
        """Returns an array as a tensor on the layout's device, page-locked where the layout is."""
        return like(array, layout.lengths_N).to(layout.lengths_N.device)

    gathered, groups, at = [], [], 0
    for members in np.split(order, cuts):
        longest = int(lengths_N[members].max())
        steps = np.arange(longest)
        real = steps < lengths_N[members][:, None]
        gathered.append(np.where(real, starts[:-1][members][:, None] + steps, total).ravel())
        mask = None if real.all() else beside(real)[:, None, None, :]
        groups.append(Group(at, len(members), longest, mask))
        at += len(members) * longest
    gather = np.concatenate(gathered)
    scatter = np.full(total, at, dtype=np.int64)
    scatter[gather[gather < total]] = np.flatnonzero(gather < total)
    return Grouping(beside(gather), beside(scatter), tuple(groups))
