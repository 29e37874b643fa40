"""How threads of torch's parallel regions wait. Without torch, which reads it once, when it is imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = "GOMP_SPINCOUNT"
"""GNU OpenMP, which torch brings on Linux, reads it: turns of a waiting loop before a thread sleeps."""

OTHERS = "OMP_WAIT_POLICY"
"""The standard's variable; GNU OpenMP takes 0 turns for PASSIVE."""


def spin_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """A thread that waits for another shall soon sleep, unless the user has said how to wait.

    The library's own 300,000 turns halve the speed beside one busy process; no turns at all cost a fifth
    of it on a quiet machine where steps are short. 1,000 turns cost 5 % there, and beside a busy process
    keep 0.85 of what sleeping at once reaches (docs/LOG.md). For the start of a program: importing the
    package changes nothing.
    """
    if OTHERS not in environment:
        environment.setdefault(SPINS, "1000")
