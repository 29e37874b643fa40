"""What changes while a run trains, and what the run has to show for it at any moment."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from custom_bert.errors import UserError
from custom_bert.models.heads import SequenceClassifier
from custom_bert.precision import MixedPrecision
from custom_bert.training.phases import Phase


@dataclass
class State:
    """Everything that changes while training.

    Attributes:
        model: the classifier.
        phases: what is still to be trained.
        precision: autocast and loss scaling.
        step, epoch: of the present phase.
        best_metric, best_step: of the best evaluation so far, whose weights the run directory holds.
        fused: whether layers are compiled.
        started: when it was made, by `time.perf_counter`.
    """

    model: SequenceClassifier
    phases: list[Phase]
    precision: MixedPrecision
    step: int = 0
    epoch: float = 0.0
    best_metric: float = -1.0
    best_step: int = 0
    fused: bool = False
    started: float = field(default_factory=time.perf_counter)

    def kept(self) -> dict[str, Any]:
        """What an unfinished run holds, for run.json."""
        return {"steps": self.step, "best_step": self.best_step, "best_metric": max(0.0, self.best_metric)}

    def finite(self, loss: float) -> float:
        """The loss.

        Raises:
            UserError: if it is not finite; the message says what is kept.
        """
        if not np.isfinite(loss):
            kept = f"; the weights of step {self.best_step:,} are kept" if self.best_step else ""
            raise UserError(
                f"the loss is {loss} at step {self.step:,}: training diverged; lower optim.lr{kept}"
            )
        return loss
