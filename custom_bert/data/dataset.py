"""A checked data set: two or three splits of labelled lines, and what is known about them.

The texts are not kept in memory. They are streamed again when they are tokenised. `data.reading` makes data
sets from files.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from custom_bert.data.lines import Lines, taken
from custom_bert.data.tables.choosing import Columns
from custom_bert.data.targets import LineTargets
from custom_bert.data.text_pairs import apart


@dataclass(frozen=True)
class LabelledFile:
    """One text file and its labels, read and checked.

    Attributes:
        lines: the texts, to be streamed.
        label_lines: the lines of the label file.
        texts_sha256, labels_sha256: the SHA-256 hashes of the contents of the two files.
        targets: the targets that the label file gives, by line.
        hashes_N: (N,) int64 a hash of each text. Texts that are equal in Unicode's composed form have equal
            hashes. They hold in this process only, because Python's hashes of strings are salted.
        characters: the number of characters of all texts together.
        empty_rows: the indices (from 0) of texts without a visible character.
        units_N: (N,) int64 which lines have to stand on one side of every division, by equal numbers; None if
            those are the lines with equal texts.
    """

    lines: Lines
    label_lines: Lines
    texts_sha256: str
    labels_sha256: str
    targets: LineTargets
    hashes_N: np.ndarray
    characters: int
    empty_rows: tuple[int, ...] = ()
    units_N: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def texts_path(self) -> str:
        """The path of the text file, or of a table and its column."""
        return self.lines.name

    @property
    def labels_path(self) -> str:
        """The path of the label file, or of a table and its column."""
        return self.label_lines.name

    def blocks(self) -> Iterator[list[str]]:
        """Yields the texts, in lists.

        Raises:
            DataError: if the file has changed since it was checked.
        """
        return self.lines.blocks(self.texts_sha256)

    def single_texts(self) -> Iterator[list[str]]:
        """Yields the texts, in lists; in the place of each pair its two texts, one after the other.

        Raises:
            DataError: if the file has changed since it was checked.
        """
        return apart(self.blocks()) if self.lines.pairs else self.blocks()


@dataclass(frozen=True)
class Split:
    """Some lines of a file, to train on or to measure with.

    Attributes:
        file: the file with all lines.
        rows_N: (N,) int64 the indices of the split's lines, from 0, ascending.
    """

    file: LabelledFile
    rows_N: np.ndarray

    def __len__(self) -> int:
        return len(self.rows_N)

    @property
    def targets(self) -> LineTargets:
        """The targets of the split's lines."""
        return self.file.targets.take(self.rows_N)

    def texts(self, chosen_N: np.ndarray) -> Iterator[str]:
        """Yields some of the split's texts.

        Args:
            chosen_N: (n,) their indices within the split, from 0, ascending.

        Raises:
            DataError: if the file has changed since it was checked.
        """
        return taken(self.file.blocks(), self.rows_N[chosen_N])


@dataclass(frozen=True)
class Dataset:
    """A checked data set.

    Attributes:
        labels: the label strings, in the order of their ids in the targets. Numbers come first, by their
            value; the others follow, sorted.
        train, val: the training and validation splits. They share one file where validation lines were set
            aside from the training lines. They are the same split where no line was.
        choosing: training lines that are set aside so that values can be chosen on them, such as thresholds
            or the factors of an ensemble; None where there is nothing to choose.
        warnings: what a user should know of the data, one line each.
        test: the lines that the finished model is measured on, once; None if there are none.
        columns: which columns of a table are read; None if the data is no table.
    """

    labels: tuple[str, ...]
    train: Split
    val: Split
    choosing: Split | None = None
    warnings: tuple[str, ...] = field(default=())
    test: Split | None = None
    columns: Columns | None = None

    def with_warnings(self, *warnings: str) -> Dataset:
        """Returns the same data set with more warnings."""
        return dataclasses.replace(self, warnings=(*self.warnings, *warnings))

    @property
    def was_divided(self) -> bool:
        """Whether the validation rows were set aside from the training files."""
        return self.val.file is self.train.file

    @property
    def validates(self) -> bool:
        """Whether there are validation lines that do not train."""
        return self.val is not self.train

    @property
    def files(self) -> dict[str, LabelledFile]:
        """The files by the names of their splits: the training file, the validation file if it is another
        one, and the test file if there is one."""
        val = {} if self.was_divided else {"val": self.val.file}
        return {"train": self.train.file, **val, **({} if self.test is None else {"test": self.test.file})}

    def label_counts(self) -> dict[str, int]:
        """Returns the number of training examples of each label, in the order of the labels."""
        counts = self.train.targets.counts(len(self.labels)).tolist()
        return dict(zip(self.labels, counts, strict=True))

    def hashes(self) -> dict[str, str]:
        """Returns the hashes by which a run recognises its data when it continues.

        Those of the test files are not among them, since these decide nothing about the run.
        """
        weights_N = self.train.file.targets.weights_N
        weights = {} if weights_N is None else {"weights": hashlib.sha256(weights_N.tobytes()).hexdigest()}
        return {
            **weights,
            "train_texts": self.train.file.texts_sha256,
            "train_labels": self.train.file.labels_sha256,
            "val_texts": self.val.file.texts_sha256,
            "val_labels": self.val.file.labels_sha256,
        }

    def description(self) -> dict[str, Any]:
        """Returns sizes, hashes and label counts, for run.json."""
        choosing = {} if self.choosing is None else {"choosing_examples": len(self.choosing)}
        test: dict[str, Any] = {}
        if self.test is not None:
            of_file = {"texts": self.test.file.texts_sha256, "labels": self.test.file.labels_sha256}
            test = {"test_examples": len(self.test), "test_hashes": of_file}
        return {
            "train_examples": len(self.train),
            "val_examples": len(self.val),
            **choosing,
            **test,
            "val_set_aside_from_train": self.was_divided,
            **({} if self.validates else {"val_trains": True}),
            **({"pairs": True} if self.train.file.lines.pairs else {}),
            "files": {
                path: sha
                for file in self.files.values()
                for path, sha in (
                    (file.texts_path, file.texts_sha256),
                    (file.labels_path, file.labels_sha256),
                )
            },
            **({"columns": self.columns.record()} if self.columns else {}),
            "labels": self.label_counts(),
            **self.train.targets.summary(),
        }
