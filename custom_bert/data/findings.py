"""Warnings about data that can be used but may be wrong, with counts and line numbers; the report of a
check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from custom_bert.data.dataset import Dataset, LabelledFile
from custom_bert.data.division import leaders
from custom_bert.data.labels import folded, short_label, shown_label
from custom_bert.phrases import at_lines, counted

RARE = 3
"""Labels with fewer training examples than this are warned about."""


def warn_label_spelling(file: LabelledFile, labels: Sequence[str], warnings: list[str]) -> None:
    """Warns about labels that differ only in how they are written, since they are probably one label."""
    seen: dict[str, int] = {}
    twins = [(seen.setdefault(folded(label), i), i) for i, label in enumerate(labels)]
    twins = [(first, second) for first, second in twins if first != second]
    if twins:
        names = ", ".join(f"{short_label(labels[i])} and {short_label(labels[k])}" for i, k in twins[:5])
        lines = [file.targets.first_line(second) for _, second in twins[:5]]
        warnings.append(
            f"{file.labels_path}: {counted(len(twins), 'label')} like another except for case, spaces or "
            f"width, counted as different: {names}{at_lines(lines, len(twins))}"
        )


def warn_rare(file: LabelledFile, labels: Sequence[str], warnings: list[str]) -> None:
    """Warns about labels that have too few examples to be learned."""
    counts = file.targets.counts(len(labels))
    rare = np.flatnonzero(counts < RARE)
    if len(rare):
        lines = [file.targets.first_line(label) for label in rare[:5].tolist()]
        names = ", ".join(short_label(labels[label]) for label in rare[:5])
        warnings.append(
            f"{file.labels_path}: {counted(len(rare), 'label')} with fewer than {RARE} examples: "
            f"{names}{at_lines(lines, len(rare))}"
        )


def duplicates(file: LabelledFile) -> np.ndarray:
    """Returns (D, 2) lines, from 1: the first line of a text, and another line with the same text.

    There is one pair for each repeated line, whatever its label.
    """
    leader_N = leaders(file.hashes_N)
    rows = np.flatnonzero(leader_N != np.arange(len(leader_N)))
    return np.stack([leader_N[rows], rows], axis=1) + 1


def conflicts(file: LabelledFile) -> np.ndarray:
    """Returns (C, 2) lines, from 1: the first line of a text, and a line where it has another label."""
    leader_N = leaders(file.hashes_N)
    ids_N = file.targets.distinct_ids_N
    rows = np.flatnonzero(ids_N != ids_N[leader_N])
    return np.stack([leader_N[rows], rows], axis=1) + 1


def leaks(train: LabelledFile, val: LabelledFile) -> np.ndarray:
    """Returns (L, 2) lines, from 1: the line of a validation text, and the first training line with this
    text."""
    hashes, first = np.unique(train.hashes_N, return_index=True)
    at_N = np.minimum(np.searchsorted(hashes, val.hashes_N), len(hashes) - 1)
    rows = np.flatnonzero(hashes[at_N] == val.hashes_N)
    return np.stack([rows, first[at_N[rows]]], axis=1) + 1


def warn_conflicts(file: LabelledFile, warnings: list[str]) -> None:
    """Warns about texts that have more than one label, with the first two such lines of each text."""
    lines = conflicts(file)
    firsts, at = np.unique(lines[:, 0], return_index=True)
    if len(firsts):
        pairs = [f"{first} and {lines[i, 1]}" for first, i in zip(firsts[:5], at[:5], strict=True)]
        more = ", ..." if len(firsts) > 5 else ""
        warnings.append(
            f"{file.texts_path}: {counted(len(firsts), 'text')} under more than one label "
            f"(lines {', '.join(pairs)}{more})"
        )


def warn_leaks(
    train: LabelledFile, other: LabelledFile, warnings: list[str], split: str = "validation"
) -> None:
    """Warns about validation or test texts that are among the training texts."""
    lines = leaks(train, other)[:, 0]
    if len(lines):
        warnings.append(
            f"{other.texts_path}: {counted(len(lines), 'text')} also in {train.texts_path}"
            f"{at_lines(lines)}; the {split} scores are too high because of these texts"
        )


def describe(dataset: Dataset) -> list[str]:
    """Returns the report of a check, in lines: sizes, labels, the division, and the warnings."""
    train, val = dataset.train.file, dataset.val.file
    lines = [
        f"{train.texts_path}: {len(train):,} lines, {train.characters:,} characters, "
        f"{len(dataset.labels):,} labels"
    ]
    if dataset.was_divided:
        lines.append(f"no validation files: {len(dataset.val):,} lines would be set aside from these")
    else:
        lines.append(f"{val.texts_path}: {len(val):,} lines, {val.characters:,} characters")
    if dataset.test is not None:
        test = dataset.test.file
        lines.append(f"{test.texts_path}: {len(test):,} lines, {test.characters:,} characters")
    largest = sorted(dataset.label_counts().items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{shown_label(label)} {count:,}" for label, count in largest[:10])
    lines.append(f"training examples by label: {shown}{', ...' if len(largest) > 10 else ''}")
    again = duplicates(train)[:, 1]
    if len(again):
        times = counted(len(again), "training line")
        lines.append(f"{times} {'repeats' if len(again) == 1 else 'repeat'} an earlier text{at_lines(again)}")
    lines += [f"warning: {warning}" for warning in dataset.warnings]
    return [*lines, f"no errors, {counted(len(dataset.warnings), 'warning')}"]


def as_json(dataset: Dataset) -> dict[str, Any]:
    """Returns the report of a check for programs, with every line number.

    `divided` says whether validation lines are set aside from the training lines.
    """
    train, test = dataset.train.file, dataset.test
    files = {
        split: {
            "texts": file.texts_path,
            "labels": file.labels_path,
            "lines": len(file),
            "characters": file.characters,
            "empty_texts": file.empty_lines,
            "duplicates": duplicates(file).tolist(),
            "conflicts": conflicts(file).tolist(),
        }
        for split, file in dataset.files.items()
    }
    return {
        "files": files,
        "divided": dataset.was_divided,
        "labels": dataset.label_counts(),
        "leaks": [] if dataset.was_divided else leaks(train, dataset.val.file).tolist(),
        **({} if test is None else {"test_leaks": leaks(train, test.file).tolist()}),
        "warnings": list(dataset.warnings),
    }
