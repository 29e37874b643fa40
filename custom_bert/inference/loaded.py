"""The parts of a classifier that was loaded from a directory of any kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custom_bert.decoding.decoder import Decoder
from custom_bert.inference.scores import ScoreModel

if TYPE_CHECKING:
    from custom_bert.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The parts of a classifier that was loaded.

    Attributes:
        decoder: what turns outputs into predictions.
        scores: what computes the scores of texts.
        task: returns what the model has learned, which needs torch.
        pairs: whether it reads pairs of texts.
    """

    decoder: Decoder
    scores: ScoreModel
    task: Callable[[], Task]
    pairs: bool
