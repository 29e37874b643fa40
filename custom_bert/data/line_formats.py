"""Which format a line looks like: JSON, CSV, fastText, rows of zeros and ones, several labels."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence

from custom_bert.data.labels import as_number

FEWEST = 3
"""A format is only suspected if at least this many lines have it."""

FASTTEXT = "__label__"
"""The beginning of a label in fastText's format, which has the label on the line of its text."""

SEPARATORS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a vertical bar"}
"""Separators of columns or of labels, with their names for messages."""


def is_structured(line: str) -> bool:
    """Returns whether a line is an object or a list in JSON, or as Python's print writes it."""
    line = line.strip().removesuffix(",")  # an item of a list that is written over several lines
    if line[:1] + line[-1:] not in ("{}", "[]"):
        return len(line) > 2 and line[0] == line[-1] == '"' and "\\" in line and _is_json(line)
    if line[1:2] == "'":
        return line[0] == "{" or line[-2] == "'"
    return _is_json(line)


def is_fasttext(line: str) -> bool:
    """Returns whether a line begins with a label, as in fastText's format."""
    return line.startswith(FASTTEXT)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def has_label(line: str, *, separator: str, last: bool, known: Collection[str]) -> bool:
    """Returns whether the last column of a line (or the first) is one of the labels."""
    before, at_separator, after = line.rpartition(separator) if last else line.partition(separator)
    return bool(at_separator) and column_text(after if last else before) in known


def column_text(field: str) -> str:
    """Returns a column without the spaces and quotes around it."""
    return field.strip().strip('"')


def is_quoted(line: str) -> bool:
    """Returns whether a line is one field of CSV in double quotes."""
    inside = line[1:-1]
    return len(line) > 2 and line[0] == line[-1] == '"' and '"' not in inside.replace('""', "")


def are_indicators(labels: Sequence[str]) -> bool:
    """Returns whether all labels are rows of zeros and ones of the same length."""
    lengths = set()
    for label in labels:
        row = re.split(r"[\s,;]+", label.strip(" []()"))
        if len(row) < 2 or not set(row) <= {"0", "1", "0.0", "1.0"}:
            return False
        lengths.add(len(row))
    return len(lengths) == 1


def has_one_tab(line: str) -> bool:
    """Returns whether a line is two texts with one tab between them."""
    first, _, second = line.partition("\t")
    return bool(first.strip() and second.strip()) and "\t" not in second


def has_fraction(label: str) -> bool:
    """Returns whether a label is a number that is not whole."""
    return bool((as_number(label) or 0) % 1)


def ends_with_separator(label: str) -> bool:
    """Returns whether a label ends with a separator, as one that was cut from a table may."""
    return label.endswith((",", ";", "|"))


def common_separator(counts: Sequence[tuple[str, int]]) -> str:
    """Returns the separator by which most lines divide into a few parts that recur; "" if there is none.

    Two conditions keep names with a comma, and pairs of two properties, from being taken for several labels:
    parts recur in different lines, and lines have different numbers of parts.

    Args:
        counts: the different lines, each with its number of occurrences.
    """
    for separator in SEPARATORS:
        rows = [([part.strip() for part in label.split(separator)], count) for label, count in counts]
        if sum(len(parts) > 1 for parts, _ in rows) < FEWEST:
            continue
        uses = Counter(part for parts, _ in rows for part in parts)
        recurring = {part for part, labels in uses.items() if labels > 1}
        combined = [(parts, count) for parts, count in rows if recurring.issuperset(parts)]
        joint = sum(len(parts) > 1 for parts, _ in combined)
        most = 2 * sum(count for _, count in combined) > sum(count for _, count in rows)
        differ = len({len(parts) for parts, _ in rows}) > 1
        if most and joint >= FEWEST and len(recurring) < len(rows) and differ:
            return separator
    return ""
