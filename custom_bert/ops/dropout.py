"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 1 << 16
"""On a CPU a rate is rounded to one of so many: each element draws 16 bits."""


def drop(x: Tensor, rate: float) -> Tensor:
    """Each element 0 with probability `rate`, else divided by 1 - rate (Srivastava et al. 2014).

    torch draws a uniform number per element of a CPU tensor, in one thread, which took 9 % of a training
    step (docs/LOG.md); here four elements share a draw. The numbers come from torch's generator, and do not
    depend on threads. Other devices take torch's own kernel.

    Args:
        x: of any shape and floating type.
        rate: 0 or more, below 1.
    """
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    dropped = min(round(rate * LEVELS), LEVELS - 1)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - LEVELS // 2
    return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))


class Dropout(nn.Dropout):
    """`drop` while training, with the rate `p`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return drop(input, self.p) if self.training and self.p else input
