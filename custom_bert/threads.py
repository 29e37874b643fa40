"""How threads of torch's parallel regions wait. Without torch, which reads it once, when it is imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

POLICY = "OMP_WAIT_POLICY"


def sleep_while_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """A thread that waits for another shall sleep instead of spinning, unless the user has said otherwise.

    That costs 2 % on a quiet machine; beside one busy process training is 1.6 times as fast (docs/LOG.md).
    For the start of a program: importing the package changes nothing.
    """
    environment.setdefault(POLICY, "PASSIVE")
