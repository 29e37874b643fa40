"""What depends on how much of a phase is done: the learning rate, and when to evaluate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from custom_bert.config import Schedule


def lr_factor(progress: float, *, warmup: float, schedule: Schedule, decay: float = 0.2) -> float:
    """Returns the learning rate as a share of its peak.

    It rises linearly from 0 to 1 during `warmup`, then falls to 0 at the end of the phase. The fall has the
    form of half a cosine (Loshchilov and Hutter 2016, arXiv 1608.03983) or of a line. For wsd it has the form
    of 1 - sqrt and takes the last `decay` share of the phase (Haegele et al. 2024, arXiv 2405.18392).

    Args:
        progress: the share of the phase that is done, 0 to 1. For a step it is that at the middle of the
            step, because the rate is 0 at both ends of the phase, and a step with that rate would be wasted.
        warmup: the share of the phase that the rise takes.
        schedule: the form of the fall.
        decay: the share of the phase that wsd's fall takes, at most what the warm-up leaves.
    """
    if progress < warmup:
        return progress / warmup
    if warmup >= 1:
        return 1.0
    if schedule == "wsd":
        begin = _fall(warmup, decay)
        return (
            1.0 if progress < begin else 1 - math.sqrt(min(1.0, (progress - begin) / max(1e-12, 1 - begin)))
        )
    done = min(1.0, (progress - warmup) / (1 - warmup))
    return 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2


def _fall(warmup: float, decay: float) -> float:
    """Returns the share of the phase at which wsd's fall begins."""
    return max(warmup, 1 - decay)


def falls(progress: float, warmup: float, decay: float) -> bool:
    """Returns whether wsd's learning rate is falling; see `lr_factor` for the arguments."""
    return progress >= _fall(warmup, decay)


@dataclass(frozen=True)
class Evaluations:
    """When a phase is evaluated: every so many steps or, if the time ends the phase, by shares of the time.

    Attributes:
        every: the number of optimizer steps between two evaluations; None if they go by shares of the time.
        interval: the smallest share of the phase between two evaluations.
        pause: the time between two evaluations is at least this many times as long as the first of them.
        passes: the number of epochs before the first evaluation, whose duration is not known beforehand.
    """

    every: int | None
    interval: float = 1.0
    pause: float = 0.0
    passes: float = 0.0

    def due(self, step: int, done: float, epoch: float, not_before: float) -> bool:
        """Returns whether to evaluate after a step.

        Args:
            step: the number of optimizer steps of the phase that are done.
            done: the share of the phase that is done.
            epoch: the number of epochs that are done.
            not_before: what `after` returned for the last evaluation; 0 if there was none yet.
        """
        if self.every is not None:
            return step % self.every == 0
        if not_before:
            return done >= not_before
        return done >= self.interval and epoch >= self.passes

    def after(self, done: float, elapsed: float, cost: float) -> float:
        """Returns the share of the phase before which there is no other evaluation.

        Args:
            done: the share of the phase that is done at the end of an evaluation.
            elapsed: the seconds of the phase at that moment.
            cost: the seconds that the evaluation took.
        """
        return done + max(self.interval, self.pause * cost * done / elapsed)
