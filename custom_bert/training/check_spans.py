"""`custom-bert check-data --task tokens`: the checks of texts with spans that `train` makes before its first
step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.config_checks import check
from custom_bert.data.reading import data_settings
from custom_bert.errors import ConfigError
from custom_bert.phrases import counted
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.span_reading import read_span_texts
from custom_bert.tasks.span_texts import SpanTexts


def check_spans(directory: str | Path, settings: Mapping[str, Any]) -> SpanTexts:
    """Returns the checked texts of a folder, with warnings.

    Args:
        directory: the folder with train.conll or train.jsonl, or such a file.
        settings: changes to the default settings by dotted name, the task among them.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
        ConfigError: for settings that the task refuses.
    """
    config = configuration.replace(TrainConfig(), {**data_settings(directory), **settings})
    task = TASKS[config.task]
    if faults := check(config) or task.faults(config):
        raise ConfigError([f"config: {fault}" for fault in faults])
    fraction = {"data.val_fraction": task.defaults()["data.val_fraction"]}
    return read_span_texts(configuration.replace(config, fraction))


def describe_spans(source: SpanTexts) -> list[str]:
    """Returns the report of a check, in lines: sizes, schemes, types, the division, and the warnings."""
    lines = []
    for file in source.files.values():
        scheme = f", tags in the scheme {file.scheme}" if file.scheme else ""
        spans = sum(map(len, file.spans))
        lines.append(f"{file.path}: {counted(len(file), 'text')}, {counted(spans, 'span')}{scheme}")
    if source.was_divided:
        lines.append(f"no validation file: {counted(len(source.val), 'text')} would be set aside from these")
    lines.append(f"training spans by type: {', '.join(f'{k} {n:,}' for k, n in source.counts.items())}")
    lines += [f"warning: {warning}" for warning in source.warnings]
    return [*lines, f"no errors, {counted(len(source.warnings), 'warning')}"]


def spans_as_json(source: SpanTexts) -> dict[str, Any]:
    """Returns the report of a check for programs. `divided` says whether validation texts are set aside."""
    files = {
        split: {
            "path": file.path,
            "texts": len(file),
            "spans": sum(map(len, file.spans)),
            "scheme": file.scheme,
            "documents": len(set(file.document_of)),
        }
        for split, file in source.files.items()
    }
    return {
        "files": files,
        "divided": source.was_divided,
        "labels": source.counts,
        "warnings": list(source.warnings),
    }
