"""Reads label files: lines become classes, and a line that cannot be read becomes an error.

A reader collects the different labels while it reads the training file. Then it reads the validation file, in
which no new label may occur.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from custom_bert.data.columns import header_hint
from custom_bert.data.labels import (
    MAX_LABELS,
    MAX_LABELS_BYTES,
    LabelIds,
    all_numbers,
    check_label,
    label_order,
    nearest_label,
    short_label,
)
from custom_bert.data.lines import Lines
from custom_bert.data.suspicions import Pair, warn_label_format, warn_set_format
from custom_bert.data.targets import ClassIds, ClassSets, LineTargets
from custom_bert.data.text import is_blank
from custom_bert.errors import DataError

SWAPPED = "the labels look like texts and {texts} like labels; are the two {sides} swapped?"


class LabelReader(Protocol):
    """Reads label files.

    Attributes:
        labels: the different labels so far, with ids in the order in which they first occurred.
        characters: the number of characters of the file that was read last.
    """

    labels: LabelIds
    characters: int

    def warn_format(self, pair: Pair, warnings: list[str], /) -> None:
        """Warns if the lines of a label file look like those of another format; see `data.suspicions`."""

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> LineTargets:
        """Reads the targets of a label file.

        Args:
            lines: the lines of the label file.
            texts: the texts that the labels belong to.
            known_from: the path of the training labels, if no new label is allowed; None to read the training
                labels themselves.

        Raises:
            DataError: for the first line that is wrong, with its number.
        """

    def check(self, lines: Lines, targets: LineTargets) -> None:
        """Raises DataError if nothing can be learned from the training labels `lines`."""

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """Returns the different lines of a label file, in the order of `LineTargets.distinct_ids_N`."""

    def sorted(self, targets: LineTargets) -> LineTargets:
        """Returns the targets with the final ids, in the order of `ordered`, once all files are read."""

    def ordered(self) -> tuple[str, ...]:
        """Returns the labels once all files are read, in the order of their ids; none where the targets are
        no classes."""


class Reader:
    """The parts that all readers share: the labels and their final order."""

    def __init__(self) -> None:
        self.labels, self.characters = LabelIds(), 0

    def ordered(self) -> tuple[str, ...]:
        """Returns the labels in their final order: numbers by their value, then the others, sorted."""
        return tuple(sorted(self.labels.names, key=label_order))

    def sorted(self, targets: LineTargets) -> LineTargets:
        """Returns the targets with the final ids of the labels."""
        rank = {label: i for i, label in enumerate(self.ordered())}
        return targets.renumbered(np.array([rank[label] for label in self.labels.names], dtype=np.int32))

    def _blocks(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """Yields the index of the first line and the lines of each block, and counts their characters."""
        self.characters = 0
        for block in lines.blocks():
            self.characters += sum(map(len, block))
            yield lines.num_lines - len(block), block

    def _add(self, where: str, label: str, texts: Lines, known_from: str | None) -> None:
        """Gives a new label an id; raises DataError if it cannot be a label, or no new label is allowed."""
        check_label(where, label, texts.words)
        if known_from is not None:
            raise unknown_label(where, label, self.labels.names, known_from, texts)
        self.admit(where, label)
        self.labels.add(label)

    def admit(self, where: str, label: str) -> None:
        """Raises DataError, at the place `where`, if a new label is not allowed. Every label is."""

    def _check_size(self, path: str) -> None:
        """Raises DataError if all different labels together are too long for the files of a run."""
        size = sum(len(json.dumps(label, ensure_ascii=False).encode()) for label in self.labels.names)
        if size > MAX_LABELS_BYTES:
            raise DataError(
                path,
                f"the different labels take {size:,} bytes together, of at most {MAX_LABELS_BYTES:,}; "
                "write shorter ones, such as numbers",
            )


class ClassReader(Reader):
    """Reads label files with one label a line."""

    def warn_format(self, pair: Pair, warnings: list[str], /) -> None:
        """Warns if the lines look like anything but single labels, such as JSON."""
        warn_label_format(pair, warnings)

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> ClassIds:
        """Reads the class of each line. Arguments and errors are those of `LabelReader.read`."""
        labels, ids = self.labels, []
        for start, block in self._blocks(lines):
            # each different label of a block is looked up once: a million lines may have two labels
            distinct = set(block)
            new = {label for label in distinct if labels.get(label) is None}
            for i, label in enumerate(block if new else ()):
                if label in new and labels.get(label) is None:
                    self._add(lines.where(start + i), label, texts, known_from)
            id_of = {label: labels.get(label) for label in distinct}
            ids.append(np.fromiter(map(id_of.__getitem__, block), dtype=np.int32, count=len(block)))
        return ClassIds(np.concatenate(ids))

    def check(self, lines: Lines, targets: LineTargets) -> None:
        """Raises DataError if all lines have the same label, or the labels are too long together."""
        if len(self.labels) == 1:
            only, every = short_label(self.labels.names[0]), f"every {lines.words.line}"
            raise DataError(lines.name, f"{every} has the label {only}; two different ones are needed")
        self._check_size(lines.name)

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """Returns the labels, since each line is one label."""
        return self.labels.names


class SetReader(Reader):
    """Reads label files with any number of labels a line. An empty line has no label.

    Args:
        separator: the text between two labels, which no label contains.
    """

    def __init__(self, separator: str) -> None:
        super().__init__()
        self.separator = separator

    def warn_format(self, pair: Pair, warnings: list[str], /) -> None:
        """Warns if the lines look like another format, or like labels with another separator."""
        warn_set_format(pair, self.separator, warnings)

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> ClassSets:
        """Reads the set of classes of each line. Arguments and errors are those of `LabelReader.read`."""
        sets: list[list[int]] = []
        known: dict[str, list[int]] = {}
        for start, block in self._blocks(lines):
            for i, line in enumerate(block):
                ids = known.get(line)
                if ids is None:
                    ids = known[line] = self._ids(lines.where(start + i), line, texts, known_from)
                sets.append(ids)
        return ClassSets.of(sets, len(self.labels))

    def _ids(self, where: str, line: str, texts: Lines, known_from: str | None) -> list[int]:
        """Returns the ids of a line's labels, and gives new labels an id."""
        ids: list[int] = []
        for label in split_labels(line, self.separator):
            if is_blank(label):
                raise DataError(
                    where, f"an empty label beside a separator ({self.separator!r}); remove one of the two"
                )
            if self.labels.get(label) is None:
                self._add(where, label, texts, known_from)
            index = self.labels.get(label)
            assert index is not None
            if index in ids and {"0", "1"}.issuperset(split_labels(line, self.separator)):
                raise DataError(
                    where,
                    "a row of zeros and ones; write the names of its labels, with the separator between",
                )
            if index in ids:
                this = f"this {texts.words.line}"
                raise DataError(where, f"the label {short_label(label)} occurs twice in {this}; remove one")
            ids.append(index)
        return ids

    def check(self, lines: Lines, targets: LineTargets) -> None:
        """Raises DataError if there is no label, all lines have the same labels, or they are too long."""
        line, name = lines.words.line, lines.name
        if not len(self.labels):
            raise DataError(name, f"every {line} is empty: no text has a label, so there is nothing to learn")
        if len(np.unique(targets.distinct_ids_N)) == 1:
            raise DataError(name, f"every {line} has the same labels; two different {line}s are needed")
        self._check_size(name)

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """Returns each different set of labels as a line would write it, in the order of the sets' ids."""
        _, first = np.unique(targets.distinct_ids_N, return_index=True)
        sets = map(targets.classes_of, first.tolist())
        return [self.separator.join(self.labels.names[index] for index in one) for one in sets]


def split_labels(line: str, separator: str) -> list[str]:
    """Returns the labels of a line, without white space around them; none if the line is blank."""
    if is_blank(line):
        return []
    return [label.strip() for label in line.strip().split(separator)]


def unknown_label(where: str, label: str, labels: Sequence[str], known_from: str, texts: Lines) -> DataError:
    """Returns the error for a label that does not occur in the training labels, the file `known_from`."""
    # where all known labels occur among the texts, the two validation files are probably swapped
    first_texts = next(iter(texts.blocks()))[:100]
    if set(labels) >= set(first_texts):
        return DataError(where, SWAPPED.format(texts=texts.name, sides=texts.words.sides))
    hint = header_hint(where, label) or nearest_label(label, labels)
    return DataError(where, f"label {short_label(label)} never occurs in {known_from}{hint}")


def check_not_swapped(
    texts: Lines,
    label_lines: Lines,
    reader: LabelReader,
    num_lines: int,
    text_characters: int,
    hashes_N: np.ndarray,
) -> None:
    """Raises DataError if the two files seem to be swapped, or the labels are not classes.

    Args:
        texts, label_lines: the two files, for the message.
        reader: the reader that has read the label file.
        num_lines: the number of lines of each file.
        text_characters: the number of characters of all texts.
        hashes_N: (N,) int64 hashes of the texts.
    """
    labels, first = reader.labels.names, label_lines.where(0)
    # swapped files: the "labels" are much longer than the "texts", and there are more different ones
    if reader.characters > 2 * text_characters and len(np.unique(hashes_N)) < len(labels):
        raise DataError(first, SWAPPED.format(texts=texts.name, sides=texts.words.sides))
    how_many = f"{len(labels):,} different ones in {num_lines:,} {texts.words.line}s"
    too_many = f"; at most {MAX_LABELS:,} can be learned" if len(labels) > MAX_LABELS else ""
    if len(labels) > num_lines // 2 and num_lines >= 20:
        if all_numbers(labels):
            raise DataError(
                first,
                f"the labels look like numbers that measure or count: {how_many}, such as "
                f"{short_label(labels[1])}; put them into a few classes, or take --task regression",
            )
        raise DataError(first, f"the labels look like texts: {how_many}{too_many}")
    if too_many:
        raise DataError(first, f"too many labels: {how_many}{too_many}")
