"""Texts with one of several ranks: the logarithms of their probabilities become the middle rank.

The middle rank is the first at which the probability of being at most this rank reaches a half. The most
probable rank would leave out ranks whose thresholds are near each other, however the scores lie.

Shapes: N texts, C ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from custom_bert.decoding.classes import ClassDecoder


def middle_ranks(probabilities_NC: np.ndarray) -> np.ndarray:
    """Returns (N,) the medians of (N, C) distributions over ranks."""
    below_NC = np.cumsum(probabilities_NC, axis=1, dtype=np.float64)[:, :-1] < 0.5
    return np.asarray(below_NC.sum(axis=1))


@dataclass(frozen=True)
class RankDecoder(ClassDecoder):
    """Decodes (N, C) logarithms of the probabilities of ranks, from the lowest to the highest."""

    def given(self, probabilities_K: np.ndarray) -> list[int]:
        """Returns the middle rank."""
        return [int(middle_ranks(probabilities_K[None])[0])]
