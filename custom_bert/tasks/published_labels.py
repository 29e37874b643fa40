"""What a published classifier predicts, by the keys of its config.json that transformers reads too.

`problem_type` says whether a text has one label, any number of labels, or numbers. Without it, transformers
takes numbers for one output and one label for several, and so does this module. `id2label` names the outputs.
Two keys are those of our exports: `thresholds`, which the probabilities of labels have to reach where a text
may have any number of them, and `label_separator`, which stands between the labels or numbers of a line.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from custom_bert.data.labels import is_label, short_label
from custom_bert.errors import RunError, shown
from custom_bert.tasks.classification import Classification
from custom_bert.tasks.multi_label import MultiLabel
from custom_bert.tasks.regression import Regression
from custom_bert.tasks.task import Task
from custom_bert.tasks.tokens import Tokens

PROBLEMS = tuple(task.problem_type for task in (Classification, MultiLabel, Regression))
"""The values of `problem_type` that transformers has."""

DEFAULT_OUTPUTS = 2
"""The number of outputs if config.json says nothing: transformers leaves out the names of two."""

MOST_UNNAMED = 1 << 20
"""The largest number of outputs without names that is believed; a damaged config.json may say any number."""


def read_task(path: Path, values: dict[str, Any]) -> Task:
    """Returns what a classifier predicts.

    Args:
        path: of config.json, for messages.
        values: its content.

    Raises:
        RunError: if a key has another form than transformers writes, or two outputs have one name.
    """
    names = _names(path, values)
    problem = values.get("problem_type")
    if problem is not None and problem not in PROBLEMS:
        raise RunError(f"{path}: problem_type is {shown(problem)}; known are {', '.join(PROBLEMS)}")
    if problem == Classification.problem_type and len(names) == 1:
        raise RunError(
            f"{path}: problem_type is {problem!r}, which needs two labels or more, and there is one; for a "
            f"number, write {Regression.problem_type!r}"
        )
    separator = values.get("label_separator", "\t")
    if not isinstance(separator, str) or not separator:
        raise RunError(f"{path}: label_separator is {shown(separator)}; expected characters")
    if problem == Regression.problem_type or (problem is None and len(names) == 1):
        return Regression((0.0,) * len(names), (1.0,) * len(names), separator)
    _check_labels(path, names)
    return MultiLabel(names, separator) if problem == MultiLabel.problem_type else Classification(names)


def read_tags(path: Path, values: dict[str, Any]) -> tuple[Tokens, tuple[int, ...]]:
    """Returns what a classifier of tokens predicts, and the number of its output for each of our tags, in the
    order of these.

    Args:
        path: of config.json, for messages.
        values: its content.

    Raises:
        RunError: if its outputs are not `O`, and a `B-` and an `I-` of each type.
    """
    names = _names(path, values)
    types = tuple(sorted({name[2:] for name in names if name[:2] in ("B-", "I-")}))
    task = Tokens(types)
    if not types or sorted(names) != sorted(task.tags):
        raise RunError(
            f"{path}: id2label is {shown(list(names))}; expected O, and B- and I- of each type of spans, such as "
            f"B-PER and I-PER"
        )
    _check_labels(path, types)
    return task, tuple(names.index(tag) for tag in task.tags)


def read_thresholds(path: Path, values: dict[str, Any], labels: tuple[str, ...]) -> Tensor | None:
    """Returns (C,) fp32 the thresholds of the labels, in their order; None if config.json has none.

    Args:
        path: of config.json, for messages.
        values: its content.
        labels: the names of the labels.

    Raises:
        RunError: if the thresholds are not numbers from 0 to 1, one for each label.
    """
    given = values.get("thresholds")
    if given is None:
        return None
    if not isinstance(given, dict) or given.keys() != set(labels):
        raise RunError(f"{path}: thresholds is {shown(given)}; expected a number for each label of id2label")
    for label in labels:
        value = given[label]
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise RunError(
                f"{path}: thresholds: {shown(value)} of the label {short_label(label)} is no number from 0 "
                f"to 1"
            )
    return torch.tensor([float(given[label]) for label in labels])


def _names(path: Path, values: dict[str, Any]) -> tuple[str, ...]:
    """Returns the names of the outputs in their order, which is the order of their numbers."""
    given = values.get("id2label")
    if given is None:
        outputs = values.get("num_labels", DEFAULT_OUTPUTS)
        if type(outputs) is not int or not 1 <= outputs <= MOST_UNNAMED:
            raise RunError(f"{path}: num_labels is {shown(outputs)}")
        return tuple(f"LABEL_{index}" for index in range(outputs))
    if not isinstance(given, dict) or not given or not all(isinstance(one, str) for one in given.values()):
        raise RunError(f"{path}: id2label is {shown(given)}; expected a name for each output, by its number")
    by_number = {_number(key): name for key, name in given.items()}
    if by_number.keys() != set(range(len(given))):
        raise RunError(
            f"{path}: id2label has the keys {shown(list(given))}; expected the numbers of the outputs, 0 to "
            f"{len(given) - 1:,}"
        )
    return tuple(by_number[index] for index in range(len(by_number)))


def _number(key: str) -> float:
    """Returns the number of an output; not a number if the key says none."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < 9 else math.nan


def _check_labels(path: Path, labels: tuple[str, ...]) -> None:
    """Refuses what training would not take for labels, and a label that stands there twice."""
    seen = set[str]()
    for label in labels:
        if not is_label(label):
            raise RunError(f"{path}: id2label: {short_label(label)} cannot be a label")
        if label in seen:
            raise RunError(f"{path}: id2label has the label {short_label(label)} twice; rename one")
        seen.add(label)
