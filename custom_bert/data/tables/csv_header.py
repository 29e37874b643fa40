"""The separator of a CSV file and its header, found from its beginning."""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.data.tables.csv_rows import read
from custom_bert.errors import shown

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
"""The separators that are looked for, and what messages call them."""

SAMPLED_ROWS = 100
"""The separator is found on this many rows."""

LONGEST_NAME = 60
"""A longer cell of a header is hardly the name of a column."""


def separator_of(lines: Sequence[str], usual: str) -> str:
    """Returns the separator with which the header and the first rows have equally many cells, at least two.

    Of several such separators the usual one is taken, or else the one that makes most columns. If there is
    none, it is the one that makes most columns of the header; then a row is wrong, and reading says which.

    Args:
        lines: the first lines of the file, with their ends. The last row may not be whole.
        usual: the separator that is taken where the rows do not say.
    """
    even: dict[str, int] = {}
    header: dict[str, int] = {}
    for separator in sorted(SEPARATORS, key=lambda one: one != usual):
        rows, _, _ = read(lines, separator, strict=False, most=SAMPLED_ROWS)
        rows = [row for row in (rows[:-1] if 1 < len(rows) < SAMPLED_ROWS else rows) if row]
        if rows and len(rows[0]) > 1:
            header[separator] = len(rows[0])
            if all(len(row) == len(rows[0]) for row in rows):
                even[separator] = len(rows[0])
    found = even or header
    if not found or usual in even:
        return usual
    return max(found, key=found.__getitem__)


def header_doubt(rows: Sequence[Sequence[str]]) -> str:
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
