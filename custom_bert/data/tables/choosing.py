"""Which columns of a table hold the texts, the labels, the splits and the groups.

A column is guessed only where exactly one guess is possible: a single column has a usual name, or the table
has two columns and one of them has. Otherwise an error lists the columns.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from custom_bert.data.columns import LABEL_COLUMNS, TEXT_COLUMNS
from custom_bert.data.tables.batches import Table
from custom_bert.errors import DataError, shown

MOST_NAMES = 10
"""The number of columns that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        path: the table.
        text: the column with the texts.
        second_text: the column with the second texts of pairs; None for single texts.
        label: the column with the labels; None where only texts are read.
        split: the column that says on which side a row stands; None for none.
        group: the column with the groups of rows; None for none.
        encoding: the encoding of the file; "" for Parquet.
        guessed: which of `text` and `label` were guessed.
    """

    path: Path
    text: str
    second_text: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    encoding: str = ""
    guessed: tuple[str, ...] = ()

    def record(self) -> dict[str, str | None]:
        """Returns the columns for run.json, from which `predict` and `evaluate` take them."""
        names = {"text": self.text, "label": self.label, "split": self.split, "group": self.group}
        second = {} if self.second_text is None else {"second_text": self.second_text}
        return {**names, **second, "encoding": self.encoding}

    def said(self) -> list[str]:
        """Returns a line about what was guessed, if something was."""
        if not self.guessed:
            return []
        guesses = {"text": f"texts from column {self.text!r}", "label": f"labels from column {self.label!r}"}
        options = " and ".join(f"--{what}-column" for what in self.guessed)
        what = " and ".join(guesses[what] for what in self.guessed)
        return [f"{self.path}: {what}, by the names of the columns; others by {options}"]


def named(table: Table, wanted: str, way_out: str) -> str:
    """Returns the name of a column that the user wants, if the table has it once.

    Args:
        table: the table.
        wanted: the name of the column.
        way_out: what to do if there is no such column, for the message.

    Raises:
        DataError: if there is no such column, or several.
    """
    if wanted not in table.names:
        has = listed(table.names, wanted)
        raise DataError(str(table.path), f"no column {wanted!r}; the table has {has}; {way_out}")
    if table.names.count(wanted) > 1:
        places = [str(i) for i, name in enumerate(table.names, 1) if name == wanted]
        raise DataError(str(table.path), f"columns {' and '.join(places)} are named {wanted!r}; rename one")
    return wanted


def text_and_label(
    table: Table, text: str | None, label: str | None, taken: Collection[str]
) -> tuple[str, str, tuple[str, ...]]:
    """Returns the columns of texts and labels, and which of the two were guessed.

    Args:
        table: the table.
        text, label: the columns that the user names; None for those that are to be guessed.
        taken: columns that hold something else, such as splits.

    Raises:
        DataError: if a column is missing, or cannot be guessed.
    """
    guesses = tuple(what for what, name in (("text", text), ("label", label)) if name is None)
    for what, name in (("text", text), ("label", label)):
        if name is not None:
            named(table, name, f"give --{what}-column")
    if text is None:
        others = {*taken, *([label] if label else [])}
        text = _guessed(table, others, TEXT_COLUMNS, LABEL_COLUMNS)
        text = text or _missing(table, others, "texts", TEXT_COLUMNS, "--text-column")
    if label is None:
        others = {*taken, text}
        label = _guessed(table, others, LABEL_COLUMNS, TEXT_COLUMNS)
        label = label or _missing(table, others, "labels", LABEL_COLUMNS, "--label-column")
    return text, label, guesses


def text_alone(table: Table, text: str | None, taken: Collection[str] = ()) -> tuple[str, bool]:
    """Returns the column of the texts where no labels are read, and whether it was guessed.

    Args:
        table: the table.
        text: the column that the user names; None if it is to be guessed.
        taken: columns that hold something else, such as second texts.

    Raises:
        DataError: if the column is missing, or cannot be guessed.
    """
    if text is not None:
        return named(table, text, "give --text-column"), False
    alone = len(table.names) == 1
    found = table.names[0] if alone else _guessed(table, taken, TEXT_COLUMNS, LABEL_COLUMNS)
    return found or _missing(table, taken, "texts", TEXT_COLUMNS, "--text-column"), True


def _guessed(
    table: Table, taken: Collection[str], usual: Collection[str], others: Collection[str]
) -> str | None:
    """Returns the one column that can be meant; None if there is none, or more than one.

    Args:
        table: the table.
        taken: the columns that are known to hold something else.
        usual: the usual names of the column, in their plain form.
        others: the usual names of its counterpart; in a table of two columns, the one beside a column with
            such a name is meant.

    Raises:
        DataError: if the column that is meant stands there twice.
    """
    fitting = [name for name in table.names if name not in taken and _plain(name) in usual]
    if len(set(fitting)) == 1:
        return named(table, fitting[0], "")
    known = [name for name in table.names if name in taken or _plain(name) in others]
    if not fitting and len(table.names) == 2 and len(known) == 1:
        return next(name for name in table.names if name != known[0])
    return None


def _missing(table: Table, taken: Collection[str], what: str, usual: Collection[str], option: str) -> str:
    """Raises DataError for a column that cannot be guessed."""
    if doubt := table.header_doubt:
        raise DataError(
            str(table.path),
            f"the first row looks like data, since {doubt}; write a row with the names of the columns above "
            f"it, such as text and label",
        )
    free = [name for name in table.names if name not in taken]
    first = sorted(free, key=lambda name: _plain(name) not in usual)
    has = f"The table has {_list(first)}; give {option}" if first else "The table has no other column"
    raise DataError(str(table.path), f"which column holds the {what}? {has}")


def listed(names: Sequence[str], wanted: str) -> str:
    """Returns the names of columns, those nearest to `wanted` first."""

    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, name.casefold(), wanted.casefold()).ratio()

    return _list(sorted(names, key=likeness, reverse=True))


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(shown, names[:MOST_NAMES])) + more


def _plain(name: str) -> str:
    return re.sub(r"[\s.-]+", "_", name.strip().casefold())


def free_names(wanted: Sequence[str], names: Collection[str]) -> list[str]:
    """Returns names for new columns, with a number after those that a table has already."""
    found: list[str] = []
    for name in wanted:
        ends = ("", *(f"_{number}" for number in range(2, len(names) + 3)))
        found.append(next(f"{name}{end}" for end in ends if f"{name}{end}" not in names))
    return found
