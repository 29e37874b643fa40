"""The learning rate as a pure function of progress."""

from __future__ import annotations

import math
from typing import Literal


def lr_factor(progress: float, *, warmup: float, schedule: Literal["cosine", "linear"]) -> float:
    """Share of the peak learning rate.

    Rises linearly from 0 to 1 during `warmup`, then falls to 0 at the end, along half a cosine
    (Loshchilov and Hutter 2016, arXiv 1608.03983) or a line.

    Args:
        progress: share of the run that is done, 0 to 1; for a step the middle of it, so that neither the
            first nor the last step is wasted.
        warmup: share of the run that the rise takes.
        schedule: the form of the fall.
    """
    if progress < warmup:
        return progress / warmup
    if warmup >= 1:
        return 1.0
    done = min(1.0, (progress - warmup) / (1 - warmup))
    return 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
