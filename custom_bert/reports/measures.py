"""Measures of how well a model does: their names in records, and how people are told of them.

Every place that shows a result goes through this table and shows what the record has. So a new kind of target
adds its measures here, and `info` and the page of a run show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A number that an evaluation may find.

    Attributes:
        key: its name in run.json and metrics.jsonl.
        words: its name for people.
        chart: the title of the chart that shows its course. Measures with one title share the chart, and so
            have one unit.
        form: how the page shows the result; in lines of text each measure has four digits.
    """

    key: str
    words: str
    chart: str
    form: str = "{:.4f}"


MEASURES = (
    Measure("accuracy", "accuracy", "Validation"),
    Measure("micro_f1", "micro-F1", "Validation"),
    Measure("macro_f1", "macro-F1", "Validation"),
    Measure("exact_match", "exact match", "Validation"),
    Measure("perplexity", "perplexity", "Perplexity of held-out text", "{:.2f}"),
)
"""In the order in which they are shown. The loss, which every evaluation has, is not one of them."""


def measured(numbers: Mapping[str, Any]) -> list[tuple[Measure, float]]:
    """The measures that a record of an evaluation has."""
    return [(one, numbers[one.key]) for one in MEASURES if numbers.get(one.key) is not None]


def words_of(key: str) -> str:
    """The name of a measure for people."""
    return next(one.words for one in MEASURES if one.key == key)


def in_words(numbers: Mapping[str, Any]) -> str:
    """`accuracy 0.9000, macro-F1 0.8900`."""
    return ", ".join(f"{one.words} {value:.4f}" for one, value in measured(numbers))
