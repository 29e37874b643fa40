"""How a run went: the records of metrics.jsonl, and the charts that a run's page draws of them."""

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
"""Bytes of metrics.jsonl."""

LARGEST_INTEGER = 1 << 63

TRAINING, EVALUATION = ("pretrain", "train"), ("eval",)
"""Kinds of records, by what is measured in them."""


@dataclass(frozen=True)
class Series:
    """A curve of a chart.

    Attributes:
        chart: the title of the chart.
        name: for its legend.
        key: the name of the number in the records.
        kinds: the records that have it.
        factor: what the number is multiplied by.
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
"""The charts in the order of the page, and in each chart the curves."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; none if there is no such file yet.

    Raises:
        RunError: naming the line that is none.
    """
    found = []
    try:
        content = files.read_at_most(path, LARGEST_METRICS) if path.exists() else b""
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    lines = content.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # being written
                break
            raise RunError(f"{path}:{number}: not valid JSON") from error
        if not _is_record(value):
            raise RunError(f"{path}:{number}: damaged: not the record of a step or of an evaluation")
        found.append(value)
    return found


def _is_record(value: Any) -> bool:
    """Whether a line has a kind and a step, and numbers where the charts read numbers."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return False
    numbers = [value[one.key] for one in SERIES if value.get(one.key) is not None]
    return isinstance(value.get("step"), int) and all(map(_is_number, (value["step"], *numbers)))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= LARGEST_INTEGER)


def training_charts(metrics: Sequence[dict[str, Any]]) -> list[str]:
    """Figures of the loss, of each measure that was evaluated, and of the training steps."""
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
    """The step of each record, counted on where classification follows pretraining in one run."""
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
    """A chart with its title, and with a legend of several curves; nothing where nothing can be drawn."""
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
