"""From four files to a checked data set: labels, counts, hashes, and what a user should be told.

What is wrong raises `DataError` with path and line before any training starts; what is doubtful becomes a
warning with counts and line numbers. Texts are not kept: they are streamed again when they are tokenised.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert.config import DataConfig
from custom_bert.data.absent import data_clue, no_folder
from custom_bert.data.findings import warn_conflicts, warn_label_spelling, warn_leaks, warn_rare
from custom_bert.data.labels import (
    LabelIds,
    check_not_swapped,
    check_size,
    label_counts,
    label_order,
    read_labels,
    short_label,
)
from custom_bert.data.phrases import at_lines, counted
from custom_bert.data.suspicions import SAMPLE, Pair, suspicions
from custom_bert.data.text import LineReader, composed, is_blank, leaders, status_of
from custom_bert.errors import DataError


@dataclass(frozen=True)
class TextFile:
    """One text file and its labels, read and checked.

    Attributes:
        texts_path, labels_path: the two files.
        texts_sha256, labels_sha256: of their bytes.
        label_ids_N: (N,) int32 index into the data set's labels.
        hashes_N: (N,) int64 of each text: texts that are equal in Unicode's composed form have equal hashes
            (in this process).
        characters: of all texts.
        empty_lines: lines (from 1) of texts without a character that shows.
    """

    texts_path: str
    labels_path: str
    texts_sha256: str
    labels_sha256: str
    label_ids_N: np.ndarray
    hashes_N: np.ndarray
    characters: int
    empty_lines: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.label_ids_N)


@dataclass(frozen=True)
class Dataset:
    """A checked data set.

    Attributes:
        labels: the label strings; label ids index into it. Numbers come first, by their value; the others
            follow, sorted.
        train_file: the training files.
        val_file: the validation files, or `train_file` if its lines were divided.
        train_rows, val_rows: (N,) int64 line indices (from 0) of each split in its file.
        warnings: one line each.
    """

    labels: tuple[str, ...]
    train_file: TextFile
    val_file: TextFile
    train_rows: np.ndarray
    val_rows: np.ndarray
    warnings: tuple[str, ...] = field(default=())

    def with_labels(self, labels: Sequence[str]) -> Dataset:
        """The same data with the same labels in another order."""
        place = {label: i for i, label in enumerate(labels)}
        renumber = np.array([place[label] for label in self.labels], dtype=np.int32)
        train = _renumbered(self.train_file, renumber)
        val = train if self.was_divided else _renumbered(self.val_file, renumber)
        return dataclasses.replace(self, labels=tuple(labels), train_file=train, val_file=val)

    @property
    def was_divided(self) -> bool:
        """Whether the validation rows were set aside from the training files."""
        return self.val_file is self.train_file

    def hashes(self) -> dict[str, str]:
        """What makes this data set this data set."""
        return {
            "train_texts": self.train_file.texts_sha256,
            "train_labels": self.train_file.labels_sha256,
            "val_texts": self.val_file.texts_sha256,
            "val_labels": self.val_file.labels_sha256,
        }

    def description(self) -> dict[str, Any]:
        """Sizes, hashes and label counts, for run.json."""
        return {
            "train_examples": len(self.train_rows),
            "val_examples": len(self.val_rows),
            "val_set_aside_from_train": self.was_divided,
            "files": {
                path: sha
                for split in (self.train_file, self.val_file)
                for path, sha in (
                    (split.texts_path, split.texts_sha256),
                    (split.labels_path, split.labels_sha256),
                )
            },
            "labels": label_counts(self.train_label_ids, self.labels),
        }

    @property
    def train_label_ids(self) -> np.ndarray:
        """(N,) label ids of the training rows."""
        return np.asarray(self.train_file.label_ids_N[self.train_rows])

    @property
    def val_label_ids(self) -> np.ndarray:
        """(N,) label ids of the validation rows."""
        return np.asarray(self.val_file.label_ids_N[self.val_rows])


def in_directory(directory: str | Path) -> dict[str, str]:
    """The four default file names inside `directory`, as changes to a configuration.

    Raises:
        DataError: if a file is given for the directory.
    """
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise DataError(str(directory), no_folder(str(directory)))
    names = ("train_texts", "train_labels", "val_texts", "val_labels")
    defaults = DataConfig()
    return {f"data.{name}": str(Path(directory) / Path(str(getattr(defaults, name))).name) for name in names}


def read_dataset(data: DataConfig, *, seed: int = 0, set_aside: bool = False) -> Dataset:
    """Reads, checks and divides the data.

    Args:
        data: the paths and the share to set aside.
        seed: of the division, if there are no validation files.
        set_aside: divide even where there are some.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
    """
    for path, labelled in ((data.train_texts, False), (data.train_labels, True)):
        if status_of(Path(path)) is None:
            raise DataError(path, f"no such file{data_clue(Path(path), labels=labelled)}")
        LineReader(path)  # what cannot be read is told before anything is read
    has_val = not set_aside and _has_validation(data)
    warnings: list[str] = []
    labels = LabelIds()
    train = _read_pair(data.train_texts, data.train_labels, labels, None, warnings)
    if len(labels) == 1:
        only = short_label(labels.names[0])
        raise DataError(data.train_labels, f"every line has the label {only}; two different ones are needed")
    check_size(data.train_labels, labels.names)
    warn_label_spelling(train, labels.names, warnings)
    warn_rare(train, labels.names, warnings)
    warn_conflicts(train, warnings)
    if has_val:
        val = _read_pair(data.val_texts, data.val_labels, labels, data.train_labels, warnings)
        warn_conflicts(val, warnings)
        warn_leaks(train, val, warnings)
    else:
        val = train
    order = sorted(labels.names, key=label_order)
    rank = {label: i for i, label in enumerate(order)}
    renumber = np.array([rank[label] for label in labels.names], dtype=np.int32)
    train = _renumbered(train, renumber)
    everything = np.arange(len(train), dtype=np.int64)
    if has_val:
        val = _renumbered(val, renumber)
        val_rows = np.arange(len(val), dtype=np.int64)
        return Dataset(tuple(order), train, val, everything, val_rows, tuple(warnings))
    val_rows = divide(train.label_ids_N, train.hashes_N, data.val_fraction, seed)
    if not len(val_rows):
        raise DataError(
            data.train_texts,
            f"no label has two different texts, so none can be set aside for validation; "
            f"add texts, or write {data.val_texts} and {data.val_labels}",
        )
    train_rows = np.setdiff1d(everything, val_rows, assume_unique=True)
    return Dataset(tuple(order), train, train, train_rows, val_rows, tuple(warnings))


def _has_validation(data: DataConfig) -> bool:
    """Whether there are validation files: both, or neither."""
    paths = [Path(data.val_texts), Path(data.val_labels)]
    there = [status_of(path) is not None or path.is_symlink() for path in paths]
    if any(there) and not all(there):
        missing, other = paths if there[1] else reversed(paths)
        raise DataError(
            str(missing),
            f"no such file, but there is {other}; write both, or neither to have lines set aside",
        )
    defaults = DataConfig()
    beside = {
        str(Path(data.train_texts).parent / Path(name).name)
        for name in (defaults.val_texts, defaults.val_labels)
    }
    for path in (data.val_texts, data.val_labels):
        if not any(there) and str(Path(path)) not in {*beside, defaults.val_texts, defaults.val_labels}:
            raise DataError(path, "no such file; leave the validation files out to have lines set aside")
    return all(there)


def divide(label_ids_N: np.ndarray, hashes_N: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Chooses validation rows: a seeded share of each label, equal texts all on one side.

    A pure function of labels, equalities between texts, fraction and seed; the value of a hash plays no
    part. Labels with a single text stay in training.

    Returns:
        Sorted row indices.
    """
    leader_N = leaders(hashes_N)
    draw_N = np.random.Generator(np.random.PCG64(seed)).random(len(leader_N))
    texts = np.flatnonzero(leader_N == np.arange(len(leader_N)))  # the different ones
    texts = texts[np.lexsort((draw_N[texts], label_ids_N[texts]))]
    counts_C = np.bincount(label_ids_N[texts])
    wanted_C = np.minimum(np.maximum(np.rint(fraction * counts_C), 1), counts_C - 1)
    place = np.arange(len(texts)) - np.repeat(np.cumsum(counts_C) - counts_C, counts_C)
    chosen_N = np.zeros(len(leader_N), dtype=bool)
    chosen_N[texts[place < np.repeat(wanted_C, counts_C)]] = True
    return np.flatnonzero(chosen_N[leader_N])


def _renumbered(file: TextFile, renumber: np.ndarray) -> TextFile:
    return TextFile(**{**vars(file), "label_ids_N": renumber[file.label_ids_N]})


def _read_pair(
    texts_path: str,
    labels_path: str,
    labels: LabelIds,
    known_from: str | None,
    warnings: list[str],
) -> TextFile:
    """Reads texts and labels. With `known_from` (the training labels' path) no new label is allowed."""
    texts, label_reader = LineReader(texts_path), LineReader(labels_path)
    for reader in (texts, label_reader):
        reader.check_repeatable()
    label_ids, label_characters = read_labels(label_reader, labels, known_from, texts_path)
    hashes, empty, characters = [], [], 0
    first_texts: list[str] = []
    for block in texts.blocks():
        first_texts = first_texts or block[:SAMPLE]
        start = texts.num_lines - len(block)
        # Python's own 64-bit hash: two different texts among 5 million collide with p < 1e-6,
        # and the cost of that would be one wrong warning
        hashes.append(np.fromiter(map(hash, map(composed, block)), dtype=np.int64, count=len(block)))
        characters += sum(map(len, block))
        empty += [start + i + 1 for i, line in enumerate(block) if is_blank(line)]
    if texts.num_lines != len(label_ids):
        raise _unequal(texts_path, texts.num_lines, labels_path, len(label_ids), empty)
    if len(empty) == texts.num_lines:
        raise DataError(texts_path, "every text is empty")
    all_hashes = np.concatenate(hashes)
    if known_from is None:
        check_not_swapped(
            texts_path, labels_path, label_ids, labels.names, label_characters, characters, all_hashes
        )
    warnings += suspicions(Pair(texts_path, labels_path, first_texts, labels.names, label_ids, all_hashes))
    if empty:
        warnings.append(f"{texts_path}: {counted(len(empty), 'empty text')}{at_lines(empty)}")
    return TextFile(
        texts_path,
        labels_path,
        texts.sha256,
        label_reader.sha256,
        label_ids,
        all_hashes,
        characters,
        tuple(empty),
    )


def check_aligned(texts_path: str, labels_path: str) -> None:
    """Raises DataError if two files differ in their number of lines."""
    empty: list[int] = []
    texts, labels = LineReader(texts_path), LineReader(labels_path)
    for reader in (texts, labels):
        reader.check_repeatable()  # whoever compares two files reads them again afterwards
    for block in texts.blocks():
        start = texts.num_lines - len(block)
        empty += [start + i + 1 for i, line in enumerate(block) if is_blank(line)]
    for _ in labels.blocks():
        pass
    if texts.num_lines != labels.num_lines:
        raise _unequal(texts_path, texts.num_lines, labels_path, labels.num_lines, empty)


def _unequal(
    texts_path: str, num_texts: int, labels_path: str, num_labels: int, empty: list[int]
) -> DataError:
    """Two files of different length: both counts, and the first line without a partner."""
    counts = f"{texts_path} has {num_texts:,} lines, {labels_path} {num_labels:,}"
    extra = abs(num_texts - num_labels)
    if num_texts < num_labels:
        return DataError(
            f"{labels_path}:{num_texts + 1}",
            f"a label without a text: {counts}; {counted(extra, 'label')} too many",
        )
    blank = sum(line > num_labels for line in empty)
    surplus = counted(extra, "empty text" if blank == extra else "text")
    return DataError(
        f"{texts_path}:{num_labels + 1}", f"a text without a label: {counts}; {surplus} too many"
    )
