"""Dropout whose mask costs little on a CPU.

It draws from torch's global generator, and is the only part of training that does. A checkpoint holds the
generator's state, so that a continued run drops the same elements. Any other draw from it while training,
such as one in the thread that builds batches, would change what is dropped after it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BITS = {8: torch.int8, 16: torch.int16}
"""The number of random bits that decide about an element, and the integer type that holds them. The rate is
rounded to a multiple of 2 ** -bits."""

ROUNDING = 0.02
"""Rounding to 8 bits may change a rate by this share of it at most. Other rates take 16 bits."""


def rounded(rate: float) -> tuple[int, int]:
    """Returns (bits, dropped): on a CPU `drop` uses the rate dropped / 2 ** bits."""
    dropped = round(rate * 256)
    if abs(dropped / 256 - rate) <= ROUNDING * rate and dropped < 256:
        return 8, dropped
    return 16, min(round(rate * 65536), 65535)


def drop(x: Tensor, rate: float) -> Tensor:
    """Sets each element to 0 with probability `rate`, and divides the others by 1 - rate (Srivastava et al.
    2014, "Dropout", section 4).

    On a CPU torch draws a uniform number for each element, in one thread. That took 9 % of a training step in
    fp32 and 16 % in bf16 (docs/log/0007). Here eight elements share a draw of 64 bits. Four share one if
    eight bits would change the rate by more than a fiftieth of it. The draws come from torch's global
    generator and do not depend on the number of threads. On other devices torch's own kernel is used.

    Args:
        x: a tensor of any shape and floating type.
        rate: at least 0, below 1.
    """
    return x * drop_factors(x, rate) if x.device.type == "cpu" else F.dropout(x, rate)


def drop_factors(x: Tensor, rate: float) -> Tensor:
    """Returns the factors, 0 or 1 / (1 - rate), by which `drop` multiplies a CPU tensor's elements."""
    lanes, least, factor = draw_lanes(x, rate)
    # ge_ compares in place and keeps the integer type: converting a bool to bf16 takes 8 times as long
    return lanes.ge_(least).to(x.dtype).mul_(factor)


def draw_lanes(x: Tensor, rate: float) -> tuple[Tensor, int, float]:
    """Draws what decides which elements of a CPU tensor are dropped.

    Returns:
        An int8 or int16 tensor of the shape of `x`, the least value of elements that are kept, and the factor
        that keeps their mean, 1 / (1 - rate).
    """
    bits, dropped = rounded(rate)
    levels = 1 << bits
    # random_ over all int64 values: every bit of a draw is random, so a draw is eight or four small numbers
    draws = torch.empty(-(-x.numel() * bits // 64), dtype=torch.int64).random_(-(1 << 63), None)
    lanes = draws.view(BITS[bits])[: x.numel()].view(x.shape)
    return lanes, dropped - levels // 2, levels / (levels - dropped)


class Dropout(nn.Dropout):
    """Applies `drop` with the rate `p` in training mode."""

    def forward(self, input: Tensor) -> Tensor:
        """Returns a tensor of the same shape; in evaluation mode, or with the rate 0, the tensor itself."""
        return drop(input, self.p) if self.training and self.p else input
