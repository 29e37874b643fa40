"""Fits the ensemble of encoder and floor at the end of a run, once the weights of the encoder are final."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from custom_bert.batch import Batch
from custom_bert.data.loader import BatchBuilder
from custom_bert.errors import DataError, RunError
from custom_bert.tasks.floors import Combined
from custom_bert.tasks.parts import Measured
from custom_bert.training.evaluation import measure, measure_and_keep
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.run import RunDirectory
from custom_bert.training.state import State

Batches = Callable[[BatchBuilder], Iterable[Batch]]


@dataclass(frozen=True)
class LastEvaluation:
    """The evaluation of the weights that a run keeps.

    Attributes:
        encoder: what was measured of the encoder alone.
        combined: the ensemble of encoder and floor, and what was measured of it; None if the encoder predicts
            alone, and at every rank but 0.
    """

    encoder: Measured
    combined: Combined | None

    @property
    def predicts(self) -> Measured:
        """What was measured of that which predicts."""
        return self.encoder if self.combined is None else self.combined.measured

    def record(self) -> dict[str, Any]:
        """Returns what run.json has of the ensemble and of the encoder alone; nothing without one."""
        if self.combined is None:
            return {}
        return {"ensemble": {**self.combined.record(), "encoder_alone": self.encoder.numbers}}


def evaluate_finally(
    state: State,
    plan: RunPlan,
    material: Material,
    run: RunDirectory,
    batches: Batches,
    warn: Callable[[str], None],
) -> LastEvaluation:
    """Evaluates the weights that a run keeps and, if the run has an ensemble, fits and writes that.

    Where too few lines are set aside to weigh encoder and floor, the better one on the validation texts
    predicts. Rank 0 decides; the others only compute their share of the outputs.

    Args:
        state: the model, with the weights that are kept.
        plan: the plan of the run.
        material: the data.
        run: the run directory, which has the floor.
        batches: makes the batches of this rank's share of some examples.
        warn: prints a line if floor or texts cannot be read any more; then the encoder predicts alone.
    """
    model, ranks = state.model, state.ranks
    if not plan.config.ensemble or not has_floor(state, run):
        return LastEvaluation(measure(model, batches(material.val), plan, ranks), None)
    val, chosen = material.val, material.choosing
    measured, val_NK = measure_and_keep(model, batches(val), plan, ranks, len(val.rows_N))
    chosen_NK = None
    if chosen is not None and material.weighs:
        _, chosen_NK = measure_and_keep(model, batches(chosen), plan, ranks, len(chosen.rows_N))
    if not ranks.leads:
        return LastEvaluation(measured, None)
    try:
        floor = plan.task.read_floor(run.path)
        combined = plan.task.combine(material.source, floor, chosen_NK, val_NK)
    except (RunError, DataError) as error:  # a trained encoder is worth more than what is added to it
        warn(f"the encoder predicts alone: {error}")
        return LastEvaluation(measured, None)
    worth = plan.task.worth
    if chosen_NK is None and worth(measured, plan.config) >= worth(combined.measured, plan.config):
        return LastEvaluation(measured, None)
    run.keep_ensemble(combined.ensemble)
    return LastEvaluation(measured, combined)


def has_floor(state: State, run: RunDirectory) -> bool:
    """Returns whether rank 0 has a floor: some data allow none."""
    return state.ranks.from_leader(lambda: run.floor is not None)
