"""Shares of labels for the estimator: from an array or from dicts to the lines of a label file.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from custom_bert.errors import shown
from custom_bert.estimator.given import kind_of, listed
from custom_bert.estimator.labels import Labels, check_names

WANTED = "shares of labels are an array of texts x labels, or a dict of labels and shares for each text"


@dataclass(frozen=True)
class GivenShares:
    """Shares of labels of texts.

    Attributes:
        labels: the classes. A prediction is one of them.
        shares_NC: (N, C) float64 the shares, or votes, from 0 on.
    """

    labels: Labels
    shares_NC: np.ndarray

    def __len__(self) -> int:
        return len(self.shares_NC)

    def lines(self) -> list[str]:
        """Returns the line of a label file for each text. Shares of 0 are left out."""
        names = self.labels.names
        return [
            "\t".join(f"{names[i]}:{row[i]!r}" for i, share in enumerate(row) if share)
            for row in self.shares_NC.tolist()
        ]

    def some(self, kept: np.ndarray) -> GivenShares:
        """Returns the shares of some texts, by their indices."""
        return GivenShares(self.labels, self.shares_NC[kept])

    def are_largest(self, labels: np.ndarray) -> np.ndarray:
        """Returns (N,) for a label of each text whether no other one has a larger share of the text."""
        index_of = {label: i for i, label in enumerate(self.labels.classes.tolist())}
        columns_N = np.array([index_of.get(label, -1) for label in labels.tolist()])
        own_N = self.shares_NC[np.arange(len(self)), columns_N]
        return np.asarray((columns_N >= 0) & (own_N == self.shares_NC.max(axis=1)))


def look_like_shares(y: Any) -> bool:
    """Returns whether labels are a table of several columns, or dicts."""
    if hasattr(y, "shape") and len(y.shape) == 2:
        return bool(y.shape[1] > 1)
    return isinstance(y, list | tuple) and len(y) > 0 and isinstance(y[0], Mapping | list | tuple)


def read_shares(y: Any) -> GivenShares:
    """Reads shares of labels, and checks them.

    Args:
        y: (N, C) numbers: an array, a table whose columns are the labels, or lists; or a dict of labels and
            numbers for each text. A label that a dict lacks has the share 0.

    Raises:
        TypeError: if it is no collection.
        ValueError: for the first thing that is wrong, with its place.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None")
    columns = list(getattr(y, "columns", ()))
    dense = y.toarray() if hasattr(y, "toarray") else y
    rows = None if columns or hasattr(dense, "shape") else listed(dense)
    if rows and all(isinstance(row, Mapping) for row in rows):
        return _of_dicts(rows)
    try:
        shares_NC = np.asarray(dense, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"labels: {WANTED}") from None
    if shares_NC.ndim != 2 or shares_NC.shape[1] < 2:
        raise ValueError(f"labels: {WANTED}; got the shape {shares_NC.shape}")
    classes = np.array(columns) if columns else np.arange(shares_NC.shape[1])
    if columns:
        kind_of(columns)
    return _checked(Labels("one", classes), shares_NC)


def _of_dicts(rows: list[Mapping[Any, Any]]) -> GivenShares:
    names = [label for row in rows for label in row]
    kind_of(names)
    classes = np.unique(np.array(names)) if names else np.array([], dtype=str)
    index_of = {label: i for i, label in enumerate(classes.tolist())}
    shares_NC = np.zeros((len(rows), len(classes)))
    for i, row in enumerate(rows):
        for label, share in row.items():
            try:
                shares_NC[i, index_of[label]] = float(share)
            except (TypeError, ValueError):
                raise ValueError(f"label {i}: the share of {shown(label)} is {shown(share)}") from None
    return _checked(Labels("one", classes), shares_NC)


def _checked(labels: Labels, shares_NC: np.ndarray) -> GivenShares:
    """Raises ValueError for the first number that is no share, and for a text without a share."""
    check_names(labels, trimmed=True)
    wrong = np.argwhere(~(np.isfinite(shares_NC) & (shares_NC >= 0)))
    if len(wrong):
        row, column = wrong[0].tolist()
        label, share = shown(labels.classes[column].item()), shares_NC[row, column].item()
        raise ValueError(f"label {row}: the share of {label} is {share}; expected a finite number from 0 on")
    empty = np.flatnonzero(~shares_NC.any(axis=1))
    if len(empty):
        raise ValueError(f"label {empty[0]}: no label has a share of this text")
    return GivenShares(labels, shares_NC)
