"""Warnings about data that can be used but may be wrong, with counts and line numbers; the report of a
check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from custom_bert.data.dataset import Dataset, LabelledFile
from custom_bert.data.division import leaders
from custom_bert.data.labels import folded, short_label, shown_label
from custom_bert.data.lines import Lines, at
from custom_bert.phrases import counted

RARE = 3
"""Labels with fewer training examples than this are warned about."""


def warn_label_spelling(file: LabelledFile, labels: Sequence[str], warnings: list[str]) -> None:
    """Warns about labels that differ only in how they are written, since they are probably one label."""
    seen: dict[str, int] = {}
    twins = [(seen.setdefault(folded(label), i), i) for i, label in enumerate(labels)]
    twins = [(first, second) for first, second in twins if first != second]
    if twins:
        names = ", ".join(f"{short_label(labels[i])} and {short_label(labels[k])}" for i, k in twins[:5])
        rows = [file.targets.first_line(second) - 1 for _, second in twins[:5]]
        warnings.append(
            f"{file.labels_path}: {counted(len(twins), 'label')} like another except for case, spaces or "
            f"width, counted as different: {names}{at(file.label_lines, rows, len(twins))}"
        )


def warn_rare(file: LabelledFile, labels: Sequence[str], warnings: list[str]) -> None:
    """Warns about labels that have too few examples to be learned."""
    counts = file.targets.counts(len(labels))
    rare = np.flatnonzero(counts < RARE)
    if len(rare):
        rows = [file.targets.first_line(label) - 1 for label in rare[:5].tolist()]
        names = ", ".join(short_label(labels[label]) for label in rare[:5])
        warnings.append(
            f"{file.labels_path}: {counted(len(rare), 'label')} with fewer than {RARE} examples: "
            f"{names}{at(file.label_lines, rows, len(rare))}"
        )


def duplicates(file: LabelledFile) -> np.ndarray:
    """Returns (D, 2) rows, from 0: the first row of a text, and another row with the same text.

    There is one pair for each repeated text, whatever its label.
    """
    leader_N = leaders(file.hashes_N)
    rows = np.flatnonzero(leader_N != np.arange(len(leader_N)))
    return np.stack([leader_N[rows], rows], axis=1)


def conflicts(file: LabelledFile) -> np.ndarray:
    """Returns (C, 2) rows, from 0: the first row of a text, and a row where it has another label."""
    leader_N = leaders(file.hashes_N)
    ids_N = file.targets.distinct_ids_N
    rows = np.flatnonzero(ids_N != ids_N[leader_N])
    return np.stack([leader_N[rows], rows], axis=1)


def leaks(train: LabelledFile, val: LabelledFile) -> np.ndarray:
    """Returns (L, 2) rows, from 0: that of a validation text, and the first training row with this text."""
    hashes, first = np.unique(train.hashes_N, return_index=True)
    at_N = np.minimum(np.searchsorted(hashes, val.hashes_N), len(hashes) - 1)
    rows = np.flatnonzero(hashes[at_N] == val.hashes_N)
    return np.stack([rows, first[at_N[rows]]], axis=1)


def warn_conflicts(file: LabelledFile, warnings: list[str]) -> None:
    """Warns about texts that have more than one label, with the first two such lines of each text."""
    rows = conflicts(file)
    firsts, places = np.unique(rows[:, 0], return_index=True)
    if len(firsts):
        numbers = file.lines.numbers(rows[places[:5]]).tolist()
        pairs = [f"{first} and {other}" for first, other in numbers]
        more = ", ..." if len(firsts) > 5 else ""
        warnings.append(
            f"{file.texts_path}: {counted(len(firsts), 'text')} under more than one label "
            f"({file.lines.words.line}s {', '.join(pairs)}{more})"
        )


def warn_leaks(
    train: LabelledFile, other: LabelledFile, warnings: list[str], split: str = "validation"
) -> None:
    """Warns about validation or test texts that are among the training texts."""
    rows = leaks(train, other)[:, 0]
    if len(rows):
        warnings.append(
            f"{other.texts_path}: {counted(len(rows), 'text')} also in {train.texts_path}"
            f"{at(other.lines, rows)}; the {split} scores are too high because of these texts"
        )


def warn_shared_groups(
    train_groups: np.ndarray, lines: Lines, groups_N: np.ndarray, has_group_N: np.ndarray, warnings: list[str]
) -> None:
    """Warns about validation lines whose groups train, too.

    Args:
        train_groups: hashes of the groups that train.
        lines: the groups of the validation lines.
        groups_N: (N,) the hash of each of them.
        has_group_N: (N,) whether a line has a group.
        warnings: the list that a warning is added to.
    """
    rows = np.flatnonzero(np.isin(groups_N, train_groups) & has_group_N)
    if len(rows):
        warnings.append(
            f"{lines.name}: {counted(len(rows), lines.words.line)} of groups that also train{at(lines, rows)}"
            f"; the validation scores may be too high because of these"
        )


def describe(dataset: Dataset) -> list[str]:
    """Returns the report of a check, in lines: sizes, labels, the division, and the warnings."""
    train, val, words = dataset.train.file, dataset.val.file, dataset.train.file.lines.words
    lines = [*(dataset.columns.said() if dataset.columns else [])]
    lines.append(
        f"{train.texts_path}: {len(train):,} {words.line}s, {train.characters:,} characters, "
        f"{train.targets.amount(dataset.labels)}"
    )
    if dataset.was_divided:
        aside = f"{len(dataset.val):,} {words.line}s would be set aside from these"
        lines.append(f"{words.no_validation}: {aside}")
    else:
        lines.append(f"{val.texts_path}: {len(val):,} {words.line}s, {val.characters:,} characters")
    if dataset.test is not None:
        test = dataset.test.file
        lines.append(f"{test.texts_path}: {len(test):,} {words.line}s, {test.characters:,} characters")
    largest = sorted(dataset.label_counts().items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{shown_label(label)} {count:,}" for label, count in largest[:10])
    of_each = f"training examples by label: {shown}{', ...' if len(largest) > 10 else ''}"
    lines.append(of_each if largest else dataset.train.targets.said(()))
    again = duplicates(train)[:, 1]
    if len(again):
        times, repeat = (
            counted(len(again), f"training {words.line}"),
            "repeats" if len(again) == 1 else "repeat",
        )
        lines.append(f"{times} {repeat} an earlier text{at(train.lines, again)}")
    lines += [f"warning: {warning}" for warning in dataset.warnings]
    return [*lines, f"no errors, {counted(len(dataset.warnings), 'warning')}"]


def as_json(dataset: Dataset) -> dict[str, Any]:
    """Returns the report of a check for programs, with every line number, or row of a table.

    `divided` says whether validation lines are set aside from the training lines.
    """
    train, test = dataset.train.file, dataset.test
    files = {
        split: {
            "texts": file.texts_path,
            "labels": file.labels_path,
            "lines": len(file),
            "characters": file.characters,
            "empty_texts": file.lines.numbers(np.array(file.empty_rows, dtype=np.int64)).tolist(),
            "duplicates": file.lines.numbers(duplicates(file)).tolist(),
            "conflicts": file.lines.numbers(conflicts(file)).tolist(),
        }
        for split, file in dataset.files.items()
    }
    return {
        "files": files,
        "divided": dataset.was_divided,
        "labels": dataset.label_counts(),
        **dataset.train.targets.summary(),
        "leaks": [] if dataset.was_divided else _leaking(train, dataset.val.file),
        **({} if test is None else {"test_leaks": _leaking(train, test.file)}),
        "warnings": list(dataset.warnings),
    }


def _leaking(train: LabelledFile, val: LabelledFile) -> list[list[int]]:
    """Returns the numbers of each validation text that is among the training texts, and of that one."""
    rows = leaks(train, val)
    numbers = val.lines.numbers(rows[:, 0]), train.lines.numbers(rows[:, 1])
    pairs: list[list[int]] = np.stack(numbers, axis=1).tolist()
    return pairs
