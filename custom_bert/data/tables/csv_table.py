r"""The rows of a CSV file, or of one with other separators.

Python's `csv` module parses them, strictly: a cell with a separator, a quote or a line break stands in double
quotes, and a quote inside such a cell is doubled. The separator is found from the header and the first rows.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert.data.tables import batches
from custom_bert.data.tables.batches import Batch, RowLines, place
from custom_bert.data.tables.content import Content
from custom_bert.errors import DataError, shown
from custom_bert.phrases import counted

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
"""The separators that are looked for, and what messages call them."""

SAMPLE, SAMPLED_ROWS = 1 << 16, 100
"""The separator is found on this many characters at the beginning, or this many rows."""

LONGEST = 1 << 26
"""The largest number of characters of a cell. Without a limit, a quote that never ends would fill the
memory."""

LONGEST_NAME = 60
"""A longer cell of a header is hardly the name of a column."""

NEVER_ENDS = "a quote begins here and never ends; double a quote that belongs to the text"


class CsvTable:
    """A table of cells with a separator between them, whose first row names the columns. See `Table`.

    Args:
        path: the file.
        encoding: its encoding; None for UTF-8.
        usual: the separator that the ending of the name promises. It is taken where others would do, too.

    Attributes:
        separator: the separator that was found.
        header: the names of the columns as they are stored, with spaces around them.

    Raises:
        DataError: if the file cannot be read as text, or has no rows.
    """

    def __init__(self, path: Path, encoding: str | None, usual: str = ",") -> None:
        self.path, self.lines, self._content = path, RowLines(), Content(path, encoding)
        self.encoding = self._content.encoding
        sample = next(self._content.chunks(), "")
        self.separator = _separator(sample, usual)
        rows, fault = _first_rows(sample[:SAMPLE], self.separator, strict=True)
        first = [row for row in rows if row]
        if not first and fault is not None:
            raise self._unreadable(fault, 0, 1)
        if not first:
            raise DataError(str(path), "the table is empty; expected a header and rows")
        self.header = tuple(first[0])
        self.names = tuple(name.strip() for name in first[0])
        self.header_doubt = _header_doubt(first)

    @property
    def sha256(self) -> str:
        """The hash of the unpacked content, after `batches` has ended."""
        return self._content.sha256

    def batches(self, columns: tuple[int, ...], *, whole: bool = False) -> Iterator[Batch]:
        """Yields all rows but the header. Blank lines are left out. See `Table.batches`."""
        start = 0
        for rows, lines_N in self._rows():
            self.lines.add(start, lines_N)
            if set(map(len, rows)) != {len(self.names)}:
                raise self._ragged(rows, lines_N, start)
            yield Batch(rows, tuple([row[i] for row in rows] for i in columns))
            start += len(rows)
        if not start:
            raise DataError(str(self.path), "the table has a header and no rows")

    def _rows(self) -> Iterator[tuple[list[list[str]], np.ndarray]]:
        """Yields rows that are not blank, and (N,) the line on which each begins."""
        reader, headers, done = _parsed(self._content.chunks(), self.separator), 1, 0
        fault: csv.Error | None = None
        while fault is None:
            rows: list[list[str]] = []
            line = reader.line_num + 1
            with _long_cells():
                try:
                    rows.extend(itertools.islice(reader, batches.ROWS))  # keeps the rows before a fault
                except csv.Error as error:
                    fault = error
            if not rows and fault is None:
                return
            lines_N = _lines(rows, line, reader.line_num if fault is None else None)
            after = line if not rows else int(lines_N[-1]) + 1 + _breaks(rows[-1])
            filled = [i for i, row in enumerate(rows) if row]
            if len(filled) < len(rows):
                rows, lines_N = [rows[i] for i in filled], lines_N[filled]
            if headers and rows:
                headers, rows, lines_N = 0, rows[1:], lines_N[1:]
            if rows:
                done += len(rows)
                yield rows, lines_N
        raise self._unreadable(fault, done, after)

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

    def _unreadable(self, error: csv.Error, row: int, line: int) -> DataError:
        """Returns the error for a row that cannot be parsed.

        Args:
            error: what the parser says.
            row: the index of the row.
            line: the line on which it begins.
        """
        message = str(error)
        if "new-line character" in message:
            return DataError(
                place(self.path, line, row),
                "lines end with CR alone, or a CR stands in a cell without quotes",
            )
        if "end of data" in message or "field limit" in message:
            line = _open_quote(self._content.chunks(), line)
            return DataError(place(self.path, line, row), NEVER_ENDS)
        return DataError(
            place(self.path, line, row),
            f"a quote ends before its cell does; double a quote that belongs to the text, and write nothing "
            f"between a quote and {SEPARATORS[self.separator]}",
        )


def _as_lines(text: str) -> Iterable[str]:
    r"""Returns the lines of a text, which end at `\n` only."""
    return io.StringIO(text, newline="\n")


def _parsed(chunks: Iterator[str], separator: str) -> Any:
    """Returns Python's reader of rows."""
    lines = itertools.chain.from_iterable(map(_as_lines, chunks))
    return csv.reader(lines, delimiter=separator, strict=True)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Allows cells of up to `LONGEST` characters within the block; the limit belongs to the whole process."""
    limit = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _breaks(row: list[str]) -> int:
    """Returns the number of line breaks within the cells of a row."""
    return sum(cell.count("\n") for cell in row)


def _lines(rows: list[list[str]], first: int, last: int | None) -> np.ndarray:
    """Returns (N,) the line on which each row begins.

    Args:
        rows: consecutive rows.
        first: the line on which the first row begins.
        last: the line on which the last row ends; None if that is not known.
    """
    if last is not None and last - first + 1 == len(rows):
        return np.arange(first, last + 1)
    heights = np.fromiter((1 + _breaks(row) for row in rows), dtype=np.int64, count=len(rows))
    return first + np.cumsum(heights) - heights


def _open_quote(chunks: Iterator[str], first: int) -> int:
    """Returns the line on which a quote begins that never ends.

    Args:
        chunks: the text of the file.
        first: the line on which the row with the quote begins.
    """
    lines = itertools.chain.from_iterable(map(_as_lines, chunks))
    is_open, begun = False, first
    for number, line in enumerate(itertools.islice(lines, first - 1, None), first):
        if line.replace('""', "").count('"') % 2:
            is_open = not is_open
            begun = number if is_open else begun
        elif is_open and '"' in line.replace('""', ""):
            begun = number  # one quote ends on this line, and another one begins
    return begun


def _separator(sample: str, usual: str) -> str:
    """Returns the separator with which the header and the first rows have equally many cells, at least two.

    Of several such separators the usual one is taken, or else the one that makes most columns. If there is
    none, it is the one that makes most columns of the header; then a row is wrong, and reading says which.

    Args:
        sample: the beginning of the file.
        usual: the separator that is taken where the rows do not say.
    """
    whole = sample[:SAMPLE]
    cut = len(whole) < len(sample)
    even: dict[str, int] = {}
    header: dict[str, int] = {}
    for separator in sorted(SEPARATORS, key=lambda one: one != usual):
        rows, _ = _first_rows(whole, separator)
        rows = [row for row in (rows[:-1] if cut and len(rows) > 1 else rows) if row]
        if rows and len(rows[0]) > 1:
            header[separator] = len(rows[0])
            if all(len(row) == len(rows[0]) for row in rows):
                even[separator] = len(rows[0])
    found = even or header
    if not found or usual in even:
        return usual
    return max(found, key=found.__getitem__)


def _first_rows(
    sample: str, separator: str, *, strict: bool = False
) -> tuple[list[list[str]], csv.Error | None]:
    """Returns the first rows of a text, and what the parser says if it cannot read on."""
    rows: list[list[str]] = []
    reader = csv.reader(_as_lines(sample), delimiter=separator, strict=strict)
    with _long_cells():
        try:
            rows.extend(itertools.islice(reader, SAMPLED_ROWS))
        except csv.Error as error:
            return rows, error
    return rows, None


def _header_doubt(rows: list[list[str]]) -> str:
    """Returns why the first row of a table can hardly be a header; "" if it looks like one.

    It is data if a cell is a number, is long, or stands in its column again.

    Args:
        rows: the first rows that are not blank, with the header.
    """
    for i, name in enumerate(rows[0]):
        if _is_number(name):
            return f"{shown(name)} is a number"
        if len(name) > LONGEST_NAME:
            return f"{shown(name)} is long for a name"
        again = next((number for number, row in enumerate(rows) if number and row[i : i + 1] == [name]), 0)
        if name.strip() and again:
            return f"{shown(name)} stands in row {again}, too"
    return ""


def _is_number(name: str) -> bool:
    try:
        float(name.replace(",", "."))
    except ValueError:
        return False
    return True
