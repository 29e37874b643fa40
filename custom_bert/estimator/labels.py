"""Labels of the estimator: from what the caller gives to the lines of a label file, and back.

Shapes: N texts, C classes, K outputs of the model. K is smaller than C if an indicator matrix has columns
without a 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from custom_bert.data.labels import is_label, short_label
from custom_bert.data.text import composed
from custom_bert.errors import shown
from custom_bert.estimator.given import kind_of, listed, one_column
from custom_bert.tasks.registry import task_of_shares

Form = Literal["one", "set", "frozenset", "list", "tuple", "indicator", "sparse"]
"""The forms of labels: one for each text, a collection for each text, or a matrix of zeros and ones."""

COLLECTIONS: dict[str, type] = {"set": set, "frozenset": frozenset, "list": list, "tuple": tuple}

MATRICES = ("indicator", "sparse")

FORMS = get_args(Form)


@dataclass(frozen=True)
class Labels:
    """The classes of a model as the caller writes them.

    Attributes:
        form: the form in which labels were given, and predictions are returned.
        classes: (C,) the classes in scikit-learn's order, of the type that the caller's labels have. For an
            indicator matrix they are its columns.
    """

    form: Form
    classes: np.ndarray

    @property
    def are_sets(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.form != "one"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The C classes as strings, as the run directory has them."""
        return tuple(map(str, self.classes.tolist()))

    def places(self, outputs: Sequence[str]) -> np.ndarray:
        """Returns (K,) the index of the class that each output of a model stands for."""
        index_of = {name: i for i, name in enumerate(self.names)}
        return np.array([index_of[name] for name in outputs], dtype=np.int64)

    def answers(self, rows: Iterable[Sequence[int]], count: int) -> Any:
        """Returns predictions in the form in which labels were given.

        Args:
            rows: the indices of the classes of each text.
            count: N, the number of texts.
        """
        if self.form == "one":
            return self.classes[np.fromiter((row[0] for row in rows), dtype=np.int64, count=count)]
        if self.form in COLLECTIONS:
            make, classes = COLLECTIONS[self.form], self.classes.tolist()
            return [make(classes[index] for index in row) for row in rows]
        hot_NC = np.zeros((count, len(self.classes)), dtype=np.int64)
        for i, row in enumerate(rows):
            hot_NC[i, list(row)] = 1
        if self.form == "indicator":
            return hot_NC
        from scipy.sparse import csr_matrix

        return csr_matrix(hot_NC)


@dataclass(frozen=True)
class Given:
    """Labels of texts, as indices of classes.

    Attributes:
        labels: the form and the classes.
        rows: the indices of the classes of each text, ascending.
    """

    labels: Labels
    rows: list[list[int]]

    def __len__(self) -> int:
        return len(self.rows)

    def lines(self) -> list[str]:
        """Returns the line of a label file for each text."""
        names = self.labels.names
        return ["\t".join(names[index] for index in row) for row in self.rows]

    @property
    def width(self) -> int | None:
        """The number of columns of a matrix; None for other forms, 0 for one label a text."""
        if self.labels.form in MATRICES:
            return len(self.labels.classes)
        return None if self.labels.are_sets else 0

    def values(self) -> list[set[Any]]:
        """Returns the labels of each text, to be compared: the columns of a matrix, otherwise the labels."""
        if self.labels.form in MATRICES:
            return [set(row) for row in self.rows]
        classes = self.labels.classes.tolist()
        return [{classes[index] for index in row} for row in self.rows]

    def some(self, kept: np.ndarray) -> Given:
        """Returns the labels of some texts, by their indices. Classes that none of them has are left out, but
        for the columns of a matrix."""
        rows = [self.rows[i] for i in kept.tolist()]
        if self.labels.form in MATRICES:
            return Given(self.labels, rows)
        used = sorted({index for row in rows for index in row})
        new = {index: i for i, index in enumerate(used)}
        labels = Labels(self.labels.form, self.labels.classes[used])
        return Given(labels, [[new[index] for index in row] for row in rows])


def read_labels(y: Any) -> Given:
    """Reads labels in any form, and checks them.

    Raises:
        TypeError: if they are not a collection of labels.
        ValueError: for the first thing that is wrong, with its place.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None")
    if _is_matrix(y):
        return _of_matrix(y)
    is_column = isinstance(y, np.ndarray) and y.ndim == 2
    y = column_or_1d(y, warn=True) if is_column else one_column(y)
    found = listed(y)
    form = next((type(label).__name__ for label in found if type(label).__name__ in COLLECTIONS), None)
    if form is None:
        return _of_single(found, y)
    return _of_collections(found, form)


def _is_matrix(y: Any) -> bool:
    """Returns whether labels are a matrix: sparse, a table of several columns, or lists of zeros and ones."""
    if hasattr(y, "tocsr"):
        return True
    if hasattr(y, "columns") or isinstance(y, np.ndarray):
        return len(y.shape) == 2 and y.shape[1] != 1
    rows = (
        isinstance(y, list | tuple)
        and len(y)
        and all(isinstance(row, list | tuple | np.ndarray) for row in y)
    )
    return bool(
        rows
        and len({len(row) for row in y}) == 1
        and len(y[0]) > 1
        and all(isinstance(cell, int | np.integer | np.bool_) and cell in (0, 1) for row in y for cell in row)
    )


def _of_matrix(y: Any) -> Given:
    """Reads an indicator matrix. The names of its columns are those of a table, or numbers from 0."""
    sparse = hasattr(y, "tocsr")
    columns = list(getattr(y, "columns", ()))
    hot_NC = y.toarray() if sparse else np.asarray(y)
    try:
        wrong = np.argwhere((hot_NC != 0) & (hot_NC != 1))
    except TypeError:
        wrong = np.zeros((1, 2), dtype=np.int64)
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ValueError(
            f"Unknown label type: labels of shape {hot_NC.shape} have to be zeros and ones, and row {row} "
            f"has {shown(hot_NC[row, column])} in column {column}; shares of labels need "
            f"task={task_of_shares()!r}"
        )
    classes = np.array(columns) if columns else np.arange(hot_NC.shape[1])
    if columns:
        kind_of(columns)
    labels = Labels("sparse" if sparse else "indicator", classes)
    check_names(labels, trimmed=labels.are_sets)
    return Given(labels, [np.flatnonzero(row).tolist() for row in hot_NC])


def _of_single(found: list[Any], y: Any) -> Given:
    """Reads one label for each text. The classes have the type of an array, if an array was given."""
    if any(isinstance(label, Mapping) for label in found):
        raise ValueError(f"labels: dicts of labels and shares need task={task_of_shares()!r}")
    kind = kind_of(found)
    if kind == "float":
        wrong = np.flatnonzero(~np.isfinite(found))
        if len(wrong):
            raise ValueError(f"label {wrong[0]}: expected a finite number, got {found[wrong[0]]}")
        check_classification_targets(np.array(found))
    dtype = getattr(y, "dtype", None)
    array = np.array(found, dtype=dtype if isinstance(dtype, np.dtype) and (dtype.kind != "O") else None)
    if isinstance(dtype, np.dtype) and dtype.kind == "O" and kind == "str":
        array = array.astype(object)
    classes, ids_N = np.unique(array, return_inverse=True)
    labels = Labels("one", classes)
    check_names(labels, trimmed=labels.are_sets)
    return Given(labels, [[index] for index in ids_N.tolist()])


def _of_collections(found: list[Any], form: str) -> Given:
    """Reads a set, list or tuple of labels for each text."""
    flat: list[Any] = []
    for i, row in enumerate(found):
        if type(row).__name__ not in COLLECTIONS:
            raise ValueError(
                f"label {i}: expected a {form} of labels as before it or after it, got {shown(row)}"
            )
        inner = listed(row)
        if len(set(inner)) < len(inner):
            raise ValueError(f"label {i}: a label occurs twice in {shown(row)}; remove one")
        flat += inner
    kind_of(flat)
    labels = Labels(_form(form), np.unique(np.array(flat)) if flat else np.array([], dtype=str))
    check_names(labels, trimmed=labels.are_sets)
    index_of = {label: i for i, label in enumerate(labels.classes.tolist())}
    return Given(labels, [sorted(index_of[label] for label in row) for row in found])


def _form(name: str) -> Form:
    return next(form for form in FORMS if form == name)


def check_names(labels: Labels, *, trimmed: bool) -> None:
    """Raises ValueError if a class cannot be a label of a run, or two would be one.

    Args:
        labels: the classes.
        trimmed: whether white space around a label is lost in a label file.
    """
    seen: dict[str, str] = {}
    for name in labels.names:
        if not is_label(name) or (trimmed and name != name.strip()):
            edges = ", without white space around it" if trimmed else ""
            raise ValueError(
                f"{short_label(name)} cannot be a label: write one line of 1 to 1,000 characters without "
                f"tabs{edges}"
            )
        if composed(name) in seen:
            raise ValueError(
                f"the labels {short_label(seen[composed(name)])} and {short_label(name)} are the same in "
                f"Unicode's composed form; write one spelling"
            )
        seen[composed(name)] = name
