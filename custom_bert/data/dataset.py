"""A checked data set: two splits of labelled lines, and what is known about them.

Texts are not kept: they are streamed again when they are tokenised. How a data set is read: `data.reading`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from custom_bert.data.lines import Lines
from custom_bert.data.targets import LineTargets


@dataclass(frozen=True)
class LabelledFile:
    """One text file and its labels, read and checked.

    Attributes:
        lines: the texts, to be streamed.
        labels_path: the file of the labels.
        texts_sha256, labels_sha256: of the contents of the two files.
        targets: what the label file says, by line.
        hashes_N: (N,) int64 of each text: texts that are equal in Unicode's composed form have equal hashes
            (in this process).
        characters: of all texts.
        empty_lines: lines (from 1) of texts without a character that shows.
    """

    lines: Lines
    labels_path: str
    texts_sha256: str
    labels_sha256: str
    targets: LineTargets
    hashes_N: np.ndarray
    characters: int
    empty_lines: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def texts_path(self) -> str:
        """Where the texts stand."""
        return str(self.lines.path)

    def blocks(self) -> Iterator[list[str]]:
        """The texts, in lists.

        Raises:
            DataError: if they are no longer the ones that were checked.
        """
        return self.lines.blocks(self.texts_sha256)


@dataclass(frozen=True)
class Split:
    """Some lines of a file, which train or measure.

    Attributes:
        file: with all lines.
        rows_N: (N,) int64 rising indices of the lines, from 0.
    """

    file: LabelledFile
    rows_N: np.ndarray

    def __len__(self) -> int:
        return len(self.rows_N)

    @property
    def targets(self) -> LineTargets:
        """The targets of the lines."""
        return self.file.targets.take(self.rows_N)


@dataclass(frozen=True)
class Dataset:
    """A checked data set.

    Attributes:
        labels: the label strings; targets index into them. Numbers come first, by their value; the others
            follow, sorted.
        train, val: what trains and what measures. They have one file where validation lines were set aside.
        choosing: lines set aside from the training file that choose what the data has to decide after each
            evaluation, as thresholds; None where the task has nothing to choose.
        warnings: one line each.
    """

    labels: tuple[str, ...]
    train: Split
    val: Split
    choosing: Split | None = None
    warnings: tuple[str, ...] = field(default=())

    def with_warnings(self, *warnings: str) -> Dataset:
        """The same data, with more to tell."""
        return dataclasses.replace(self, warnings=(*self.warnings, *warnings))

    @property
    def was_divided(self) -> bool:
        """Whether the validation rows were set aside from the training files."""
        return self.val.file is self.train.file

    @property
    def files(self) -> tuple[LabelledFile, ...]:
        """The training file, and the validation file if it is another one."""
        return (self.train.file,) if self.was_divided else (self.train.file, self.val.file)

    def label_counts(self) -> dict[str, int]:
        """Training examples of each label, in label order."""
        counts = self.train.targets.counts(len(self.labels)).tolist()
        return dict(zip(self.labels, counts, strict=True))

    def hashes(self) -> dict[str, str]:
        """What makes this data set this data set."""
        return {
            "train_texts": self.train.file.texts_sha256,
            "train_labels": self.train.file.labels_sha256,
            "val_texts": self.val.file.texts_sha256,
            "val_labels": self.val.file.labels_sha256,
        }

    def description(self) -> dict[str, Any]:
        """Sizes, hashes and label counts, for run.json."""
        choosing = {} if self.choosing is None else {"choosing_examples": len(self.choosing)}
        return {
            "train_examples": len(self.train),
            "val_examples": len(self.val),
            **choosing,
            "val_set_aside_from_train": self.was_divided,
            "files": {
                path: sha
                for file in (self.train.file, self.val.file)
                for path, sha in (
                    (file.texts_path, file.texts_sha256),
                    (file.labels_path, file.labels_sha256),
                )
            },
            "labels": self.label_counts(),
        }
