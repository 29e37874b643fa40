"""Which of several processes this is, as torchrun and other launchers say by variables."""

from __future__ import annotations

import os
from collections.abc import Mapping

from custom_bert.errors import ConfigError


def ranks_of(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Returns the number of this process and how many there are, as torchrun and others set them; (0, 1)
    without.

    Raises:
        ConfigError: if the variables are no such numbers.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return 0, 1
    words = environment["RANK"], environment["WORLD_SIZE"]
    if not all(word.isdecimal() for word in words) or int(words[0]) >= int(words[1]):
        raise ConfigError([f"RANK={words[0]} and WORLD_SIZE={words[1]} are not the numbers of a process"])
    return int(words[0]), int(words[1])
