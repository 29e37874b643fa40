"""The course of a run: the records of metrics.jsonl, and the charts of them on a run's page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.errors import RunError
from custom_bert.reports.charts import Axis, Curve, Frame, colour, draw, drawable
from custom_bert.reports.measures import MEASURES

WIDE, HIGH = 460, 250
FRAME = Frame(left=62, right=WIDE - 18, top=14, bottom=HIGH - 42)
ACROSS, UP = Axis("optimizer steps", whole=True, about=5), Axis()

LARGEST_METRICS = 1 << 30
"""The largest size of metrics.jsonl that is read, in bytes."""

LARGEST_INTEGER = 1 << 63
"""The largest integer that is believed in a record. A larger one would overflow as a float."""

TRAINING, EVALUATION = ("pretrain", "train"), ("eval",)
"""The kinds of records of training steps, and of evaluations."""


@dataclass(frozen=True)
class Series:
    """A curve of a chart.

    Attributes:
        chart: the title of the chart.
        name: the name of the curve in the legend.
        key: the name of the number in the records.
        kinds: the kinds of records that have the number.
        factor: what the number is multiplied by, such as 100 for per cent.
    """

    chart: str
    name: str
    key: str
    kinds: tuple[str, ...]
    factor: float = 1.0


SERIES = (
    Series("Loss", "training", "loss", TRAINING),
    Series("Loss", "validation", "loss", EVALUATION),
    *(Series(one.chart, one.words, one.key, EVALUATION) for one in MEASURES),
    Series("Learning rate", "", "lr", TRAINING),
    Series("Tokens per second", "", "tokens_per_second", TRAINING),
    Series("Padding, %", "", "padding", TRAINING, 100.0),
    Series("Gradient norm", "", "grad_norm", TRAINING),
)
"""All curves. Charts stand on the page in the order of their first curves."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the records of metrics.jsonl; none if there is no such file yet.

    Raises:
        RunError: if a line is not a record; it names the line.
    """
    records = []
    try:
        content = files.read_at_most(path, LARGEST_METRICS) if path.exists() else b""
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    lines = content.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # a run may be writing the last line at this moment
                break
            raise RunError(f"{path}:{number}: not valid JSON") from error
        if not _is_record(value):
            raise RunError(f"{path}:{number}: damaged: not the record of a step or of an evaluation")
        records.append(value)
    return records


def _is_record(value: Any) -> bool:
    """Returns whether a value has a kind and a step, and numbers wherever the charts read numbers."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return False
    numbers = [value[one.key] for one in SERIES if value.get(one.key) is not None]
    return isinstance(value.get("step"), int) and all(map(_is_number, (value["step"], *numbers)))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= LARGEST_INTEGER)


def training_charts(metrics: Sequence[dict[str, Any]]) -> list[str]:
    """Returns HTML figures of the loss, of each measure that was evaluated, and of the training steps."""
    steps, charts = _steps(metrics), dict[str, list[Curve]]()
    for one in SERIES:
        points = [
            (float(step), one.factor * line[one.key])
            for step, line in zip(steps, metrics, strict=True)
            if line["kind"] in one.kinds and line.get(one.key) is not None
        ]
        charts.setdefault(one.chart, []).append(Curve(one.name, points))
    figures = [figure(title, curves) for title, curves in charts.items()]
    return [one for one in figures if one]


def _steps(metrics: Sequence[dict[str, Any]]) -> list[int]:
    """Returns the step of each record on one axis.

    Each phase counts its steps from 0. Where learning follows pretraining in one run, its steps are moved
    behind those of pretraining. A record of an evaluation belongs to the phase that has begun.
    """
    offset, last, steps = 0, {"pretrain": 0, "train": 0}, []
    for line in metrics:
        kind = "train" if line["kind"] == "eval" and last["train"] else line["kind"]
        if kind == "train" and not last["train"]:
            offset = last["pretrain"]
        if kind in last:
            last[kind] = line["step"]
        steps.append(line["step"] + (offset if kind == "train" else 0))
    return steps


def figure(title: str, curves: Sequence[Curve]) -> str:
    """Returns a chart with its title, and a legend if there are several curves; empty without any point."""
    curves = drawable(curves, ACROSS, UP)
    shown = [(colour(i), one.name) for i, one in enumerate(curves) if one.points]
    if not shown:
        return ""
    names = [f'<span class="{of_colour}">&#9644; {escape(name)}</span>' for of_colour, name in shown]
    legend = f' <span class="legend">{" ".join(names)}</span>' if len(curves) > 1 else ""
    return (
        f"<figure><figcaption>{escape(title)}{legend}</figcaption>"
        f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{escape(title)}">'
        f"{''.join(draw(curves, ACROSS, UP, FRAME))}</svg></figure>"
    )
