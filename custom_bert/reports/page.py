"""A run as one HTML page: curves, scores and settings.

The page loads nothing from elsewhere. It follows the reader's light or dark theme and fits a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.errors import RunError, WriteError, system_reason
from custom_bert.reports.facts import reasons, trained_on
from custom_bert.reports.measures import measured
from custom_bert.reports.progress import TRAINING, read_metrics, training_charts
from custom_bert.reports.sections import score_sections, table
from custom_bert.reports.styles import style

MARK = '<meta name="generator" content="custom-bert report">'
"""Marks a page as ours. Only such a page is overwritten by a new one."""


def write_report(run: str | Path, out: str | Path | None = None) -> Path:
    """Writes a run's page.

    Args:
        run: the directory of a run, which need not be finished.
        out: the file to write; None for report.html in the run directory.

    Returns:
        The path of the page.

    Raises:
        RunError: if there is no run, or its records are damaged.
        WriteError: if `out` is a file and not such a page, or the system refuses to write.
    """
    run = Path(run)
    path = run / "report.html" if out is None else Path(out)
    record, metrics = files.read_run_json(run, "run.json"), read_metrics(run / "metrics.jsonl")
    try:
        page = report_page(run.name or str(run.absolute().name), record, metrics)
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise RunError(f"{run / 'run.json'}: damaged: not the record of a run") from error
    _check_replaceable(path)
    files.write_text(path, page)
    return path


def _check_replaceable(path: Path) -> None:
    """Raises WriteError if the path exists and is not a page of ours."""
    if not path.exists():
        return
    try:
        with files.open_regular(path) as stream:
            beginning = stream.read(400)
    except OSError as error:
        raise WriteError(f"{path}: cannot be replaced by the page: {system_reason(error)}") from error
    if MARK.encode() not in beginning:
        raise WriteError(f"{path}: exists already, is not a report of a run, and is not overwritten")


def report_page(name: str, record: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> str:
    """Returns the page of a run.

    Args:
        name: the title.
        record: the content of run.json.
        metrics: the records of metrics.jsonl.
    """
    validation = record.get("validation") or {}
    warnings = record.get("data", {}).get("warnings", [])
    charts = training_charts(metrics)
    body = [
        f"<h1>{escape(name)}</h1>",
        *(f'<p class="soft">{escape(line)}</p>' for line in _about(record)),
        _cards(record, validation, metrics),
        *(["<h2>Warnings</h2>"] if warnings else []),
        *(f"<p>{escape(line)}</p>" for line in warnings),
        "<h2>Training</h2>",
        f'<div class="charts">{"".join(charts)}</div>'
        if charts
        else "<p>metrics.jsonl holds no step and no evaluation.</p>",
        *score_sections(validation),
        *score_sections(record.get("test") or {}, " of the test texts"),
        "<h2>Settings</h2>",
        _settings(record),
    ]
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            MARK,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(name)}</title><style>\n{style('style.css')}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _about(record: dict[str, Any]) -> list[str]:
    """Returns sentences about when, where and on what the run was trained."""
    machine = record.get("machine", {})
    named = {"device": "", "processor": "", "torch": "torch "}
    where = ", ".join(f"{before}{machine[key]}" for key, before in named.items() if machine.get(key))
    lines = [f"This run is {record['status']}."]
    if record.get("started"):
        lines[0] += f" It was started at {record['started']}{' on ' + where if where else ''}."
    if about := trained_on(record):
        lines.append(f"It was trained on {about}.")
    return lines


def _cards(record: dict[str, Any], validation: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> str:
    """Returns boxes with the measures of the kept weights, and with steps, time and speed."""
    speeds = [line.get("tokens_per_second") for line in metrics if line["kind"] in TRAINING]
    known = [speed for speed in speeds if speed is not None and math.isfinite(speed)]
    alone, test = record.get("ensemble", {}).get("encoder_alone", {}), record.get("test") or {}
    cards = [
        *((one.words, value, one.form) for one, value in measured(validation)),
        *((f"{one.words} of the floor", value, one.form) for one, value in measured(record.get("floor", {}))),
        *((f"{one.words} of the encoder alone", value, one.form) for one, value in measured(alone)),
        *((f"{one.words} on test texts", value, one.form) for one, value in measured(test)),
        *(
            (
                f"{one.words} of the {side}{' alone' if side == 'encoder' else ''} on test texts",
                value,
                one.form,
            )
            for side in ("floor", "encoder")
            for one, value in measured(test.get(side, {}))
        ),
        ("validation loss", validation.get("loss"), "{:.4f}"),
        ("weights of step", record.get("best_step"), "{:,}"),
        ("steps", record.get("steps"), "{:,}"),
        ("seconds", record.get("seconds"), "{:,.0f}"),
        ("tokens per second", sum(known) / len(known) if known else None, "{:,.0f}"),
    ]
    shown = [
        f'<div class="card"><b>{form.format(value)}</b>{words}</div>'
        for words, value, form in cards
        if value is not None
    ]
    return f'<div class="cards">{"".join(shown)}</div>'


def _settings(record: dict[str, Any]) -> str:
    why = reasons(record)
    rows = [
        f'<tr><td>{escape(name)}</td><td class="wrap">{escape(str(value))}</td>'
        f'<td class="wrap soft">{escape(why.get(name, ""))}</td></tr>'
        for name, value in record.get("config", {}).items()
    ]
    return f"<details><summary>every setting, and who decided it</summary>{table([], rows)}</details>"
