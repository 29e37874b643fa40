"""What tables of every format have in common: batches of rows, and the line of the file of each row."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

ROWS = 8192
"""The number of rows that are read at a time."""


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table.

    Attributes:
        stored: the rows as they are stored: lists of cells, lines of JSON, or a record batch of pyarrow.
        cells: for each column that was asked for, a list with the cell of each row.
    """

    stored: Any
    cells: tuple[list[Any], ...]


class Table(Protocol):
    """A table that can be read again and again.

    Attributes:
        path: the path of the file.
        names: the names of the columns, in their order. Names may occur twice.
        lines: the lines on which rows begin, as far as rows were read.
        encoding: the encoding of the text; "" for Parquet, which says that itself.
        header_doubt: why the names of the columns may be data, as in "since '4' is a number"; "" if they look
            like names.
    """

    path: Path
    names: tuple[str, ...]
    lines: RowLines
    encoding: str
    header_doubt: str

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the unpacked content. It is complete after `batches` has ended."""

    def expected_rows(self) -> int:
        """Returns about how many rows the file has, while `batches` is read; 0 if nothing can be said yet."""

    def batches(self, columns: tuple[int, ...], *, whole: bool = False) -> Iterator[Batch]:
        """Yields all rows, from the first on.

        Args:
            columns: the indices of the columns whose cells are wanted.
            whole: whether `Batch.stored` has to have the other columns too.

        Raises:
            DataError: for the first row that cannot be read, with its number and its line.
        """


class RowLines:
    """The line on which each row of a file begins. It takes hardly any memory if every row is one line."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._lines: list[np.ndarray | int] = []
        self._rows = 0

    def add(self, start: int, lines_N: np.ndarray) -> None:
        """Adds the lines of the next rows.

        Args:
            start: the index of the first of these rows, from 0. Rows that are known already are left out.
            lines_N: (N,) int64 the line of each row, from 1.
        """
        if start != self._rows or not len(lines_N):
            return
        regular = lines_N[-1] - lines_N[0] == len(lines_N) - 1
        self._starts.append(start)
        self._lines.append(int(lines_N[0]) if regular else lines_N)
        self._rows += len(lines_N)

    @property
    def last(self) -> tuple[int, int]:
        """How many rows are known, and the line on which the last of them begins; zeros before the first."""
        return (self._rows, self.of(self._rows - 1) or 0)

    def forget(self) -> None:
        """Forgets all rows but those that were added last, where no message will speak of earlier ones."""
        del self._starts[:-1], self._lines[:-1]

    def of(self, row: int) -> int | None:
        """Returns the line of a row, by its index from 0; None if it is not known."""
        if not self._starts or not self._starts[0] <= row < self._rows:
            return None
        at = bisect.bisect_right(self._starts, row) - 1
        within, lines = row - self._starts[at], self._lines[at]
        return lines + within if isinstance(lines, int) else int(lines[within])


def place(path: Path, line: int | None, row: int, column: str | None = None) -> str:
    """Returns where a row is, for messages: `reviews.csv:18: row 17, column 'stars'`.

    Args:
        path: the path of the table.
        line: the line of the file on which the row begins; None if there are no lines.
        row: the index of the row, from 0. Messages count rows from 1, without the header.
        column: the name of the column; None for the row as a whole.
    """
    file = f"{path}" if line is None else f"{path}:{line}"
    return f"{file}: row {row + 1}" + ("" if column is None else f", column {column!r}")
