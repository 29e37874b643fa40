"""The state of a run: everything that changes while it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom_bert.errors import UserError
from custom_bert.precision import MixedPrecision
from custom_bert.tasks.parts import EncoderModel
from custom_bert.training.clock import Clock
from custom_bert.training.phases import Phase
from custom_bert.training.ranks import Ranks

SKIPPED_IN_A_ROW = 3
"""Training has diverged after this many consecutive steps whose loss or gradient is not finite."""

SKIPPED_WHILE_SCALING = 20
"""The same number in fp16, where such steps are normal at first: the loss scale starts at 65,536, and each of
them halves it."""


class DivergedError(UserError):
    """Training has diverged, and more steps would not bring it back."""


@dataclass(kw_only=True)
class Progress:
    """How far a run has come, in plain numbers, which a checkpoint holds as they are.

    Attributes:
        phase: the index of the present phase.
        epochs_done: the number of whole epochs of the phase that are done.
        steps_done: the number of optimizer steps that are done of the epoch after those.
        step: the number of optimizer steps of the phase that are done.
        epoch: the number of epochs of the phase that are done, with a fraction.
        seconds: the duration of the run, when the checkpoint was written.
        phase_seconds: the duration of the present phase then.
        saving_seconds: the seconds that all phases spent on writing checkpoints.
        best_metric, best_step: the worth and the step of the best evaluation so far, whose weights the run
            directory holds.
        evaluation_due: whether the last step is still to be evaluated.
        next_evaluation: the share of the phase at which the next evaluation is due, if evaluations go by
            time.
        ended: whether the phase ends with the last step.
        falling: whether the learning rate of wsd has begun to fall.
        skipped: the number of steps of the phase whose loss or gradient was not finite.
        skipped_in_a_row: how many of the last steps were such steps.
        empty: the number of steps of the phase that held no target.
        halvings: how often batches are halved to fit into memory.
        tokens, rows: the tokens and rows of the steps since the last record of metrics.jsonl.
        log_seconds: the seconds that these steps took.
        log_bytes: the length of metrics.jsonl.
        scale, scale_steps: fp16's loss scale, and the number of steps since it changed; 0 for other types.
    """

    phase: int = 0
    epochs_done: int = 0
    steps_done: int = 0
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    phase_seconds: float = 0.0
    saving_seconds: float = 0.0
    best_metric: float = -1.0
    best_step: int = 0
    evaluation_due: bool = False
    next_evaluation: float = 0.0
    ended: bool = False
    falling: bool = False
    skipped: int = 0
    skipped_in_a_row: int = 0
    empty: int = 0
    halvings: int = 0
    tokens: int = 0
    rows: int = 0
    log_seconds: float = 0.0
    log_bytes: int = 0
    scale: float = 0.0
    scale_steps: int = 0

    def enter(self, phase: int) -> None:
        """Begins another phase: resets everything but the numbers that belong to the whole run."""
        kept = {name: getattr(self, name) for name in ("seconds", "saving_seconds", "log_bytes", "halvings")}
        self.__init__(phase=phase, **kept)  # type: ignore[misc]


@dataclass
class State:
    """Everything that changes while training.

    Attributes:
        model: the model that the run leaves: an encoder with the task's head.
        phases: the phases of the run, in order.
        precision: autocast and loss scaling.
        ranks: the processes that train.
        progress: how far the run has come.
        losses: the losses of the steps since the last record of metrics.jsonl.
        skips: whether each of the last steps was left out, on the device until `count_skips` reads them.
        saved: the `position` of the checkpoint that was written or read last; None if there is none.
        saved_in: the directory of that checkpoint.
        fused: whether layers are compiled.
        clock: the clock of the run.
    """

    model: EncoderModel
    phases: list[Phase]
    precision: MixedPrecision
    ranks: Ranks = field(default_factory=Ranks)
    progress: Progress = field(default_factory=Progress)
    losses: list[Tensor] = field(default_factory=list)
    skips: list[Tensor] = field(default_factory=list)
    saved: tuple[int, bool] | None = None
    saved_in: Path | None = None
    fused: bool = False
    clock: Clock = field(default_factory=Clock)

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self.phases[self.progress.phase]

    @property
    def position(self) -> tuple[int, bool]:
        """The step of the phase, and whether its evaluation is due. If `saved` is the same, a checkpoint of
        this moment exists."""
        return self.progress.step, self.progress.evaluation_due

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return next(self.model.parameters()).device

    def kept(self) -> dict[str, Any]:
        """Returns what run.json says of an unfinished run."""
        progress = self.progress
        return {
            "steps": progress.step,
            "best_step": progress.best_step,
            "best_metric": max(0.0, progress.best_metric),
        }

    def count_skips(self) -> None:
        """Counts the steps in `skips`, which the host may have to wait for, and empties it.

        Raises:
            DivergedError: if too many steps in a row were left out.
        """
        progress = self.progress
        for skipped in torch.stack(self.skips).tolist() if self.skips else []:
            progress.skipped += int(skipped)
            progress.skipped_in_a_row = progress.skipped_in_a_row + 1 if skipped else 0
            allowed = SKIPPED_WHILE_SCALING if self.precision.scaler.is_enabled() else SKIPPED_IN_A_ROW
            if progress.skipped_in_a_row >= allowed:
                raise self._diverged(
                    f"loss or gradient were not finite in {allowed} steps up to step {progress.step:,}"
                )
        self.skips.clear()

    def left_out(self) -> list[str]:
        """Returns messages for the end of a phase about steps that made no update, with the reason."""
        progress, name, lines = self.progress, f"{self.phase.name}ing", []
        of = f"of {progress.step:,} steps of {name}"
        if progress.skipped and self.precision.scaler.is_enabled():
            lines.append(f"{progress.skipped:,} {of} were left out while fp16's loss scale found its size")
        elif progress.skipped:
            lines.append(f"{progress.skipped:,} {of} were left out: loss or gradient were not finite")
        if progress.empty:
            lines.append(
                f"{progress.empty:,} {of} had nothing to learn from: their texts hold no token that could be "
                f"hidden, as empty texts and unknown characters have none"
            )
        return lines

    def finite(self, loss: float) -> float:
        """Returns the loss of an evaluation as it is.

        Raises:
            DivergedError: if the loss is not finite; the message says what is kept.
        """
        if not np.isfinite(loss):
            raise self._diverged(f"the loss is {loss} at step {self.progress.step:,}")
        return loss

    def _diverged(self, what: str) -> DivergedError:
        """Makes the error that says what happened, what to do and what is kept."""
        best = self.progress.best_step
        kept = f"; the weights of step {best:,} are kept" if best else ""
        if self.saved_in is not None:
            kept += f"; the last checkpoint is {self.saved_in}"
        return DivergedError(f"{what}: training diverged; lower optim.lr{kept}")
