"""The lines of text that `custom-bert info` prints of a run's record, run.json."""

from __future__ import annotations

from typing import Any

from custom_bert.reports.facts import (
    columns_of,
    ensemble_lines,
    kept_by,
    lines_of_test,
    reasons,
    started_from,
    trained_on,
)
from custom_bert.reports.labels import most_frequent, printable
from custom_bert.reports.measures import in_words
from custom_bert.reports.tables import TABLE_ROWS


def info_lines(record: dict[str, Any]) -> list[str]:
    """Returns status, data, result, files, labels, settings with their reasons, and warnings."""
    data = record.get("data", {})
    about, start, warnings = trained_on(record), started_from(record), data.get("warnings", [])
    result = _result(record)
    return [
        f"status      {record.get('status')}, started {record.get('started')}",
        *([f"trained on  {about}"] if about else []),
        *([f"began from  {start}"] if start else []),
        *([f"columns     {columns}"] if (columns := columns_of(record)) else []),
        *([result] if result else []),
        *(
            [f"floor       {in_words(record['floor'])}: a linear model on n-grams"]
            if "floor" in record
            else []
        ),
        *(f"{line[:10]}  {line[11:]}" for line in _together(record)),
        *(f"{line[:10]}  {line[11:]}" for line in lines_of_test(record)[1:]),
        "",
        "files (sha256)",
        *(f"  {sha[:16]}  {path}" for path, sha in data.get("files", {}).items()),
        *_label_lines(data.get("labels", {})),
        "",
        "settings",
        *_setting_lines(record),
        *([""] if warnings else []),
        *(f"warning: {line}" for line in warnings),
    ]


def _together(record: dict[str, Any]) -> list[str]:
    """Returns the scores of the encoder alone and of encoder and floor together, if there are both."""
    return ensemble_lines(record.get("ensemble"), record.get("validation") or {})


def _result(record: dict[str, Any]) -> str:
    """Returns the scores of a finished run; for an unfinished one, the step of its best weights, if any."""
    if validation := record.get("validation"):
        return (
            f"result      {in_words(validation)} at step {record['best_step']:,} of {record['steps']:,}, "
            f"{record['seconds']:.0f} s"
        )
    if record.get("best_step"):
        return (
            f"kept        weights of step {record['best_step']:,} of {record['steps']:,}, "
            f"{kept_by(record)} {record['best_metric']:.4f}"
        )
    return ""


def _label_lines(examples: dict[str, int]) -> list[str]:
    """Returns the number of training examples of each label; of very many labels, the most frequent ones."""
    if not examples:
        return []
    labels = list(examples)
    rows = most_frequent(list(examples.values()), TABLE_ROWS)
    lines = ["", "labels (training examples)"]
    lines += [f"  {examples[labels[i]]:>8,}  {printable(labels[i])}" for i in rows]
    if len(rows) < len(labels):
        lines.append(
            f"  {len(labels) - len(rows):,} more labels are not shown; info --json prints every label"
        )
    return lines


def _setting_lines(record: dict[str, Any]) -> list[str]:
    why = reasons(record)
    return [
        f"  {name:<34} {value!s:<16} {why.get(name, '')}".rstrip()
        for name, value in record.get("config", {}).items()
    ]
