"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BITS = {8: torch.int8, 16: torch.int16}
"""Random bits that decide an element of a CPU tensor; the rate is rounded to a multiple of 2 ** -bits."""

ROUNDING = 0.02
"""Share of the rate by which rounding may change it, where fewer bits are taken."""


def rounded(rate: float) -> tuple[int, int]:
    """(bits, dropped): the rate as `drop` takes it on a CPU, dropped / 2 ** bits."""
    dropped = round(rate * 256)
    if abs(dropped / 256 - rate) <= ROUNDING * rate and dropped < 256:
        return 8, dropped
    return 16, min(round(rate * 65536), 65535)


def drop(x: Tensor, rate: float) -> Tensor:
    """Each element 0 with probability `rate`, else divided by 1 - rate (Srivastava et al. 2014).

    torch draws a uniform number per element of a CPU tensor, in one thread, which took 9 % of a training
    step in fp32 and 16 % in bf16 (docs/LOG.md); here eight elements share a draw, or four where eight bits
    would change the rate by more than a fiftieth of it. The numbers come from torch's generator, and do not
    depend on threads. Other devices take torch's own kernel.

    Args:
        x: of any shape and floating type.
        rate: 0 or more, below 1.
    """
    return x * drop_factors(x, rate) if x.device.type == "cpu" else F.dropout(x, rate)


def drop_factors(x: Tensor, rate: float) -> Tensor:
    """What `drop` multiplies the elements of a CPU tensor by: 0, or 1 / (1 - rate)."""
    bits, dropped = rounded(rate)
    levels = 1 << bits
    draws = torch.empty(-(-x.numel() * bits // 64), dtype=torch.int64).random_(-(1 << 63), None)
    lanes = draws.view(BITS[bits])[: x.numel()].view(x.shape)
    # compared in place, so that it stays an integer: a bool's conversion to bf16 takes 8 times as long
    return lanes.ge_(dropped - levels // 2).to(x.dtype).mul_(levels / (levels - dropped))


class Dropout(nn.Dropout):
    """`drop` while training, with the rate `p`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return drop(input, self.p) if self.training and self.p else input
