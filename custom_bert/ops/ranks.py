"""Probabilities of ranks from one score and ordered thresholds: the proportional odds model (McCullagh 1980,
"Regression Models for Ordinal Data").

The probability that a text has at most rank k is the sigmoid of threshold k minus the score.

Shapes: N texts, C ranks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_GAP = 1e-4
"""The least distance of two thresholds, so that no rank has the probability 0."""


def ordered_thresholds(raw: Tensor) -> Tensor:
    """Returns (C - 1,) rising thresholds.

    Args:
        raw: (C - 1,) any numbers: the first threshold, and what `softplus` makes the distance of each further
            threshold from the one before it.
    """
    gaps = F.softplus(raw[1:]) + LEAST_GAP
    return torch.cat([raw[:1], raw[:1] + gaps.cumsum(0)])


def raw_thresholds(thresholds: Tensor) -> Tensor:
    """Returns the numbers of which `ordered_thresholds` makes some rising thresholds, in the same type."""
    gaps = (thresholds.diff() - LEAST_GAP).clamp(min=LEAST_GAP)
    return torch.cat([thresholds[:1], gaps.expm1().log()])


def rank_log_probabilities(scores_N: Tensor, thresholds: Tensor) -> Tensor:
    """Returns (N, C) the logarithms of the ranks' probabilities, in fp32 or better.

    A rank's probability is the difference of two neighbouring sigmoids. With a > b,
    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), whose logarithm is exact for scores of
    any size.

    Args:
        scores_N: (N,) the higher, the higher the rank.
        thresholds: (C - 1,) rising.
    """
    scores_N = scores_N if scores_N.dtype is torch.float64 else scores_N.float()
    over = scores_N[:, None] - thresholds
    below = F.logsigmoid(-over)  # of being at most this rank
    above = F.logsigmoid(over)
    between = torch.log(-torch.expm1(-thresholds.diff()))
    return torch.cat([below[:, :1], below[:, 1:] + above[:, :-1] + between, above[:, -1:]], dim=1)


def logits_above(log_probabilities: Tensor) -> Tensor:
    """Returns (..., C - 1) the log-odds of being above each rank but the highest.

    Args:
        log_probabilities: (..., C) the logarithms of the ranks' probabilities.
    """
    at_most = log_probabilities.logcumsumexp(-1)[..., :-1]
    above = log_probabilities.flip(-1).logcumsumexp(-1).flip(-1)[..., 1:]
    return above - at_most
