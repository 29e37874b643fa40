"""Cells of a table as strings: the text of a text, the name of a label, of a split or of a group.

CSV has only strings. JSON and Parquet have numbers, truth values, lists, and cells without a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from custom_bert.errors import DataError, shown
from custom_bert.phrases import at_lines, counted

NAMES = {str: "string", bool: "truth value", int: "number", float: "number", list: "list"}
"""What messages call the kinds of cells."""

SHOWN_ROWS = 5
"""The number of rows that a warning names."""


class Cells:
    """Turns the cells of a column into strings.

    A whole number is written without a fraction, so that 4 and 4.0 are one label; True is `true`, as in JSON.
    A cell without a value is the empty string.

    Args:
        what: what the cells are, in the singular, for messages: text, label, split or group.
        separator: what stands between the labels of a list; None where a cell may not be a list.
    """

    def __init__(self, what: str, separator: str | None = None) -> None:
        self._what, self._separator = what, separator
        self._counts: dict[str, int] = {}
        self._rows: dict[str, list[int]] = {}

    def strings(self, cells: list[Any], rows: Sequence[int], where: Callable[[int], str]) -> list[str]:
        """Returns the cells as strings.

        Args:
            cells: the cells of some rows.
            rows: the index of the row of each cell.
            where: returns the place of a row, by its index.

        Raises:
            DataError: for the first cell that cannot be a string, with its place.
        """
        if set(map(type, cells)) == {str}:
            self._counts["string"] = self._counts.get("string", 0) + len(cells)
            if len(self._rows.setdefault("string", [])) < SHOWN_ROWS:
                self._rows["string"] += rows[:SHOWN_ROWS]
            return cells
        return [self._string(cell, row, where) for cell, row in zip(cells, rows, strict=True)]

    def doubts(self, name: str, numbers: Callable[[np.ndarray], np.ndarray]) -> list[str]:
        """Returns a warning if cells are of several kinds, or texts are no strings, with the first rows.

        Args:
            name: the name of the column.
            numbers: returns the numbers of rows, by their indices.
        """
        kinds = sorted(self._counts, key=self._counts.__getitem__, reverse=True)
        if kinds == ["string"] or (len(kinds) < 2 and self._what != "text"):
            return []
        parts = []
        for kind in kinds:
            rows = numbers(np.array(self._rows[kind][:SHOWN_ROWS], dtype=np.int64))
            parts.append(counted(self._counts[kind], kind) + at_lines(rows, self._counts[kind], noun="row"))
        return [f"{name}: {' and '.join(parts)}; all are read as {self._what}s"]

    def _string(self, cell: Any, row: int, where: Callable[[int], str]) -> str:
        """Returns one cell as a string, and counts its kind."""
        # not a number is the one value that differs from itself; pandas writes it for a missing value
        if cell is None or cell != cell:
            return ""
        kind = NAMES.get(type(cell))
        lists = self._separator is not None
        if kind is None or (kind == "list" and not lists) or (kind == "truth value" and self._what == "text"):
            raise DataError(
                where(row),
                f"expected a {self._what}, got {shown(cell)}; write a string, or take another column",
            )
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if len(self._rows.setdefault(kind, [])) < SHOWN_ROWS:
            self._rows[kind].append(row)
        if isinstance(cell, list):
            return self._joined(cell, row, where)
        return plain(cell)

    def _joined(self, cell: list[Any], row: int, where: Callable[[int], str]) -> str:
        """Returns the labels of a list with the separator between them."""
        assert self._separator is not None
        labels = []
        for item in cell:
            if type(item) not in (str, bool, int, float) or item != item:
                raise DataError(where(row), f"expected a list of labels, and {shown(item)} is in it")
            labels.append(plain(item))
            if not labels[-1].strip() or self._separator in labels[-1]:
                fault = "is empty" if not labels[-1].strip() else "holds the separator between labels"
                raise DataError(where(row), f"a list of labels, of which {shown(item)} {fault}")
        return self._separator.join(labels)


def plain(cell: str | bool | int | float) -> str:
    """Returns a single value as a string: a whole number without a fraction, a truth value as JSON has it."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
