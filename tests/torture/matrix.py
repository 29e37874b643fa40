"""All experiments, in the order in which they run."""

from __future__ import annotations

from torture import arithmetic, bugs, bulk, faults, fuzz, hostile, kills, noise, serving, suite
from torture.experiment import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    *kills.EXPERIMENTS,
    *faults.EXPERIMENTS,
    *arithmetic.EXPERIMENTS,
    *noise.EXPERIMENTS,
    *hostile.EXPERIMENTS,
    *fuzz.EXPERIMENTS,
    *serving.EXPERIMENTS,
    *bulk.EXPERIMENTS,
    *suite.EXPERIMENTS,
    *bugs.EXPERIMENTS,
)
