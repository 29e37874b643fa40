"""By which number the best weights are chosen, for measures that may be below 0 or are better when low."""

from __future__ import annotations

from collections.abc import Callable, Mapping

WORTH: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "r2": ("1 / (2 - R2)", lambda value: 1 / (2 - value)),
    **dict.fromkeys(("pearson", "spearman", "kappa"), ("(1 + {}) / 2", lambda value: (1 + value) / 2)),
    **dict.fromkeys(("mae", "rmse", "mae_ranks"), ("1 / (1 + {})", lambda value: 1 / (1 + value))),
}
"""For the key of a measure: the worth in words, and a function that rises with the quality from 0 to 1. Any
other measure is such a number itself."""


def worth_of(key: str, value: float) -> float:
    """Returns a number that is at least 0, and the higher the better, for a value of a measure."""
    return WORTH[key][1](value) if key in WORTH else value


def worth_in_words(key: str) -> str:
    """Returns what `worth_of` computes, such as `(1 + kappa) / 2`."""
    return WORTH[key][0].format(key) if key in WORTH else key
