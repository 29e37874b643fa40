"""labels.json of a model directory: the names of the classes, in the order of the model's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.data.labels import is_label, short_label
from custom_bert.errors import RunError, shown

NAME = "labels.json"

MOST_LABELS = 1 << 24
"""The largest number of labels that is believed in a description; a damaged one may name any number."""


def read_labels(directory: Path, stored: Mapping[str, Any]) -> tuple[str, ...]:
    """Reads labels.json, which has to hold as many different labels as the description says.

    Args:
        directory: the model directory.
        stored: the content of its description.

    Raises:
        RunError: if labels.json is missing or damaged, or the two disagree.
    """
    count, path = stored.get("num_labels"), directory / NAME
    if type(count) is not int or not 1 <= count <= MOST_LABELS:
        raise RunError(f"{directory / 'config.json'}: num_labels is {shown(count)}")
    labels = files.read_run_json(directory, NAME)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise RunError(f"{path}: expected a list of strings")
    for label in labels:
        if not is_label(label):
            raise RunError(f"{path}: {short_label(label)} cannot be a label")
    if len(labels) != count:
        raise RunError(f"{path}: expected {count} labels, got {len(labels)}")
    seen = set[str]()
    for label in labels:
        if label in seen:
            raise RunError(f"{path}: the label {short_label(label)} stands there twice")
        seen.add(label)
    return tuple(labels)


def write_labels(directory: Path, labels: Sequence[str]) -> None:
    """Writes labels.json."""
    files.write_json(directory / NAME, list(labels))


def read_separator(directory: Path, stored: Mapping[str, Any]) -> str:
    """Returns the characters between the labels or numbers of a line, from the description.

    Raises:
        RunError: if they are missing or damaged.
    """
    separator = stored.get("label_separator")
    if not isinstance(separator, str) or not separator:
        raise RunError(f"{directory / 'config.json'}: label_separator is {shown(separator)}")
    return separator
