"""Reads text files and label files into a checked data set.

Anything wrong raises `DataError` with path and line before training starts. Anything doubtful becomes a
warning with counts and line numbers.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from custom_bert.config import DataConfig
from custom_bert.data.absent import missing_data_hint, not_a_folder_hint
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
"""It is added to the seed when training lines are set aside to choose values on, so that this draw and
the one for validation are independent."""


@dataclass(frozen=True)
class LabelledLines:
    """The lines that a data set is read from.

    Attributes:
        train: the texts and labels to train on.
        val: the texts and labels to measure with; None to set some of the training lines aside.
        val_names: how validation data can be given, for messages.
        test: the texts and labels to measure the finished model with, once; None for none.
        weights_N: (N,) float32 how much each training line counts, above 0; None if all count the same.
    """

    train: tuple[Lines, Lines]
    val: tuple[Lines, Lines] | None
    val_names: str
    test: tuple[Lines, Lines] | None = None
    weights_N: np.ndarray | None = None


def in_directory(directory: str | Path) -> dict[str, str]:
    """Returns the paths of the six default files in a directory, as changes to a configuration.

    Raises:
        DataError: if the path is that of a file.
    """
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise DataError(str(directory), not_a_folder_hint(str(directory)))
    names = [f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("texts", "labels")]
    defaults = DataConfig()
    return {f"data.{name}": str(Path(directory) / Path(str(getattr(defaults, name))).name) for name in names}


def data_files(data: DataConfig, *, set_aside: bool = False) -> LabelledLines:
    """Opens the files that a configuration names.

    Args:
        data: the section of the configuration with the paths.
        set_aside: whether to ignore validation and test files, and to set training lines aside instead.

    Raises:
        DataError: if a file is missing or cannot be read.
    """
    for path, labelled in ((data.train_texts, False), (data.train_labels, True)):
        if status_of(Path(path)) is None:
            raise DataError(path, f"no such file{missing_data_hint(Path(path), labels=labelled)}")
    train = LineReader(data.train_texts), LineReader(data.train_labels)
    val, test = (None if set_aside else _optional_pair(data, split) for split in OPTIONAL)
    return LabelledLines(train, val, f"{data.val_texts} and {data.val_labels}", test)


@dataclass(frozen=True)
class Aside:
    """Which training lines are set aside to choose values on that are not learned.

    Attributes:
        share: returns the share of a number of training lines; 0 for none.
        chooses: what is chosen on them, in a few words.
        fewest: the number of lines below which none is set aside.
        purpose: why there have to be such lines, and what to do if there are none, for an error. Empty if a
            run can do without; then rare labels keep all of their lines.
    """

    share: Callable[[int], float]
    chooses: str = ""
    fewest: int = 1
    purpose: str = ""


NOTHING_ASIDE = Aside(lambda texts: 0.0)


def read_dataset(
    files: LabelledLines,
    reader: LabelReader,
    *,
    val_fraction: float,
    aside: Aside = NOTHING_ASIDE,
    seed: int = 0,
) -> Dataset:
    """Reads, checks and divides the data.

    Args:
        files: the lines of texts and labels.
        reader: reads the labels.
        val_fraction: the share of the training lines that is set aside if there are no validation files; 0 to
            set none aside.
        aside: which of the remaining lines are set aside to choose values on.
        seed: the seed of the division.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
    """
    warnings: list[str] = []
    train = _read_pair(*files.train, reader, None, warnings)
    reader.check(train.labels_path, train.targets)
    train = dataclasses.replace(train, targets=train.targets.weighted(files.weights_N))
    warn_label_spelling(train, reader.labels.names, warnings)
    warn_rare(train, reader.labels.names, warnings)
    warn_conflicts(train, warnings)
    val = train
    if files.val is not None:
        val = _read_pair(*files.val, reader, train.labels_path, warnings)
        warn_conflicts(val, warnings)
        warn_leaks(train, val, warnings)
    test = None
    if files.test is not None:
        test = _read_pair(*files.test, reader, train.labels_path, warnings)
        warn_conflicts(test, warnings)
        warn_leaks(train, test, warnings, "test")
    was_divided, names = val is train, files.val_names
    train = _sorted(train, reader)
    val = train if was_divided else _sorted(val, reader)
    rows, val_rows = np.arange(len(train), dtype=np.int64), np.arange(len(val), dtype=np.int64)
    if was_divided and not val_fraction:
        val_rows = rows[:0]
    elif was_divided:
        val_rows = _set_aside(train, rows, val_fraction, seed, f"validation; add texts, or write {names}")
        rows = np.setdiff1d(rows, val_rows, assume_unique=True)
    choosing_split = None
    if share := aside.share(len(rows)):
        candidates = rows if aside.purpose else _frequent(train, rows)
        chosen = _set_aside(train, candidates, share, seed + CHOOSING_SEED, aside.purpose)
        if len(chosen) >= aside.fewest:
            choosing_split = Split(train, chosen)
            rows = np.setdiff1d(rows, chosen, assume_unique=True)
    splits = Split(train, rows), Split(val, val_rows), choosing_split
    return Dataset(
        reader.ordered(), *splits, tuple(warnings), None if test is None else _whole(_sorted(test, reader))
    )


def _whole(file: LabelledFile) -> Split:
    """Returns all lines of a file."""
    return Split(file, np.arange(len(file), dtype=np.int64))


def _sorted(file: LabelledFile, reader: LabelReader) -> LabelledFile:
    """Returns the file with targets that use the final ids of the labels."""
    return dataclasses.replace(file, targets=reader.sorted(file.targets))


def _set_aside(file: LabelledFile, rows: np.ndarray, fraction: float, seed: int, purpose: str) -> np.ndarray:
    """Chooses a stratified share of some rows.

    Raises:
        DataError: if no row can be chosen, and there is a purpose for which that has to be.
    """
    targets = file.targets.take(rows)
    chosen: np.ndarray = rows[divide(targets.strata_N, file.hashes_N[rows], fraction, seed)]
    if purpose and not len(chosen):
        raise DataError(
            file.texts_path,
            f"no label has two different texts, so none can be set aside for {purpose}",
        )
    return chosen


FREQUENT = 20
"""The number of lines from which on a label can spare one where a run can do without."""


def _frequent(file: LabelledFile, rows: np.ndarray) -> np.ndarray:
    """Returns the rows of strata with `FREQUENT` rows or more. The others would lose one row each, which with
    many rare labels would be most of what there is."""
    strata_N = file.targets.take(rows).strata_N
    frequent: np.ndarray = rows[np.bincount(strata_N)[strata_N] >= FREQUENT]
    return frequent


OPTIONAL = {"val": ("validation", "to have lines set aside"), "test": ("test", "to go without a test")}
"""The splits that may have no files: what they are called, and why one would leave the files out."""


def _optional_pair(data: DataConfig, split: str) -> tuple[Lines, Lines] | None:
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
        return LineReader(paths[0]), LineReader(paths[1])
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
    pair = Pair(texts_path, labels_path, first_texts, lines_of_labels, targets.distinct_ids_N, all_hashes)
    warnings += suspicions(pair, reader.warn_format)
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
    """Returns the error for two files with different numbers of lines, at the first line without a partner.

    Args:
        texts_path, num_texts: the text file and its number of lines.
        labels_path, num_labels: the label file and its number of lines.
        empty: the numbers of the lines with empty texts. If all surplus lines are empty, the message says so.
    """
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
