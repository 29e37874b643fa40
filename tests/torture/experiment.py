"""What an experiment is, how many trials it takes, and what its failures say.

One definition serves two programs: `test_quick.py` runs a few trials of each in every test run, and
`python -m torture` all of them, with a record.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import beta


@dataclass(frozen=True)
class Trial:
    """One trial's own place and draws.

    Attributes:
        number: from 0.
        directory: empty, its own.
        shared: of all trials of the experiment, made once.
        random: draws that depend on (seed, experiment, number) alone.
        note: counts something that the record shows, by name.
    """

    number: int
    directory: Path
    shared: Path
    random: np.random.Generator
    note: Callable[[str], None]


@dataclass(frozen=True)
class Experiment:
    """A promise and the trial that would break it.

    Attributes:
        id: of the promise.
        promise: in one line.
        quick, full: trials in a test run, and in all.
        prepare: makes what trials share, in `Trial.shared`.
        trial: raises what failed.
    """

    id: str
    promise: str
    quick: int
    full: int
    prepare: Callable[[Path], None]
    trial: Callable[[Trial], None]


def draws(seed: int, experiment: Experiment, number: int) -> np.random.Generator:
    """Of one trial."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(experiment.id.encode()), number]))


def upper_bound(failures: int, trials: int) -> float:
    """95 % upper bound of the failure rate (Clopper and Pearson 1934)."""
    return float(beta.ppf(0.95, failures + 1, trials - failures)) if failures < trials else 1.0


def nothing(shared: Path) -> None:
    """For experiments whose trials share nothing."""
