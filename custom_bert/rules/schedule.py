"""What follows from where a phase stands: the learning rate, sizes of steps, when to evaluate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from custom_bert.config import Schedule


def lr_factor(progress: float, *, warmup: float, schedule: Schedule, decay: float = 0.2) -> float:
    """Share of the peak learning rate.

    Rises linearly from 0 to 1 during `warmup`, then falls to 0 at the end, along half a cosine
    (Loshchilov and Hutter 2016, arXiv 1608.03983), along a line, or, for wsd, as 1 - sqrt in the last `decay`
    share of the run (Haegele et al. 2024, arXiv 2405.18392).

    Args:
        progress: share of the run that is done, 0 to 1; for a step the middle of it, so that neither the
            first nor the last step is wasted.
        warmup: share of the run that the rise takes.
        schedule: the form of the fall.
        decay: share of the run that wsd's fall takes, at most what the warm-up leaves.
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
    return max(warmup, 1 - decay)


def falls(progress: float, warmup: float, decay: float) -> bool:
    """Whether wsd's learning rate is falling."""
    return progress >= _fall(warmup, decay)


@dataclass(frozen=True)
class Evaluations:
    """When a phase is evaluated: after each so many steps, or, where the time ends it, by shares of the time.

    Attributes:
        every: optimizer steps between two; None for shares of the time.
        interval: share of the phase between two, at least.
        pause: how many times its own duration passes before the next, at least.
        passes: over the data, before the first, whose duration is not known.
    """

    every: int | None
    interval: float = 1.0
    pause: float = 0.0
    passes: float = 0.0

    def due(self, step: int, done: float, epoch: float, not_before: float) -> bool:
        """Whether to evaluate after a step.

        Args:
            step: optimizer steps of the phase.
            done: share of the phase.
            epoch: passes over the data.
            not_before: what `after` said; 0 if there was no evaluation yet.
        """
        if self.every is not None:
            return step % self.every == 0
        if not_before:
            return done >= not_before
        return done >= self.interval and epoch >= self.passes

    def after(self, done: float, elapsed: float, cost: float) -> float:
        """The share of the phase before which there is no other evaluation.

        Args:
            done: share of the phase at the end of an evaluation.
            elapsed: seconds of the phase at that moment.
            cost: seconds of the evaluation.
        """
        return done + max(self.interval, self.pause * cost * done / elapsed)
