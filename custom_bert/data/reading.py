"""Reads text files and label files into a checked data set.

Anything wrong raises `DataError` with path and line before training starts. Anything doubtful becomes a
warning with counts and line numbers.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from custom_bert.config import DataConfig
from custom_bert.data.absent import missing_data_hint, not_a_folder_hint, not_data_hint
from custom_bert.data.dataset import Dataset, LabelledFile, Split
from custom_bert.data.division import units
from custom_bert.data.findings import (
    warn_conflicts,
    warn_label_spelling,
    warn_leaks,
    warn_rare,
    warn_shared_groups,
)
from custom_bert.data.label_files import LabelReader, check_not_swapped
from custom_bert.data.lines import Lines, at
from custom_bert.data.pair_files import are_pairs, text_lines
from custom_bert.data.set_aside import CHOOSING_SEED, NOTHING_ASIDE, Aside, frequent_rows, set_aside_rows
from custom_bert.data.suspicions import SAMPLE, Pair, suspicions
from custom_bert.data.tables.choosing import Columns
from custom_bert.data.tables.formats import is_table
from custom_bert.data.tables.opening import open_tables
from custom_bert.data.text import LineReader, composed, is_blank, status_of
from custom_bert.data.text_pairs import as_line
from custom_bert.errors import DataError
from custom_bert.phrases import counted


@dataclass(frozen=True)
class LabelledLines:
    """The lines that a data set is read from.

    Attributes:
        train: the texts and labels to train on.
        val: the texts and labels to measure with; None to set some of the training lines aside.
        val_names: how validation data can be given, for messages.
        test: the texts and labels to measure the finished model with, once; None for none.
        weights_N: (N,) float32 how much each training line counts, above 0; None if all count the same.
        groups: the group of each training text, for division; None if texts have no groups.
        val_groups: the group of each text of `val`, for a warning; None if they are not known.
        columns: which columns of a table these are; None if the data is no table.
    """

    train: tuple[Lines, Lines]
    val: tuple[Lines, Lines] | None
    val_names: str
    test: tuple[Lines, Lines] | None = None
    weights_N: np.ndarray | None = None
    groups: Lines | None = None
    val_groups: Lines | None = None
    columns: Columns | None = None


def data_settings(data: str | Path) -> dict[str, str | None]:
    """Returns where the data is, a folder of the four default files or a table, as changes to a
    configuration.

    Raises:
        DataError: if the path is that of a file that is no table.
    """
    if os.path.isdir(data):
        return {"data.table": None, **in_directory(data)}
    if str(data).endswith(SPAN_ENDINGS[0]) and os.path.isfile(data):
        return {"data.table": None, **spans_in_directory(Path(data).parent), "data.train_spans": str(data)}
    if is_table(data):
        return {"data.table": str(data)}
    if os.path.exists(data):
        raise DataError(str(data), not_data_hint(str(data)))
    return {"data.table": None, **in_directory(data)}


def in_directory(directory: str | Path) -> dict[str, str]:
    """Returns the paths of the default files in a directory, as changes to a configuration: six of texts and
    labels, and three of texts with spans.

    Raises:
        DataError: if the path is that of a file.
    """
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise DataError(str(directory), not_a_folder_hint(str(directory)))
    names = [f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("texts", "labels")]
    defaults = DataConfig()
    paths = {f"data.{name}": str(Path(directory) / Path(str(getattr(defaults, name))).name) for name in names}
    return {**paths, **spans_in_directory(directory)}


SPAN_ENDINGS = (".conll", ".jsonl")
"""The endings of files of texts with spans. The first one that a folder has is taken."""


def span_names(split: str) -> tuple[str, ...]:
    """Returns the names that the file of a split may have: texts with their spans."""
    return tuple(f"{split}{ending}" for ending in SPAN_ENDINGS)


def spans_in_directory(directory: str | Path) -> dict[str, str]:
    """Returns the paths of the files of texts with spans in a directory, as changes to a configuration."""
    found = {}
    for split in ("train", "val", "test"):
        paths = [Path(directory) / name for name in span_names(split)]
        found[f"data.{split}_spans"] = str(next((path for path in paths if os.path.exists(path)), paths[0]))
    return found


def data_files(data: DataConfig, *, set_aside: bool = False) -> LabelledLines:
    """Opens the files or the tables that a configuration names.

    Args:
        data: the section of the configuration with the paths.
        set_aside: whether to ignore validation and test files, and to set training lines aside instead.

    Raises:
        DataError: if a file is missing or cannot be read.
    """
    if data.table is not None:
        tables = open_tables(data)
        val, names = None if set_aside else tables.val, "another table, and give it by --val-table"
        return LabelledLines(
            tables.train,
            val,
            names,
            test=tables.test,
            groups=tables.groups,
            val_groups=tables.val_groups,
            columns=tables.columns,
        )
    for path, labelled in ((data.train_texts, False), (data.train_labels, True)):
        if status_of(Path(path)) is None:
            raise DataError(path, f"no such file{missing_data_hint(Path(path), labels=labelled)}")
    pairs = are_pairs(data)
    train = text_lines(data.train_texts, data, pairs=pairs), LineReader(data.train_labels)
    val, test = (None if set_aside else _optional_pair(data, split, pairs=pairs) for split in OPTIONAL)
    return LabelledLines(train, val, f"{data.val_texts} and {data.val_labels}", test)


def read_dataset(
    files: LabelledLines,
    reader: LabelReader,
    *,
    val_fraction: float | None,
    aside: Aside = NOTHING_ASIDE,
    seed: int = 0,
) -> Dataset:
    """Reads, checks and divides the data.

    Args:
        files: the lines of texts and labels.
        reader: reads the labels.
        val_fraction: the share of the training lines that is set aside if there are no validation files. With
            0 none is, and the training lines themselves are measured on; with None there is no validation
            line.
        aside: which of the remaining lines are set aside to choose values on.
        seed: the seed of the division.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
    """
    warnings: list[str] = []
    train = _read_pair(*files.train, reader, None, warnings)
    reader.check(train.label_lines, train.targets)
    train = dataclasses.replace(train, targets=train.targets.weighted(files.weights_N))
    if files.groups is not None:
        groups_N, has_group_N = _groups(files.groups)
        train = dataclasses.replace(train, units_N=units(train.hashes_N, groups_N, has_group_N))
    warn_label_spelling(train, reader.labels.names, warnings)
    warn_rare(train, reader.labels.names, warnings)
    warn_conflicts(train, warnings)
    val = train
    if files.val is not None:
        val = _read_pair(*files.val, reader, train.labels_path, warnings)
        warn_conflicts(val, warnings)
        warn_leaks(train, val, warnings)
        if files.groups is not None and files.val_groups is not None:
            warn_shared_groups(groups_N[has_group_N], files.val_groups, *_groups(files.val_groups), warnings)
    test = None
    if files.test is not None:
        test = _read_pair(*files.test, reader, train.labels_path, warnings)
        warn_conflicts(test, warnings)
        warn_leaks(train, test, warnings, "test")
    was_divided, names = val is train, files.val_names
    train = _sorted(train, reader)
    val = train if was_divided else _sorted(val, reader)
    rows, val_rows = np.arange(len(train), dtype=np.int64), np.arange(len(val), dtype=np.int64)
    if was_divided and val_fraction is None:
        val_rows = rows[:0]
    elif was_divided and val_fraction:
        val_rows = set_aside_rows(train, rows, val_fraction, seed, f"validation; add texts, or write {names}")
        rows = np.setdiff1d(rows, val_rows, assume_unique=True)
    choosing_split = None
    if share := aside.share(len(rows)):
        candidates = rows if aside.purpose else frequent_rows(train, rows)
        chosen = set_aside_rows(train, candidates, share, seed + CHOOSING_SEED, aside.purpose)
        if len(chosen) >= aside.fewest:
            choosing_split = Split(train, chosen)
            rows = np.setdiff1d(rows, chosen, assume_unique=True)
    training = Split(train, rows)
    validation = training if was_divided and val_fraction == 0 else Split(val, val_rows)
    whole = None if test is None else _whole(_sorted(test, reader))
    found = reader.ordered(), training, validation, choosing_split
    return Dataset(*found, tuple(warnings), whole, files.columns)


def _whole(file: LabelledFile) -> Split:
    """Returns all lines of a file."""
    return Split(file, np.arange(len(file), dtype=np.int64))


def _sorted(file: LabelledFile, reader: LabelReader) -> LabelledFile:
    """Returns the file with targets that use the final ids of the labels."""
    return dataclasses.replace(file, targets=reader.sorted(file.targets))


def _groups(groups: Lines) -> tuple[np.ndarray, np.ndarray]:
    """Returns (N,) int64 a hash of the group of each line, and (N,) bool whether it has a group."""
    hashes, blank = [], []
    for block in groups.blocks():
        hashes.append(np.fromiter(map(hash, map(composed, block)), dtype=np.int64, count=len(block)))
        blank.append(np.fromiter(map(is_blank, block), dtype=bool, count=len(block)))
    return np.concatenate(hashes), ~np.concatenate(blank)


OPTIONAL = {"val": ("validation", "to have lines set aside"), "test": ("test", "to go without a test")}
"""The splits that may have no files: what they are called, and why one would leave the files out."""


def _optional_pair(data: DataConfig, split: str, *, pairs: bool) -> tuple[Lines, Lines] | None:
    """Opens the files of a split that may have none.

    Raises:
        DataError: if there is only one of the two, or one that the user named is missing.
    """
    names, (called, purpose) = (f"{split}_texts", f"{split}_labels"), OPTIONAL[split]
    paths, defaults = ([Path(getattr(one, name)) for name in names] for one in (data, DataConfig()))
    there = [status_of(path) is not None or path.is_symlink() for path in paths]
    if any(there) and not all(there):
        missing, other = paths if there[1] else reversed(paths)
        raise DataError(
            str(missing),
            f"no such file, but there is {other}; write both, or neither {purpose}",
        )
    if all(there):
        return text_lines(paths[0], data, pairs=pairs), LineReader(paths[1])
    # the default names may be missing, in the working directory and beside the training texts; a name of the
    # user's own may not
    beside = [Path(data.train_texts).parent / path.name for path in defaults]
    for path in paths:
        if path not in (*beside, *defaults):
            raise DataError(str(path), f"no such file; leave the {called} files out {purpose}")
    return None


def _read_pair(
    texts: Lines, label_lines: Lines, reader: LabelReader, known_from: str | None, warnings: list[str]
) -> LabelledFile:
    """Reads and checks a text file and its label file, and adds warnings to the list.

    Args:
        texts: the lines of the texts.
        label_lines: the lines of the labels.
        reader: reads the labels.
        known_from: the path of the training labels, if no new label is allowed; None for the training files.
        warnings: the list that warnings are added to.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
    """
    for lines in (texts, label_lines):
        lines.check_repeatable()
    targets = reader.read(label_lines, texts, known_from)
    hashes, characters = [], 0
    empty: list[int] = []
    first_texts: list[str] = []
    for block in texts.blocks():
        first_texts += block[: SAMPLE - len(first_texts)]
        start = texts.num_lines - len(block)
        # Python's own 64-bit hash: two different texts among 5 million collide with p < 1e-6,
        # and the cost of that would be one wrong warning
        hashes.append(np.fromiter(map(hash, map(composed, block)), dtype=np.int64, count=len(block)))
        characters += sum(map(len, block))
        empty += [start + i for i, line in enumerate(block) if is_blank(line)]
    if texts.num_lines != len(targets):
        raise _unequal(texts, label_lines, empty)
    if len(empty) == texts.num_lines:
        raise DataError(texts.name, "every text is empty")
    all_hashes = np.concatenate(hashes)
    if known_from is None:
        check_not_swapped(texts, label_lines, reader, len(targets), characters, all_hashes)
    lines_of_labels = reader.line_names(targets)
    first_lines = list(map(as_line, first_texts))
    pair = Pair(texts, label_lines, first_lines, lines_of_labels, targets.distinct_ids_N, all_hashes)
    warnings += [*texts.doubts(), *label_lines.doubts(), *suspicions(pair, reader.warn_format)]
    if empty:
        warnings.append(f"{texts.name}: {counted(len(empty), 'empty text')}{at(texts, empty)}")
    return LabelledFile(
        texts,
        label_lines,
        texts.sha256,
        label_lines.sha256,
        targets,
        all_hashes,
        characters,
        tuple(empty),
    )


def check_aligned(texts: Lines, labels: Lines) -> None:
    """Raises DataError if two files differ in their number of lines."""
    if texts.path == labels.path:
        return  # two columns of a table have the same rows
    empty: list[int] = []
    for reader in (texts, labels):
        reader.check_repeatable()  # whoever compares two files reads them again afterwards
    for block in texts.blocks():
        start = texts.num_lines - len(block)
        empty += [start + i for i, line in enumerate(block) if is_blank(line)]
    for _ in labels.blocks():
        pass
    if texts.num_lines != labels.num_lines:
        raise _unequal(texts, labels, empty)


def _unequal(texts: Lines, labels: Lines, empty: list[int]) -> DataError:
    """Returns the error for two files with different numbers of lines, at the first line without a partner.

    Args:
        texts, labels: the two files, which have been read.
        empty: the indices of the lines with empty texts. If all surplus lines are empty, the message says so.
    """
    num_texts, num_labels = texts.num_lines, labels.num_lines
    counts = f"{texts.name} has {num_texts:,} lines, {labels.name} {num_labels:,}"
    extra = abs(num_texts - num_labels)
    if num_texts < num_labels:
        return DataError(
            labels.where(num_texts),
            f"a label without a text: {counts}; {counted(extra, 'label')} too many",
        )
    blank = sum(row >= num_labels for row in empty)
    surplus = counted(extra, "empty text" if blank == extra else "text")
    return DataError(texts.where(num_labels), f"a text without a label: {counts}; {surplus} too many")
