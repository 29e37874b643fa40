"""The rows of a CSV file, or of one with other separators. The first row names the columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from custom_bert.data.tables import batches
from custom_bert.data.tables.batches import Batch, RowLines, place
from custom_bert.data.tables.content import Content
from custom_bert.data.tables.csv_header import SAMPLED_ROWS, SEPARATORS, header_doubt, separator_of
from custom_bert.data.tables.csv_rows import END, LONGEST, open_quote, parse, read
from custom_bert.errors import DataError
from custom_bert.phrases import counted

SAMPLED_LINES = 1000
"""The number of lines of which the separator and the header are found."""


class CsvTable:
    """A table of cells with a separator between them. See `Table`.

    Args:
        path: the file.
        encoding: its encoding; None for UTF-8.
        usual: the separator that the ending of the name promises. It is taken where others would do, too.

    Attributes:
        separator: the separator that was found.
        header: the names of the columns as they are stored, with spaces around them.

    Raises:
        DataError: if the file cannot be read as text, or has no header.
    """

    def __init__(self, path: Path, encoding: str | None, usual: str = ",") -> None:
        self.path, self.lines, self._content = path, RowLines(), Content(path, encoding)
        self.encoding = self._content.encoding
        first = [f"{line}\n" for line in next(self._content.lines(SAMPLED_LINES), [])]
        self.separator = separator_of(first, usual)
        rows, _, fault = read(first, self.separator, most=SAMPLED_ROWS)
        rows = [row for row in rows if row]
        if not rows and fault:
            raise self._unreadable(fault, first, 0, 1)
        if not rows:
            raise DataError(str(path), "the table is empty; expected a header and rows")
        self.header = tuple(rows[0])
        self.names = tuple(name.strip() for name in rows[0])
        self.header_doubt = header_doubt(rows)

    @property
    def sha256(self) -> str:
        """The hash of the unpacked content, after `batches` has ended."""
        return self._content.sha256

    def expected_rows(self) -> int:
        """Returns about how many rows the file has. A row may have several lines."""
        rows, lines = self.lines.last
        return round(self._content.expected_lines() * rows / lines) if lines else 0

    def batches(self, columns: tuple[int, ...], *, whole: bool = False) -> Iterator[Batch]:
        """Yields all rows but the header. Blank lines are left out. See `Table.batches`."""
        start, wanted = 0, {len(self.names)}
        for rows, lines_N in self._rows():
            self.lines.add(start, lines_N)
            if set(map(len, rows)) != wanted:
                raise self._ragged(rows, lines_N, start)
            yield Batch(rows, tuple([row[i] for row in rows] for i in columns))
            start += len(rows)
        if not start:
            raise DataError(str(self.path), "the table has a header and no rows")

    def _rows(self) -> Iterator[tuple[list[list[str]], np.ndarray]]:
        """Yields rows that are not blank, without the header, and (N,) the line on which each begins."""
        line, rest, lines, header, done = 1, list[str](), list[str](), True, 0
        for new in itertools.chain(self._content.lines(batches.ROWS), [[]]):
            lines += new
            if new and len(lines) < 2 * len(rest):
                continue  # a row of very many lines is parsed again only when there are twice as many
            parsed = parse(lines, self.separator)
            rows, rest, lines_N = parsed.rows, parsed.rest, line + parsed.starts_N
            line += len(lines) - len(rest)
            lines = list(rest)
            if not all(rows):
                filled = [i for i, row in enumerate(rows) if row]
                rows, lines_N = [rows[i] for i in filled], lines_N[filled]
            if header and rows:
                header, rows, lines_N = False, rows[1:], lines_N[1:]
            if rows:
                done += len(rows)
                yield rows, lines_N
            if parsed.fault or sum(map(len, rest)) > LONGEST:
                raise self._unreadable(parsed.fault or END, rest, done, line)
        if rest:
            raise self._unreadable(END, rest, done, line)

    def _ragged(self, rows: list[list[str]], lines_N: np.ndarray, start: int) -> DataError:
        """Returns the error for the first row that has more or fewer cells than the header."""
        at = next(i for i, row in enumerate(rows) if len(row) != len(self.names))
        has, wanted = counted(len(rows[at]), "cell"), counted(len(self.names), "column")
        more = len(rows[at]) > len(self.names)
        way_out = (
            f"put a cell that holds {SEPARATORS[self.separator]} in double quotes" if more else "fill it up"
        )
        return DataError(
            place(self.path, int(lines_N[at]), start + at), f"{has}, and the header has {wanted}; {way_out}"
        )

    def _unreadable(self, fault: str, lines: list[str], row: int, line: int) -> DataError:
        """Returns the error for a row that cannot be parsed.

        Args:
            fault: what the parser says.
            lines: the lines from the beginning of the row on.
            row: the index of the row.
            line: the line on which it begins.
        """
        if "new-line character" in fault:
            reason = "lines end with CR alone, or a CR stands in a cell without quotes"
        elif fault == END or "field limit" in fault:
            line += open_quote(lines)
            reason = "a quote begins here and never ends; double a quote that belongs to the text"
        else:
            reason = (
                "a quote ends before its cell does; double a quote that belongs to the text, and write "
                f"nothing between a quote and {SEPARATORS[self.separator]}"
            )
        return DataError(place(self.path, line, row), reason)
