"""What a user should be told about data that can be used: warnings, with counts and line numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from custom_bert.data.labels import folded, label_counts, short_label, shown_label
from custom_bert.data.phrases import at_lines, counted
from custom_bert.data.text import leaders

if TYPE_CHECKING:
    from custom_bert.data.dataset import Dataset, TextFile

RARE = 3
"""Labels with fewer training examples than this are warned about."""


def warn_label_spelling(file: TextFile, labels: Sequence[str], warnings: list[str]) -> None:
    """Labels that look the same are probably one label."""
    seen: dict[str, int] = {}
    twins = [(seen.setdefault(folded(label), i), i) for i, label in enumerate(labels)]
    twins = [(first, second) for first, second in twins if first != second]
    if twins:
        names = ", ".join(f"{short_label(labels[i])} and {short_label(labels[k])}" for i, k in twins[:5])
        lines = [int(np.argmax(file.label_ids_N == second)) + 1 for _, second in twins[:5]]
        warnings.append(
            f"{file.labels_path}: {counted(len(twins), 'label')} like another but for case, spaces or width, "
            f"counted as different: {names}{at_lines(lines, len(twins))}"
        )


def warn_rare(file: TextFile, labels: Sequence[str], warnings: list[str]) -> None:
    """Labels with too few examples to be learned."""
    counts = np.bincount(file.label_ids_N, minlength=len(labels))
    rare = np.flatnonzero(counts < RARE)
    if len(rare):
        lines = [int(np.argmax(file.label_ids_N == label)) + 1 for label in rare[:5]]
        names = ", ".join(short_label(labels[label]) for label in rare[:5])
        warnings.append(
            f"{file.labels_path}: {counted(len(rare), 'label')} with fewer than {RARE} examples: "
            f"{names}{at_lines(lines, len(rare))}"
        )


def duplicates(file: TextFile) -> np.ndarray:
    """(D, 2) lines: where a text stands first, and where it stands again, whatever its label."""
    leader_N = leaders(file.hashes_N)
    rows = np.flatnonzero(leader_N != np.arange(len(leader_N)))
    return np.stack([leader_N[rows], rows], axis=1) + 1


def conflicts(file: TextFile) -> np.ndarray:
    """(C, 2) lines: where a text stands first, and where it has another label than there."""
    leader_N = leaders(file.hashes_N)
    rows = np.flatnonzero(file.label_ids_N != file.label_ids_N[leader_N])
    return np.stack([leader_N[rows], rows], axis=1) + 1


def leaks(train: TextFile, val: TextFile) -> np.ndarray:
    """(L, 2) lines: where a validation text stands, and where it stands first among the training texts."""
    hashes, first = np.unique(train.hashes_N, return_index=True)
    at_N = np.minimum(np.searchsorted(hashes, val.hashes_N), len(hashes) - 1)
    rows = np.flatnonzero(hashes[at_N] == val.hashes_N)
    return np.stack([rows, first[at_N[rows]]], axis=1) + 1


def warn_conflicts(file: TextFile, warnings: list[str]) -> None:
    """The same text under two labels: where it stands first, and where it first has another label."""
    found = conflicts(file)
    firsts, at = np.unique(found[:, 0], return_index=True)
    if len(firsts):
        pairs = [f"{first} and {found[i, 1]}" for first, i in zip(firsts[:5], at[:5], strict=True)]
        more = ", ..." if len(firsts) > 5 else ""
        warnings.append(
            f"{file.texts_path}: {counted(len(firsts), 'text')} under more than one label "
            f"(lines {', '.join(pairs)}{more})"
        )


def warn_leaks(train: TextFile, val: TextFile, warnings: list[str]) -> None:
    """Validation texts that were trained on."""
    lines = leaks(train, val)[:, 0]
    if len(lines):
        warnings.append(
            f"{val.texts_path}: {counted(len(lines), 'text')} also in {train.texts_path}"
            f"{at_lines(lines)}; the validation scores are too high because of these texts"
        )


def describe(dataset: Dataset) -> list[str]:
    """What a check found: sizes, labels, the division, and the warnings."""
    train, labels = dataset.train_label_ids, dataset.labels
    lines = [
        f"{dataset.train_file.texts_path}: {len(dataset.train_file):,} lines, "
        f"{dataset.train_file.characters:,} characters, {len(labels):,} labels"
    ]
    if dataset.was_divided:
        lines.append(f"no validation files: {len(dataset.val_rows):,} lines would be set aside from these")
    else:
        lines.append(
            f"{dataset.val_file.texts_path}: {len(dataset.val_file):,} lines, "
            f"{dataset.val_file.characters:,} characters"
        )
    counts = label_counts(train, labels)
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{shown_label(label)} {count:,}" for label, count in largest[:10])
    lines.append(f"training examples by label: {shown}{', ...' if len(largest) > 10 else ''}")
    again = duplicates(dataset.train_file)[:, 1]
    if len(again):
        times = counted(len(again), "training line")
        lines.append(f"{times} {'repeats' if len(again) == 1 else 'repeat'} an earlier text{at_lines(again)}")
    lines += [f"warning: {warning}" for warning in dataset.warnings]
    return [*lines, f"no errors, {counted(len(dataset.warnings), 'warning')}"]


def as_json(dataset: Dataset) -> dict[str, Any]:
    """The same for programs, with every line number; `divided`: whether validation lines are set aside."""
    files: dict[str, Any] = {}
    for split, file in (("train", dataset.train_file), ("val", dataset.val_file)):
        if split == "train" or not dataset.was_divided:
            files[split] = {
                "texts": file.texts_path,
                "labels": file.labels_path,
                "lines": len(file),
                "characters": file.characters,
                "empty_texts": file.empty_lines,
                "duplicates": duplicates(file).tolist(),
                "conflicts": conflicts(file).tolist(),
            }
    return {
        "files": files,
        "divided": dataset.was_divided,
        "labels": label_counts(dataset.train_label_ids, dataset.labels),
        "leaks": [] if dataset.was_divided else leaks(dataset.train_file, dataset.val_file).tolist(),
        "warnings": list(dataset.warnings),
    }
