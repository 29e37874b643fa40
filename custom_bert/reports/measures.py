"""The table of all measures of how well a model does: their names in records, and their names for people.

Everything that shows a result shows the measures of this table that the record has. So a new task adds its
measures here, and `info`, the page of a run and the lines of training show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A number that an evaluation may have.

    Attributes:
        key: its name in run.json and metrics.jsonl.
        words: its name for people.
        chart: the title of its chart on the page of a run. Measures with the same title share a chart and its
            axis, and so need the same unit.
        form: how the page writes its value. Lines of text write four digits of every measure.
        low: whether a lower value is better.
    """

    key: str
    words: str
    chart: str
    form: str = "{:.4f}"
    low: bool = False


MEASURES = (
    Measure("accuracy", "accuracy", "Validation"),
    Measure("f1", "F1", "Validation"),
    Measure("precision", "precision", "Validation"),
    Measure("recall", "recall", "Validation"),
    Measure("micro_f1", "micro-F1", "Validation"),
    Measure("macro_f1", "macro-F1", "Validation"),
    Measure("exact_match", "exact match", "Validation"),
    Measure("divergence", "divergence", "Divergence from the given shares (nats)", low=True),
    Measure("calibration_error", "calibration error", "Calibration error", low=True),
    Measure("perplexity", "perplexity", "Perplexity of held-out text", "{:.2f}", low=True),
    Measure("r2", "R2", "Validation"),
    Measure("pearson", "Pearson", "Validation"),
    Measure("spearman", "Spearman", "Validation"),
    Measure("mae", "MAE", "Error in the unit of the numbers", low=True),
    Measure("rmse", "RMSE", "Error in the unit of the numbers", low=True),
    Measure("kappa", "kappa", "Validation"),
    Measure("adjacent_accuracy", "adjacent accuracy", "Validation"),
    Measure("mae_ranks", "MAE in ranks", "Error in ranks", low=True),
)
"""All measures, in the order in which they are shown. The loss is not among them, since every evaluation has
one."""


def measured(numbers: Mapping[str, Any]) -> list[tuple[Measure, float]]:
    """Returns the measures that the record of an evaluation has, with their values."""
    return [(one, numbers[one.key]) for one in MEASURES if numbers.get(one.key) is not None]


def words_of(key: str) -> str:
    """Returns the name of a measure for people."""
    return next(one.words for one in MEASURES if one.key == key)


def is_worse(key: str, value: float, other: float) -> bool:
    """Returns whether a value of a measure is worse than another one."""
    low = next(one.low for one in MEASURES if one.key == key)
    return value > other if low else value < other


def in_words(numbers: Mapping[str, Any]) -> str:
    """Returns words such as `accuracy 0.9000, macro-F1 0.8900`."""
    return ", ".join(f"{one.words} {value:.4f}" for one, value in measured(numbers))
