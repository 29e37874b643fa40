"""The test texts of a run. They are measured once, when everything is decided, and decide nothing.

So they are no part of a run's identity: they may come, change or go before the run ends. Its record holds
the hashes of the files that it was measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert.errors import DataError, RunError
from custom_bert.floor.ensemble import Ensemble
from custom_bert.tasks.evaluated import Evaluated
from custom_bert.tasks.parts import Measured
from custom_bert.training.ensemble import Batches, has_floor
from custom_bert.training.evaluation import measure, measure_and_keep
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.run import RunDirectory
from custom_bert.training.state import State


def evaluate_on_test(
    state: State,
    plan: RunPlan,
    material: Material,
    run: RunDirectory,
    batches: Batches,
    ensemble: Ensemble | None,
    warn: Callable[[str], None],
) -> Evaluated | None:
    """Measures what the finished run predicts with on the test texts, and each side alone.

    Every rank has to call this, and rank 0 alone has the floor.

    Args:
        state: the model, with the weights that are kept.
        plan: the plan of the run.
        material: the data.
        run: the run directory, which has the floor.
        batches: makes the batches of this rank's share of some examples.
        ensemble: with what factors encoder and floor predict together, at rank 0; None if the encoder
            predicts alone.
        warn: prints a line if floor or texts cannot be read any more.

    Returns:
        What was measured. None if there are no test texts or they could not be measured, and at other ranks
        than 0.
    """
    model, ranks, test = state.model, state.ranks, material.test
    if test is None:
        return None
    outputs_NK: np.ndarray | None = None
    if ranks.from_leader(lambda: ensemble is not None):
        encoder, outputs_NK = measure_and_keep(model, batches(test), plan, ranks, len(test.rows_N))
    else:
        encoder = measure(model, batches(test), plan, ranks)
    floor: Measured | None = None
    together: Measured | None = None
    if has_floor(state, run) and ranks.leads:
        try:
            floor_model = plan.task.read_floor(run.path)
            floor, together = plan.task.floor_on_test(material.source, floor_model, ensemble, outputs_NK)
        except (RunError, DataError) as error:  # the trained model is worth more than its test
            if ensemble is not None:
                warn(f"the test texts are not measured: {error}; {how_to_measure(run.path)}")
                return None
            warn(f"the floor is not measured on the test texts: {error}")
    if not ranks.leads:
        return None
    return Evaluated(encoder, floor) if together is None else Evaluated(together, floor, encoder)


def how_to_measure(directory: Path) -> str:
    """Returns what measures a finished run on test texts."""
    return f"custom-bert evaluate {directory} DATA --split test measures them"


def changes_told(record: Mapping[str, Any], material: Material, directory: Path) -> str:
    """Returns a line if the test texts are others than those of a run's record; otherwise the empty string.

    Args:
        record: the content of run.json of a run that exists.
        material: the data as it is now.
        directory: the run directory.
    """
    data, now = record.get("data"), material.source.description().get("test_hashes")
    before = data.get("test_hashes") if isinstance(data, dict) else None
    if record.get("status") == "finished":
        known = now is None or ("test" in record and before == now)
        return "" if known else f"this run was not measured on these test texts: {how_to_measure(directory)}"
    if before == now:
        return ""
    what = "gone" if now is None else "new" if before is None else "others"
    return f"the test texts are {what} since this run began, which changes nothing that it learns"
