"""A column of a table as lines: each row of the table, or of one split of it, is a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from custom_bert.data.lines import ROWS
from custom_bert.data.tables.batches import Table, place
from custom_bert.data.tables.cells import Cells
from custom_bert.errors import DataError


@dataclass(frozen=True)
class SplitRows:
    """The rows of a table that belong to one split, as a column says.

    Attributes:
        column: the column of splits.
        name: the split, which is train, val or test.
        rows_N: (N,) int64 the indices of its rows, ascending.
    """

    column: str
    name: str
    rows_N: np.ndarray


class ColumnLines:
    """The cells of a column, as `data.lines.Lines`.

    Args:
        table: the table.
        column: the name of the column, which the table has once.
        what: what the cells are, in the singular, for messages: text, label, split or group.
        separator: what stands between the labels of a cell that is a list; None where no cell may be one.
        split: the rows to read; None for all.

    Attributes:
        path: the path of the table.
        num_lines: the number of rows read so far.
    """

    words, pairs = ROWS, False

    def __init__(
        self,
        table: Table,
        column: str,
        what: str,
        *,
        separator: str | None = None,
        split: SplitRows | None = None,
    ) -> None:
        self.path, self.num_lines = table.path, 0
        self._table, self._column, self._what, self._separator = table, column, what, separator
        self._split, self._file_sha256 = split, ""
        self._rows_N = None if split is None else split.rows_N
        self._cells = Cells(what, separator)

    @property
    def column(self) -> str:
        """The name of the column."""
        return self._column

    @property
    def name(self) -> str:
        """The path of the table and the column; of a split, that too."""
        split = "" if self._split is None else f", {self._split.name} rows"
        return f"{self.path}, column {self._column!r}{split}"

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the file's content, the column's name, and which rows are read and how."""
        split = None if self._split is None else [self._split.column, self._split.name]
        what = [self._file_sha256, self._column, split, self._table.encoding, self._separator]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def where(self, index: int) -> str:
        """Returns the place of a row, such as `reviews.csv:18: row 17, column 'stars'`."""
        return self._where(self._row(index))

    def numbers(self, rows_N: np.ndarray) -> np.ndarray:
        """Returns the numbers of rows in the table, from 1, without the header."""
        return (rows_N if self._rows_N is None else self._rows_N[rows_N]) + 1

    def doubts(self) -> list[str]:
        """Returns warnings about cells of several kinds, such as numbers among strings."""
        return self._cells.doubts(self.name, lambda rows_N: rows_N + 1)

    def check_repeatable(self) -> None:
        """Does nothing, because only regular files are opened as tables."""

    def blocks(self, sha256: str | None = None) -> Iterator[list[str]]:
        """Yields lists of consecutive cells.

        Args:
            sha256: the hash that the column had when it was checked; None if it is read for the first time.

        Raises:
            DataError: for the first row that cannot be read; after the last row, if the file has changed.
        """
        self.num_lines, start, cells = 0, 0, Cells(self._what, self._separator)
        for batch in self._table.batches((self._table.names.index(self._column),)):
            (stored,), rows = batch.cells, self._rows_between(start, start + len(batch.cells[0]))
            if self._rows_N is not None:
                stored = [stored[row - start] for row in rows]
            block = cells.strings(stored, rows, self._where)
            start += len(batch.cells[0])
            self.num_lines += len(block)
            if block:
                yield block
        self._cells, self._file_sha256 = cells, self._table.sha256
        if sha256 is not None and self.sha256 != sha256:
            raise DataError(str(self.path), "the file changed while it was read; start again")

    def _rows_between(self, start: int, end: int) -> Sequence[int]:
        """Returns the rows that are lines, of all rows from `start` up to but not including `end`."""
        if self._rows_N is None:
            return range(start, end)
        low, high = np.searchsorted(self._rows_N, [start, end])
        rows: list[int] = self._rows_N[low:high].tolist()
        return rows

    def _row(self, index: int) -> int:
        return index if self._rows_N is None else int(self._rows_N[index])

    def _where(self, row: int) -> str:
        return place(self.path, self._table.lines.of(row), row, self._column)
