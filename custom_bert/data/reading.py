"""From text files and label files to a checked data set.

What is wrong raises `DataError` with path and line before any training starts; what is doubtful becomes a
warning with counts and line numbers.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from custom_bert.config import DataConfig
from custom_bert.data.absent import data_clue, no_folder
from custom_bert.data.dataset import Dataset, LabelledFile, Split
from custom_bert.data.division import divide
from custom_bert.data.findings import warn_conflicts, warn_label_spelling, warn_leaks, warn_rare
from custom_bert.data.label_files import LabelReader, check_not_swapped
from custom_bert.data.lines import Lines
from custom_bert.data.suspicions import SAMPLE, Pair, suspicions
from custom_bert.data.text import LineReader, composed, is_blank, status_of
from custom_bert.errors import DataError
from custom_bert.phrases import at_lines, counted

CHOOSING_SEED = 2
"""Added to the seed of a division where it sets lines aside that choose."""


@dataclass(frozen=True)
class LabelledLines:
    """The lines of a data set.

    Attributes:
        train: texts and labels that train.
        val: texts and labels that measure; None to set some of the training lines aside.
        val_names: how others may be given, for messages.
    """

    train: tuple[Lines, Lines]
    val: tuple[Lines, Lines] | None
    val_names: str


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


def data_files(data: DataConfig, *, set_aside: bool = False) -> LabelledLines:
    """The files that a configuration names.

    Args:
        data: the paths.
        set_aside: leave validation files out even where there are some.

    Raises:
        DataError: if one is missing or cannot be read.
    """
    for path, labelled in ((data.train_texts, False), (data.train_labels, True)):
        if status_of(Path(path)) is None:
            raise DataError(path, f"no such file{data_clue(Path(path), labels=labelled)}")
    train = LineReader(data.train_texts), LineReader(data.train_labels)
    if set_aside or not _has_validation(data):
        return LabelledLines(train, None, f"{data.val_texts} and {data.val_labels}")
    val = LineReader(data.val_texts), LineReader(data.val_labels)
    return LabelledLines(train, val, f"{data.val_texts} and {data.val_labels}")


def read_dataset(
    files: LabelledLines,
    reader: LabelReader,
    *,
    val_fraction: float,
    choosing: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """Reads, checks and divides the data.

    Args:
        files: texts and labels.
        reader: of the labels.
        val_fraction: share of the training lines that is set aside if there are no validation files; 0 for
            none.
        choosing: share of the remaining lines that is set aside so that something can be chosen by them.
        seed: of the division.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
    """
    warnings: list[str] = []
    train = _read_pair(*files.train, reader, None, warnings)
    reader.check(train.labels_path, train.targets)
    warn_label_spelling(train, reader.labels.names, warnings)
    warn_rare(train, reader.labels.names, warnings)
    warn_conflicts(train, warnings)
    val = train
    if files.val is not None:
        val = _read_pair(*files.val, reader, train.labels_path, warnings)
        warn_conflicts(val, warnings)
        warn_leaks(train, val, warnings)
    was_divided, names = val is train, files.val_names
    train = _sorted(train, reader)
    val = train if was_divided else _sorted(val, reader)
    rows, val_rows = np.arange(len(train), dtype=np.int64), np.arange(len(val), dtype=np.int64)
    if was_divided and not val_fraction:
        val_rows = rows[:0]
    elif was_divided:
        val_rows = _set_aside(train, rows, val_fraction, seed, f"validation; add texts, or write {names}")
        rows = np.setdiff1d(rows, val_rows, assume_unique=True)
    chosen = None
    if choosing:
        purpose = "choosing thresholds; add texts"
        chosen = Split(train, _set_aside(train, rows, choosing, seed + CHOOSING_SEED, purpose))
        rows = np.setdiff1d(rows, chosen.rows_N, assume_unique=True)
    return Dataset(reader.ordered(), Split(train, rows), Split(val, val_rows), chosen, tuple(warnings))


def _sorted(file: LabelledFile, reader: LabelReader) -> LabelledFile:
    """The file with targets in the final order of the labels."""
    return dataclasses.replace(file, targets=reader.sorted(file.targets))


def _set_aside(file: LabelledFile, rows: np.ndarray, fraction: float, seed: int, purpose: str) -> np.ndarray:
    """Rows that are taken from some rows, stratified.

    Raises:
        DataError: if there are none to take.
    """
    targets = file.targets.take(rows)
    chosen: np.ndarray = rows[divide(targets.strata_N, file.hashes_N[rows], fraction, seed)]
    if not len(chosen):
        raise DataError(
            file.texts_path,
            f"no label has two different texts, so none can be set aside for {purpose}",
        )
    return chosen


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


def _read_pair(
    texts: Lines, label_lines: Lines, reader: LabelReader, known_from: str | None, warnings: list[str]
) -> LabelledFile:
    """Reads texts and labels. With `known_from` (the training labels' path) no new label is allowed."""
    texts_path, labels_path = str(texts.path), str(label_lines.path)
    for lines in (texts, label_lines):
        lines.check_repeatable()
    targets = reader.read(label_lines, texts, known_from)
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
    if texts.num_lines != len(targets):
        raise _unequal(texts_path, texts.num_lines, labels_path, len(targets), empty)
    if len(empty) == texts.num_lines:
        raise DataError(texts_path, "every text is empty")
    all_hashes = np.concatenate(hashes)
    if known_from is None:
        check_not_swapped(texts_path, labels_path, reader, len(targets), characters, all_hashes)
    lines_of_labels = reader.line_names(targets)
    pair = Pair(texts_path, labels_path, first_texts, lines_of_labels, targets.alike_N, all_hashes)
    warnings += suspicions(pair, reader.suspects)
    if empty:
        warnings.append(f"{texts_path}: {counted(len(empty), 'empty text')}{at_lines(empty)}")
    return LabelledFile(
        texts,
        labels_path,
        texts.sha256,
        label_lines.sha256,
        targets,
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
