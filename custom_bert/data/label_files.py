"""Label files: lines to classes, with the messages for lines that cannot be read as such.

A reader collects the different labels while it reads the training file. It then knows them, and reads the
validation file, in which no new one may occur.
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

SWAPPED = "the labels look like texts and {texts} like labels; are the two files swapped?"


class LabelReader(Protocol):
    """Reads label files.

    Attributes:
        labels: the different labels so far; their ids are by first sight.
        characters: of the file read last.
    """

    labels: LabelIds
    characters: int

    def suspects(self, pair: Pair, warnings: list[str], /) -> None:
        """Looks at the form of a label file's lines; see `data.suspicions`."""

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> LineTargets:
        """The targets of a label file.

        Args:
            lines: of the label file.
            texts: the lines that they belong to.
            known_from: the training labels' path where no new label is allowed; None where they are read.

        Raises:
            DataError: for the first line that is wrong, with its number.
        """

    def check(self, path: str, targets: LineTargets) -> None:
        """Raises DataError if nothing can be learned from the training labels in `path`."""

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """The different lines of a label file, by `LineTargets.alike_N`."""

    def sorted(self, targets: LineTargets) -> LineTargets:
        """The targets when all files are read: with ids in the order of `ordered`."""

    def ordered(self) -> tuple[str, ...]:
        """The labels when all files are read: numbers by their value, then the others, sorted."""


class _Reader:
    """What both readers share."""

    def __init__(self) -> None:
        self.labels, self.characters = LabelIds(), 0

    def ordered(self) -> tuple[str, ...]:
        """See `LabelReader`."""
        return tuple(sorted(self.labels.names, key=label_order))

    def sorted(self, targets: LineTargets) -> LineTargets:
        """See `LabelReader`."""
        rank = {label: i for i, label in enumerate(self.ordered())}
        return targets.renumbered(np.array([rank[label] for label in self.labels.names], dtype=np.int32))

    def _blocks(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """(index of its first line, lines) of each block; counts characters."""
        self.characters = 0
        for block in lines.blocks():
            self.characters += sum(map(len, block))
            yield lines.num_lines - len(block), block

    def _learn(self, where: str, label: str, texts: Lines, known_from: str | None) -> None:
        """Gives a label that is not known an id, where that is allowed."""
        check_label(where, label)
        if known_from is not None:
            raise unknown_label(where, label, self.labels.names, known_from, texts)
        self.labels.add(label)

    def _check_size(self, path: str) -> None:
        """Raises DataError if the different labels are together too long for the files of a run."""
        size = sum(len(json.dumps(label, ensure_ascii=False).encode()) for label in self.labels.names)
        if size > MAX_LABELS_BYTES:
            raise DataError(
                path,
                f"the different labels take {size:,} bytes together, of at most {MAX_LABELS_BYTES:,}; "
                "write shorter ones, numbers, say",
            )


class ClassReader(_Reader):
    """One label a line."""

    def suspects(self, pair: Pair, warnings: list[str], /) -> None:
        """See `LabelReader`."""
        warn_label_format(pair, warnings)

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> ClassIds:
        """See `LabelReader`."""
        labels, ids = self.labels, []
        for start, block in self._blocks(lines):
            distinct = set(block)
            new = {label for label in distinct if labels.get(label) is None}
            for i, label in enumerate(block if new else ()):
                if label in new and labels.get(label) is None:
                    self._learn(f"{lines.path}:{start + i + 1}", label, texts, known_from)
            id_of = {label: labels.get(label) for label in distinct}
            ids.append(np.fromiter(map(id_of.__getitem__, block), dtype=np.int32, count=len(block)))
        return ClassIds(np.concatenate(ids))

    def check(self, path: str, targets: LineTargets) -> None:
        """See `LabelReader`."""
        if len(self.labels) == 1:
            only = short_label(self.labels.names[0])
            raise DataError(path, f"every line has the label {only}; two different ones are needed")
        self._check_size(path)

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """See `LabelReader`."""
        return self.labels.names


class SetReader(_Reader):
    """Any number of labels a line, with a separator between them; an empty line has none.

    Args:
        separator: that no label holds.
    """

    def __init__(self, separator: str) -> None:
        super().__init__()
        self.separator = separator

    def suspects(self, pair: Pair, warnings: list[str], /) -> None:
        """See `LabelReader`."""
        warn_set_format(pair, self.separator, warnings)

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> ClassSets:
        """See `LabelReader`."""
        sets: list[list[int]] = []
        known: dict[str, list[int]] = {}
        for start, block in self._blocks(lines):
            for i, line in enumerate(block):
                ids = known.get(line)
                if ids is None:
                    ids = known[line] = self._ids(f"{lines.path}:{start + i + 1}", line, texts, known_from)
                sets.append(ids)
        return ClassSets.of(sets, len(self.labels))

    def _ids(self, where: str, line: str, texts: Lines, known_from: str | None) -> list[int]:
        """The ids of a line's labels; those that are new are learned."""
        found = []
        for label in split_labels(line, self.separator):
            if is_blank(label):
                raise DataError(
                    where, f"an empty label beside a separator ({self.separator!r}); remove one of the two"
                )
            if self.labels.get(label) is None:
                self._learn(where, label, texts, known_from)
            index = self.labels.get(label)
            assert index is not None
            if index in found and {"0", "1"}.issuperset(split_labels(line, self.separator)):
                raise DataError(
                    where,
                    "a row of zeros and ones; write the names of its labels, with the separator between",
                )
            if index in found:
                raise DataError(
                    where, f"the label {short_label(label)} stands twice in this line; remove one"
                )
            found.append(index)
        return found

    def check(self, path: str, targets: LineTargets) -> None:
        """See `LabelReader`."""
        if not len(self.labels):
            raise DataError(path, "every line is empty: no text has a label, so there is nothing to learn")
        if len(np.unique(targets.alike_N)) == 1:
            raise DataError(path, "every line has the same labels; two different lines are needed")
        self._check_size(path)

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """See `LabelReader`."""
        _, first = np.unique(targets.alike_N, return_index=True)
        sets = map(targets.classes_of, first.tolist())
        return [self.separator.join(self.labels.names[index] for index in one) for one in sets]


def split_labels(line: str, separator: str) -> list[str]:
    """The labels of a line, without white space around them; none of a line that shows nothing."""
    if is_blank(line):
        return []
    return [label.strip() for label in line.strip().split(separator)]


def unknown_label(where: str, label: str, labels: Sequence[str], known_from: str, texts: Lines) -> DataError:
    """For a label that the training labels in `known_from` do not have."""
    first_texts = next(iter(texts.blocks()))[:100]
    if set(labels) >= set(first_texts):
        return DataError(where, SWAPPED.format(texts=texts.path))
    hint = header_hint(where, label) or nearest_label(label, labels)
    return DataError(where, f"label {short_label(label)} never occurs in {known_from}{hint}")


def check_not_swapped(
    texts_path: str,
    labels_path: str,
    reader: LabelReader,
    num_lines: int,
    text_characters: int,
    hashes_N: np.ndarray,
) -> None:
    """Raises DataError if the two files seem to have changed places, or labels are no classes."""
    labels = reader.labels.names
    if reader.characters > 2 * text_characters and len(np.unique(hashes_N)) < len(labels):
        raise DataError(f"{labels_path}:1", SWAPPED.format(texts=texts_path))
    found = f"{len(labels):,} different ones in {num_lines:,} lines"
    too_many = f"; at most {MAX_LABELS:,} can be learned" if len(labels) > MAX_LABELS else ""
    if len(labels) > num_lines // 2 and num_lines >= 20:
        if all_numbers(labels):
            raise DataError(
                f"{labels_path}:1",
                f"the labels look like numbers that measure or count: {found}, such as "
                f"{short_label(labels[1])}; put them into a few classes",
            )
        raise DataError(f"{labels_path}:1", f"the labels look like texts: {found}{too_many}")
    if too_many:
        raise DataError(f"{labels_path}:1", f"too many labels: {found}{too_many}")
