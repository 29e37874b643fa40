"""The floor of a run: fitted before the encoder trains, and kept in the run directory.

From then on the run predicts, however training ends. Rank 0 fits it, while other ranks build the model.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom_bert.errors import ConfigError, RunError
from custom_bert.floor.ngrams import NoFloorError
from custom_bert.reports.facts import floor_line
from custom_bert.tasks.floors import FittedFloor
from custom_bert.training.log import Reporter
from custom_bert.training.plan import Material, RunPlan


def fit_floor(
    directory: Path, plan: RunPlan, material: Material, record: Mapping[str, Any] | None, reporter: Reporter
) -> FittedFloor | None:
    """Fits the floor of a run, if it has none yet, and prints how good it is.

    Args:
        directory: the run directory.
        plan: what was decided.
        material: the data.
        record: the content of run.json of the run that is continued; None for a new run.
        reporter: prints a line.

    Returns:
        The floor, which the run directory does not hold yet. None if there is nothing to keep: the settings
        or the data allow no floor, or the run has one already.

    Raises:
        ConfigError: if the data allow no floor, and the user asks for an ensemble with it.
    """
    if not plan.config.floor or not plan.task.has_floor:
        return None
    if record is not None and isinstance(record.get("floor"), dict) and _is_whole(directory, plan):
        reporter.say(floor_line(record["floor"]))
        return None
    begun = time.perf_counter()
    try:
        fitted = plan.task.fit_floor(material.source, plan.config)
    except NoFloorError as error:
        if plan.asked.ensemble:
            raise ConfigError([f"config: ensemble True: there is no floor: {error}; leave it out"]) from error
        reporter.say(f"{'floor':<10} none: {error}; the encoder predicts alone")
        return None
    reporter.say(floor_line(fitted.record()))
    reporter.detail(f"the floor took {time.perf_counter() - begun:.1f} s")
    return fitted


def _is_whole(directory: Path, plan: RunPlan) -> bool:
    """Returns whether the floor in the run directory can be read; otherwise it is fitted again."""
    try:
        plan.task.read_floor(directory)
    except RunError:
        return False
    return True
