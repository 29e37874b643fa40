"""How the switches that change learning change it: accuracy over several seeds on real text, and the largest
learning rate that still trains.

The text is the sample data (`custom_bert.data.sample`), paragraphs from the documentation that every Python
brings. Each run is `train_model` in a process of its own. The default recipe is compared with the same recipe
and one switch off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from custom_bert.bench.measure import in_child, shown
from custom_bert.bench.speed import PROGRAM
from custom_bert.bench.switches import Improvement
from custom_bert.config import SCRATCH

RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
"""The learning rates among which the largest that still trains is looked for."""

TRAINS = 0.5
"""A rate counts as one that trains if its accuracy is at least this share of the best rate's accuracy."""


def train_once(arguments: dict[str, Any]) -> dict[str, Any]:
    """Trains once, in a measuring process. A run that diverges is a result and not an error."""
    from custom_bert.errors import UserError
    from custom_bert.training.loop import train_model

    try:
        result = train_model({**arguments["settings"], "floor": False})
    except UserError as error:
        if "diverged" in str(error):
            return {"accuracy": 0.0, "loss": None, "diverged": True}
        raise
    record = json.loads((result.directory / "run.json").read_text(encoding="utf-8"))
    return {
        "accuracy": result.accuracy,
        "loss": record["validation"]["loss"],
        "diverged": False,
        "config": record["config"],
    }


def compare(
    improvements: Sequence[Improvement],
    *,
    seeds: int,
    epochs: int,
    rates: Sequence[float],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Trains with the default recipe, which has every switch on, and with each switch off in turn.

    Args:
        improvements: the improvements that change what is learned.
        seeds: the number of runs of each side, with the seeds 0, 1, ...
        epochs: passes over the sample data.
        rates: the learning rates of the sweep.
        say: called with a line for each run.

    Returns:
        For each improvement and each of its two values, the default first: `accuracy` and `loss` (lists, by
        seed), `by_rate` (accuracy) and `largest_rate`.
    """
    from custom_bert.data.reading import in_directory
    from custom_bert.data.sample import write_sample_data

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_sample_data(data)
        common = {
            **in_directory(str(data)),
            "data.cache_dir": f"{folder}/cache",
            "model.init_from": SCRATCH,
            "model.size": "tiny",
            "optim.epochs": epochs,
            # without pretraining and R-Drop, whose defaults depend on the data, only the switch differs
            "optim.pretrain_epochs": 0,
            "optim.r_drop": 0.0,
            "optim.lr": 1e-3,
            "runtime.precision": "fp32",
        }
        runs = _Runs(folder, common, say)
        on, config = runs.side({}, seeds, rates)
        return {
            one.name: {
                str(config.get(one.setting, "default")): on,
                str(one.off): runs.side({one.setting: one.off}, seeds, rates)[0],
            }
            for one in improvements
        }


class _Runs:
    """Makes training runs with the same settings and some changes, each in a directory of one folder."""

    def __init__(self, folder: str, common: dict[str, Any], say: Callable[[str], None]) -> None:
        self._folder, self._common, self._say, self._count = folder, common, say, 0

    def run(self, changes: dict[str, Any]) -> dict[str, Any]:
        """The result of `train_once` with these changes, from a process of its own."""
        self._count += 1
        settings = {**self._common, **changes, "out": f"{self._folder}/run-{self._count}"}
        answer = in_child(PROGRAM, "train", {"settings": settings})
        self._say(f"{changes}: accuracy {answer['accuracy']:.3f}")
        return answer

    def side(
        self, change: dict[str, Any], seeds: int, rates: Sequence[float]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The results of a change over seeds and rates, and the resolved settings of one of its runs."""
        runs = [self.run({**change, "seed": seed}) for seed in range(seeds)]
        by_rate = {str(rate): self.run({**change, "optim.lr": rate})["accuracy"] for rate in rates}
        best = max(by_rate.values(), default=0.0)
        training = [float(rate) for rate, a in by_rate.items() if best and a >= TRAINS * best]
        measured = {
            "accuracy": [r["accuracy"] for r in runs],
            "loss": [r["loss"] for r in runs],
            "by_rate": by_rate,
            "largest_rate": max(training, default=None),
        }
        return measured, next((r["config"] for r in runs if "config" in r), {})


def rows_of(learned: dict[str, Any]) -> list[list[str]]:
    """The rows of a Markdown table of what `compare` returned, one for each side."""
    rows = []
    for name, sides in learned.items():
        for value, side in sides.items():
            losses = [loss for loss in side["loss"] if loss is not None]
            rate = side["largest_rate"]
            none = "none of them" if side["by_rate"] else "not swept"
            rows.append(
                [
                    name,
                    value,
                    shown([100 * a for a in side["accuracy"]], 1),
                    shown(losses, 3) if losses else "diverged",
                    none if rate is None else f"{rate:g}",
                ]
            )
    return rows
