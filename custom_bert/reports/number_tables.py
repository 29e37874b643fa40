"""The table of an evaluation of numbers, for a terminal."""

from __future__ import annotations

from custom_bert.number_metrics import MEASURES, NumberScores
from custom_bert.reports.measures import words_of
from custom_bert.reports.tables import TABLE_ROWS

WIDTH = 11
"""The number of columns of a measure."""


def number_lines(scores: NumberScores) -> list[str]:
    """Returns a table with the measures and the ends of their intervals. With several numbers a text, there
    is a row for each and one for their mean; of very many, the first are shown."""
    several = len(scores.outputs) > 1
    whole = "mean of all" if several else "numbers"
    head = "".join(f"{words_of(key):>{WIDTH}}" for key in MEASURES)
    lines = [f"{'':<14}{head}   texts"]
    for i, one in enumerate(scores.outputs[:TABLE_ROWS] if several else ()):
        lines.append(_row(f"number {i + 1}", one))
    left_out = len(scores.outputs) - TABLE_ROWS
    if several and left_out > 0:
        lines.append(f"{left_out:,} more are not shown; custom-bert evaluate --json prints every one")
    lines.append(f"{_row(whole, scores.numbers)}{scores.examples:8,}")
    for end, name in enumerate(("95 % from", "95 % to")):
        lines.append(_row(name, {key: ends[end] for key, ends in scores.intervals.items()}))
    return lines


def _row(name: str, numbers: dict[str, float]) -> str:
    return f"{name:<14}" + "".join(f"{number(numbers[key]):>{WIDTH}}" for key in MEASURES)


def number(value: float) -> str:
    """Returns a measure with four decimals, or four digits where that is too long."""
    return f"{value:.4f}" if abs(value) < 10_000 else f"{value:.4g}"
