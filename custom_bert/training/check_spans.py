"""`custom-bert check-data --task tokens`: the checks of texts with spans that `train` makes before its first
step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.config_checks import check
from custom_bert.data.labels import shown_label
from custom_bert.data.lines import Lines, ListedLines
from custom_bert.data.reading import data_settings
from custom_bert.data.text import is_blank
from custom_bert.errors import ConfigError
from custom_bert.phrases import at_lines, counted
from custom_bert.spans.findings import repeats, type_counts
from custom_bert.spans.spanned import SpannedTexts
from custom_bert.tasks.registry import TASKS
from custom_bert.tasks.span_reading import read_span_texts
from custom_bert.tasks.span_texts import SpanTexts
from custom_bert.training.check_data import NO_SETTINGS, unknown_warnings
from custom_bert.training.unread import unread_by

SHOWN = 10
"""The number of types whose spans are counted in the report, the most frequent ones."""


@dataclass(frozen=True)
class CheckedSpans:
    """Texts with spans that were checked.

    Attributes:
        source: the texts, divided as training would divide them.
        warnings: what a user should know of them and of the settings, one line each.
    """

    source: SpanTexts
    warnings: tuple[str, ...]


def check_spans(
    directory: str | Path, vocabulary: str | None = None, settings: Mapping[str, Any] = NO_SETTINGS
) -> CheckedSpans:
    """Returns the checked texts of a folder, with warnings.

    Args:
        directory: the folder with train.conll or train.jsonl, or such a file.
        vocabulary: the vocabulary that is compared with the texts, as for `check_data`.
        settings: changes to the default settings by dotted name, the task among them.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
        ConfigError: for settings that the task refuses.
        RunError: if there is no such checkpoint or run.
    """
    config = configuration.replace(TrainConfig(), {**data_settings(directory), **settings})
    task = TASKS[config.task]
    if faults := check(config) or task.faults(config):
        raise ConfigError([f"config: {fault}" for fault in faults])
    unread = unread_by(task, config)
    fraction = {"data.val_fraction": task.defaults()["data.val_fraction"]}
    source = read_span_texts(configuration.replace(config, fraction))
    unknown = unknown_warnings([_File(file) for file in source.files.values()], vocabulary)
    return CheckedSpans(source, (*source.warnings, *unread, *unknown))


@dataclass(frozen=True)
class _File:
    """A file of texts with spans, as a check of vocabularies reads it (`check_data.CheckedTexts`).

    Attributes:
        file: the file.
    """

    file: SpannedTexts

    def __len__(self) -> int:
        return len(self.file)

    @property
    def texts_path(self) -> str:
        """The path of the file."""
        return self.file.path

    @property
    def lines(self) -> Lines:
        """The texts, which are known by the lines at which they begin."""
        return _TextLines(self.file)

    @property
    def characters(self) -> int:
        """The number of characters of all texts."""
        return sum(map(len, self.file.texts))

    def blocks(self) -> Iterator[list[str]]:
        """Yields all texts."""
        yield self.file.texts

    def single_texts(self) -> Iterator[list[str]]:
        """Yields all texts."""
        yield self.file.texts


class _TextLines(ListedLines):
    """The texts of a file, with the numbers of the lines at which they begin."""

    def __init__(self, file: SpannedTexts) -> None:
        super().__init__(file.path, file.texts)
        self._numbers_N = np.array(file.lines, dtype=np.int64)

    def numbers(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns the lines at which some texts begin, from 1."""
        return np.asarray(self._numbers_N[rows_N])


def describe_spans(checked: CheckedSpans) -> list[str]:
    """Returns the report of a check, in lines: sizes, schemes, types, the division, and the warnings."""
    source = checked.source
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
    lines += [f"warning: {warning}" for warning in checked.warnings]
    return [*lines, f"no errors, {counted(len(checked.warnings), 'warning')}"]


def _amounts(file: SpannedTexts) -> Iterator[str]:
    """Yields how much there is of everything in a file."""
    yield counted(len(file), "text")
    yield counted(sum(map(len, file.texts)), "character")
    if file.words is not None:
        yield counted(sum(map(len, file.words)), "word")
    yield f"{counted(sum(map(len, file.spans)), 'span')} of {counted(len(file.types), 'type')}"
    if file.scheme is not None:
        yield f"tags in the scheme {file.scheme}"


def spans_as_json(checked: CheckedSpans) -> dict[str, Any]:
    """Returns the report of a check for programs, with every line number. `divided` says whether validation
    texts are set aside; `duplicates` has the line of a text, and that of one that repeats it."""
    source = checked.source
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
        "warnings": list(checked.warnings),
    }
