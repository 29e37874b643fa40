"""What changes while a run trains, and what the run has to show for it at any moment."""

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
"""Steps that are not finite, one after the other, after which training has diverged."""

SKIPPED_WHILE_SCALING = 20
"""The same in fp16, whose loss scale starts at 65,536 and is halved at each such step."""


class DivergedError(UserError):
    """Training that more steps would not bring back."""


@dataclass(kw_only=True)
class Progress:
    """Where a run stands: plain numbers, which a checkpoint holds as they are.

    Attributes:
        phase: index of the present phase.
        epochs_done: whole passes of the phase.
        steps_done: optimizer steps of the pass after those.
        step: optimizer steps of the phase.
        epoch: passes of the phase.
        seconds: of all phases, up to the moment of writing.
        phase_seconds: of the present phase.
        saving_seconds: of all phases, spent on writing checkpoints.
        best_metric, best_step: of the best evaluation so far, whose weights the run directory holds.
        evaluation_due: whether the last step is still to be evaluated.
        next_evaluation: share of the phase before which there is no other, where they go by the time.
        ended: whether the phase ends with the last step.
        falling: whether the learning rate of wsd has begun to fall.
        skipped: steps of the phase whose loss or gradient was not finite.
        skipped_in_a_row: of these, the last ones.
        empty: steps of the phase that held no target.
        halvings: how often batches are halved, for memory.
        tokens, rows: of the steps since the last record of metrics.jsonl.
        log_seconds: that these steps took.
        log_bytes: length of metrics.jsonl.
        scale, scale_steps: fp16's loss scale and how many steps it has held; 0 for other types.
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
        """Begins another phase; what belongs to the whole run stays."""
        kept = {name: getattr(self, name) for name in ("seconds", "saving_seconds", "log_bytes", "halvings")}
        self.__init__(phase=phase, **kept)  # type: ignore[misc]


@dataclass
class State:
    """Everything that changes while training.

    Attributes:
        model: what the run leaves: an encoder with the task's head.
        phases: what is trained, in order.
        precision: autocast and loss scaling.
        ranks: the processes that train.
        progress: where the run stands.
        losses: of the steps since the last record of metrics.jsonl.
        skips: of the last steps, whether each was left out; on the device until `count_skips` reads them.
        saved: `position` of the checkpoint that was written or read last.
        saved_in: its directory.
        fused: whether layers are compiled.
        clock: of the run.
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
        """The present one."""
        return self.phases[self.progress.phase]

    @property
    def position(self) -> tuple[int, bool]:
        """The step of the phase, and whether its evaluation is due: what `saved` is compared with."""
        return self.progress.step, self.progress.evaluation_due

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return next(self.model.parameters()).device

    def kept(self) -> dict[str, Any]:
        """What an unfinished run holds, for run.json."""
        progress = self.progress
        return {
            "steps": progress.step,
            "best_step": progress.best_step,
            "best_metric": max(0.0, progress.best_metric),
        }

    def count_skips(self) -> None:
        """Reads `skips`.

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
        """Messages for the end of a phase about steps that made no update, with the reason."""
        progress, name, lines = self.progress, f"{self.phase.name}ing", []
        of = f"of {progress.step:,} steps of {name}"
        if progress.skipped and self.precision.scaler.is_enabled():
            lines.append(f"{progress.skipped:,} {of} were left out while fp16's loss scale found its size")
        elif progress.skipped:
            lines.append(f"{progress.skipped:,} {of} were left out: loss or gradient were no finite numbers")
        if progress.empty:
            lines.append(
                f"{progress.empty:,} {of} had nothing to learn from: their texts hold no token that could be "
                f"hidden, as empty texts and unknown characters have none"
            )
        return lines

    def finite(self, loss: float) -> float:
        """The loss of an evaluation.

        Raises:
            DivergedError: if it is not finite; the message says what is kept.
        """
        if not np.isfinite(loss):
            raise self._diverged(f"the loss is {loss} at step {self.progress.step:,}")
        return loss

    def _diverged(self, what: str) -> DivergedError:
        best = self.progress.best_step
        kept = f"; the weights of step {best:,} are kept" if best else ""
        if self.saved_in is not None:
            kept += f"; the last checkpoint is {self.saved_in}"
        return DivergedError(f"{what}: training diverged; lower optim.lr{kept}")
