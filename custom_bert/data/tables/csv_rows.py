"""Lines of CSV become rows of cells.

Python's `csv` module parses them, strictly: a cell with a separator, a quote or a line break stands in double
quotes, and a quote inside such a cell is doubled. Lines without a quote are split at their separators, which
gives the same cells, many times faster.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

LONGEST = 1 << 26
"""The largest number of characters of a cell. Without a limit, a quote that never ends would fill the
memory."""

END = "unexpected end of data"
"""What Python's parser says where a text ends inside of quotes."""


@dataclass(frozen=True)
class Parsed:
    """What became of some lines.

    Attributes:
        rows: the rows that end in these lines; the row of a blank line has no cell.
        starts_N: (N,) int64 the index of the line on which each row begins.
        rest: the lines after the rows: those of a row that does not end here, or is wrong.
        fault: what the parser says of the first line of `rest`; "" if nothing is wrong so far.
    """

    rows: list[list[str]]
    starts_N: np.ndarray
    rest: list[str]
    fault: str = ""


def parse(lines: list[str], separator: str) -> Parsed:
    r"""Returns the rows of some lines, of which the first is the beginning of a row.

    Args:
        lines: lines without the `\n` at their ends.
        separator: the character between two cells.
    """
    quoted = [i for i, line in enumerate(lines) if '"' in line]
    if 2 * len(quoted) > len(lines):  # most lines have to be parsed anyway
        return _by_reader(lines, separator)
    plain = lines
    if any("\r" in line for line in lines):
        plain = [line[:-1] if line.endswith("\r") else line for line in lines]
        if any("\r" in line and '"' not in line for line in plain):
            return _by_reader(lines, separator)
    rows = [line.split(separator) if line else [] for line in plain]
    if quoted:
        # if each of these lines is a whole row, no row goes beyond a line, and the others are rows, too
        found, _, fault = read([lines[i] for i in quoted], separator)
        if fault or len(found) != len(quoted):
            return _by_reader(lines, separator)
        for i, row in zip(quoted, found, strict=True):
            rows[i] = row
    return Parsed(rows, np.arange(len(rows)), [])


def read(
    lines: Iterable[str], separator: str, *, strict: bool = True, most: int | None = None
) -> tuple[list[list[str]], list[int], str]:
    """Returns the rows that Python's parser makes of lines, the number of lines read after each row, and what
    the parser says if it cannot read on, or "".

    Args:
        lines: the lines.
        separator: the character between two cells.
        strict: whether a quote that ends before its cell does is a fault.
        most: the number of rows after which it stops; None for all.
    """
    rows: list[list[str]] = []
    ends: list[int] = []
    reader = csv.reader(lines, delimiter=separator, strict=strict)
    with _long_cells():
        try:
            for row in itertools.islice(reader, most):
                rows.append(row)
                ends.append(reader.line_num)
        except csv.Error as error:
            return rows, ends, str(error)
    return rows, ends, ""


def open_quote(lines: Sequence[str]) -> int:
    """Returns the index of the line on which a quote begins that does not end in these lines."""
    is_open, begun = False, 0
    for i, line in enumerate(lines):
        count = line.replace('""', "").count('"')
        if count % 2:
            is_open = not is_open
        if count and is_open:
            begun = i  # the last quote of this line begins a cell
    return begun


def _by_reader(lines: list[str], separator: str) -> Parsed:
    """Returns what Python's parser makes of all lines."""
    rows, ends, fault = read([f"{line}\n" for line in lines], separator)
    starts_N = np.array([0, *ends[:-1]] if ends else [], dtype=np.int64)
    return Parsed(rows, starts_N, lines[ends[-1] if ends else 0 :], "" if fault == END else fault)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Allows cells of up to `LONGEST` characters within the block; the limit belongs to the whole process."""
    limit = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
