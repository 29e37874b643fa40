"""`custom-bert check-data --task tokens`: the checks of texts with spans that `train` makes before its first
step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.config_checks import check
from custom_bert.data.labels import shown_label
from custom_bert.data.reading import data_settings
from custom_bert.data.text import is_blank
from custom_bert.errors import ConfigError
from custom_bert.phrases import at_lines, counted
from custom_bert.spans.findings import repeats, type_counts
from custom_bert.spans.spanned import SpannedTexts
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.span_reading import read_span_texts
from custom_bert.tasks.span_texts import SpanTexts

SHOWN = 10
"""The number of types whose spans are counted in the report, the most frequent ones."""


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
    lines = [f"{file.path}: {', '.join(_amounts(file))}" for file in source.files.values()]
    if source.was_divided:
        lines.append(f"no validation file: {counted(len(source.val), 'text')} would be set aside from these")
    largest = sorted(type_counts(source.train.file).items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{shown_label(name)} {count:,}" for name, count in largest[:SHOWN])
    lines.append(f"training spans by type: {shown}{', ...' if len(largest) > SHOWN else ''}")
    again = [source.train.file.lines[row] for _, row in repeats(source.train.file)]
    if again:
        repeat = "repeats" if len(again) == 1 else "repeat"
        lines.append(f"{counted(len(again), 'training text')} {repeat} an earlier one{at_lines(again)}")
    lines += [f"warning: {warning}" for warning in source.warnings]
    return [*lines, f"no errors, {counted(len(source.warnings), 'warning')}"]


def _amounts(file: SpannedTexts) -> Iterator[str]:
    """Yields how much there is of everything in a file."""
    yield counted(len(file), "text")
    yield counted(sum(map(len, file.texts)), "character")
    if file.words is not None:
        yield counted(sum(map(len, file.words)), "word")
    yield f"{counted(sum(map(len, file.spans)), 'span')} of {counted(len(file.types), 'type')}"
    if file.scheme is not None:
        yield f"tags in the scheme {file.scheme}"


def spans_as_json(source: SpanTexts) -> dict[str, Any]:
    """Returns the report of a check for programs, with every line number. `divided` says whether validation
    texts are set aside; `duplicates` has the line of a text, and that of one that repeats it."""
    files = {
        split: {
            "path": file.path,
            "texts": len(file),
            "characters": sum(map(len, file.texts)),
            "words": None if file.words is None else sum(map(len, file.words)),
            "spans": sum(map(len, file.spans)),
            "scheme": file.scheme,
            "documents": len(set(file.document_of)),
            "empty_texts": [file.lines[row] for row, text in enumerate(file.texts) if is_blank(text)],
            "duplicates": [[file.lines[first], file.lines[row]] for first, row in repeats(file)],
        }
        for split, file in source.files.items()
    }
    return {
        "files": files,
        "divided": source.was_divided,
        "labels": type_counts(source.train.file),
        "warnings": list(source.warnings),
    }
