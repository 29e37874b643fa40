"""A run as one HTML page: curves, scores, settings. Self-contained, light and dark, readable on a phone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.errors import RunError, WriteError
from custom_bert.report import cut, most_frequent, printable

MARK = '<meta name="generator" content="custom-bert report">'
"""By which a page is known as one that may be written anew."""

WIDE, HIGH, LEFT, BELOW, TOP = 460, 230, 52, 26, 14
POINTS = 300
"""Of a curve, at most; of more, the mean of neighbours."""

MATRIX_UP_TO = 40
"""Classes up to which the confusion matrix is shown; above it, the pairs most often taken for each other."""

TABLE_ROWS = 1_000
"""Rows of the table of classes at most: a page, unlike a terminal, is scrolled and searched."""

PAIRS = 30
"""Rows of the table of pairs at most."""

TEXT = 'font-size="12" fill="currentColor"'
LINE = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"'

STYLE = """
:root { color-scheme: light dark; --ink: #1a202c; --soft: #5a6779; --paper: #fff; --card: #f6f8fa;
  --line: #d6dde6; --a: #2b6cb0; --b: #c2570c; --heat: 43, 108, 176; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa7b6; --paper: #0d1117; --card:
#161b22;
  --line: #30363d; --a: #6cb6ff; --b: #f0a35e; --heat: 108, 182, 255; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 16px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 8px 0 0; } h2 { font-size: 1.1rem; margin: 28px 0 8px; }
p { margin: 4px 0; } .soft { color: var(--soft); font-size: .9rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 16px
0; } .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px;
} figcaption { font-weight: 600; font-size: .95rem; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; } .c0 { stroke: var(--a); } .c1 { stroke:
var(--b); } .k0 { color: var(--a); } .k1 { color: var(--b); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: 4px 8px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; } th:first-child, td:first-child { text-align: left; }
td.wrap { white-space: normal; text-align: left; } .matrix td, .matrix th { border: 1px solid var(--line); }
.matrix th { font-weight: 500; }
"""


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: for the legend.
        points: (x, y), by x.
    """

    name: str
    points: Sequence[tuple[float, float]]


def write_report(run: str | Path, out: str | Path | None = None) -> Path:
    """Writes a run's page.

    Args:
        run: the run directory, finished or not.
        out: the file; None for report.html in the run directory.

    Returns:
        Where it is.

    Raises:
        RunError: if there is no run, or its records are damaged.
        WriteError: if `out` is a file that is no such page, or the system refuses.
    """
    run = Path(run)
    path = run / "report.html" if out is None else Path(out)
    record = files.read_run_json(run, "run.json")
    try:
        page = report_page(run.name or str(run.absolute().name), record, read_metrics(run / "metrics.jsonl"))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"{run / 'run.json'}: damaged: not the record of a run") from error
    if path.exists() and MARK.encode() not in path.read_bytes()[:400]:
        raise WriteError(f"{path}: exists already, is no report of ours, and is not overwritten")
    files.write_text(path, page)
    return path


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; none if there is no such file yet.

    Raises:
        RunError: naming the line that is none.
    """
    found = []
    try:
        content = files.read_at_most(path, 1 << 30) if path.exists() else b""
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    lines = content.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):  # being written
                break
            raise RunError(f"{path}:{number}: not valid JSON") from error
    return found


def report_page(name: str, record: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    """The page of a run, from run.json and metrics.jsonl."""
    validation, data = record.get("validation") or {}, record.get("data", {})
    body = [f"<h1>{escape(name)}</h1>", f'<p class="soft">{escape(_about(record, data))}</p>']
    body.append(_cards(record, validation, metrics))
    body += ["<h2>Training</h2>", f'<div class="charts">{"".join(_charts(metrics))}</div>']
    if "per_class" in validation:
        body += ["<h2>Classes</h2>", _class_table(validation["per_class"])]
        body += ["<h2>True and predicted labels</h2>", _confusions(validation)]
    body += ["<h2>Settings</h2>", _settings(record)]
    warnings = data.get("warnings", [])
    if warnings:
        body += ["<h2>Warnings</h2>", *(f"<p>{escape(line)}</p>" for line in warnings)]
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            MARK,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(name)}</title><style>{STYLE}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _about(record: dict[str, Any], data: dict[str, Any]) -> str:
    if "documents" in data:
        what = f"{data['documents']:,} documents, {data['train_tokens']:,} training tokens"
    else:
        examples = [data.get(f"{split}_examples", 0) for split in ("train", "val")]
        what = f"{examples[0]:,} training and {examples[1]:,} validation texts"
    machine = record.get("machine", {})
    named = {"device": "", "processor": "", "torch": "torch "}
    where = ", ".join(f"{before}{machine[key]}" for key, before in named.items() if machine.get(key))
    return f"{record['status']}, started {record.get('started', '')}; {what}; {where}"


def _cards(record: dict[str, Any], validation: dict[str, Any], metrics: list[dict[str, Any]]) -> str:
    trained = [line for line in metrics if line["kind"] != "eval"]
    speeds = [line["tokens_per_second"] for line in trained]
    cards = [
        ("accuracy", validation.get("accuracy"), "{:.4f}"),
        ("macro-F1", validation.get("macro_f1"), "{:.4f}"),
        ("perplexity", validation.get("perplexity"), "{:.2f}"),
        ("validation loss", validation.get("loss"), "{:.4f}"),
        ("weights of step", record.get("best_step"), "{:,}"),
        ("steps", record.get("steps"), "{:,}"),
        ("seconds", record.get("seconds"), "{:,.0f}"),
        ("tokens per second", sum(speeds) / len(speeds) if speeds else None, "{:,.0f}"),
    ]
    shown = [
        f'<div class="card"><b>{form.format(value)}</b>{name}</div>'
        for name, value, form in cards
        if value is not None
    ]
    return f'<div class="cards">{"".join(shown)}</div>'


def _charts(metrics: list[dict[str, Any]]) -> list[str]:
    """Steps of pretraining and of classification follow one another on the x axis."""
    offset, last, at = 0, {"pretrain": 0, "train": 0}, []
    for line in metrics:
        kind = "train" if line["kind"] == "eval" and last["train"] else line["kind"]
        if kind == "train" and not last["train"]:
            offset = last["pretrain"]
        if kind in last:
            last[kind] = line["step"]
        at.append(line["step"] + (offset if kind == "train" else 0))

    def curve(name: str, key: str, kinds: tuple[str, ...], factor: float = 1.0) -> Curve:
        points = [
            (float(x), factor * line[key])
            for x, line in zip(at, metrics, strict=True)
            if line["kind"] in kinds and line.get(key) is not None
        ]
        return Curve(name, points)

    steps, both = "optimizer steps", ("pretrain", "train")
    charts = [
        ("Loss", [curve("training", "loss", both), curve("validation", "loss", ("eval",))], steps),
        (
            "Validation",
            [
                curve("accuracy", "accuracy", ("eval",)),
                curve("macro-F1", "macro_f1", ("eval",)),
            ],
            steps,
        ),
        ("Perplexity of held-out text", [curve("", "perplexity", ("eval",))], steps),
        ("Learning rate", [curve("", "lr", both)], steps),
        ("Tokens per second", [curve("", "tokens_per_second", both)], steps),
        ("Padding, %", [curve("", "padding", both, 100.0)], steps),
        ("Gradient norm", [curve("", "grad_norm", both)], steps),
    ]
    return [chart(*one) for one in charts if any(line.points for line in one[1])]


def chart(title: str, curves: Sequence[Curve], x_name: str) -> str:
    """A figure with up to two curves."""
    curves = [Curve(c.name, _thinned(c.points)) for c in curves if c.points]
    xs = [x for c in curves for x, _ in c.points]
    ys = [y for c in curves for _, y in c.points]
    ticks = _ticks(min(ys), max(ys))
    low, high = min(ticks[0], *ys), max(ticks[-1], *ys)
    left, right = min(xs), max(xs)

    def px(x: float) -> float:
        return LEFT + (WIDE - LEFT - 10) * (x - left) / max(right - left, 1e-12)

    def py(y: float) -> float:
        return TOP + (HIGH - BELOW - TOP) * (high - y) / max(high - low, 1e-12)

    parts = [
        f'<path class="grid" stroke="currentColor" d="M{LEFT} {py(t):.1f}H{WIDE - 10}"/>'
        f'<text x="{LEFT - 6}" y="{py(t) + 4:.1f}" text-anchor="end">{_number(t)}</text>'
        for t in ticks
        if low <= t <= high
    ]
    parts += [
        f'<text x="{px(left):.1f}" y="{HIGH - 8}">{left:,.0f}</text>',
        f'<text x="{px(right):.1f}" y="{HIGH - 8}" text-anchor="end">{right:,.0f} {x_name}</text>',
    ]
    for i, one in enumerate(curves):
        if len(one.points) == 1:
            (x, y), *_ = one.points
            parts.append(
                f'<circle class="k{i}" fill="currentColor" cx="{px(x):.1f}" cy="{py(y):.1f}" r="3"/>'
            )
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in one.points)
        parts.append(f'<polyline class="k{i}" {LINE} points="{path}"/>')
    names = [f'<span class="k{i}">&#9644; {escape(one.name)}</span>' for i, one in enumerate(curves)]
    legend = f' <span class="soft">{" ".join(names)}</span>' if curves[0].name else ""
    head = f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{escape(title)}" {TEXT}>'
    caption = f"<figcaption>{escape(title)}{legend}</figcaption>"
    return f"<figure>{caption}{head}{''.join(parts)}</svg></figure>"


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    span = high - low or abs(high) or 1.0
    raw = span / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step)
    return [step * i for i in range(first, math.ceil(high / step) + 1)]


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    return f"{value:.0e}" if abs(value) < 0.001 else f"{value:.4g}"


def _class_table(classes: dict[str, dict[str, Any]]) -> str:
    labels = list(classes)
    shown = [labels[i] for i in most_frequent([one["support"] for one in classes.values()], TABLE_ROWS)]
    rows = [
        f"<tr><td>{_label(label)}</td><td>{one['precision']:.3f}</td><td>{one['recall']:.3f}</td>"
        f"<td>{one['f1']:.3f}</td><td>{one['support']:,}</td></tr>"
        for label, one in ((label, classes[label]) for label in shown)
    ]
    head = "<tr><th>label</th><th>precision</th><th>recall</th><th>F1</th><th>examples</th></tr>"
    left_out = _left_out(len(labels) - len(shown), "classes are not shown; run.json has all")
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>{left_out}'


def _left_out(count: int, words: str) -> str:
    """A line below a table that does not show everything."""
    return f'<p class="soft">{count:,} more {words}</p>' if count else ""


def _confusions(validation: dict[str, Any]) -> str:
    labels = validation["labels"]
    if "confusions" in validation:
        return _pairs(validation["confusions"], validation["confusions_left_out"])
    counts = validation["confusion_matrix"]
    if len(labels) > MATRIX_UP_TO:
        return _pairs(_pairs_of(labels, counts), 0)
    head = "".join(f'<th title="{escape(label)}">{_label(label, 12)}</th>' for label in labels)
    rows = []
    for label, row in zip(labels, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            f'<td style="background: rgba(var(--heat), {0.75 * count / total:.2f})">{count or ""}</td>'
            for count in row
        )
        rows.append(f"<tr><th>{_label(label, 24)}</th>{cells}</tr>")
    table = f'<table class="matrix"><tr><th>true \\ predicted</th>{head}</tr>{"".join(rows)}</table>'
    return f'<div class="scroll">{table}</div>'


def _pairs_of(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[tuple[str, str, int]]:
    """(true, predicted, count) of a confusion matrix's errors, the most frequent first."""
    pairs = sorted(
        ((count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if i != j and count),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    return [(labels[i], labels[j], count) for count, i, j in pairs]


def _pairs(pairs: Sequence[tuple[str, str, int]], further: int) -> str:
    """A table of the first of some pairs, which `further` ones would follow."""
    rows = "".join(
        f"<tr><td>{_label(true)}</td><td>{_label(predicted)}</td><td>{count:,}</td></tr>"
        for true, predicted, count in pairs[:PAIRS]
    )
    head = "<tr><th>true</th><th>predicted</th><th>texts</th></tr>"
    left_out = _left_out(max(0, len(pairs) - PAIRS) + further, "pairs are not shown")
    return f'<div class="scroll"><table>{head}{rows}</table></div>{left_out}'


def _settings(record: dict[str, Any]) -> str:
    reasons = {choice["name"]: choice["reason"] for choice in record.get("choices", [])}
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="wrap">{escape(str(value))}</td>'
        f'<td class="wrap soft">{escape(reasons.get(name, ""))}</td></tr>'
        for name, value in record.get("config", {}).items()
    )
    table = f'<div class="scroll"><table>{rows}</table></div>'
    return f"<details><summary>every setting, and who decided it</summary>{table}</details>"


def _label(label: str, width: int = 60) -> str:
    return escape(cut(printable(label), width))
