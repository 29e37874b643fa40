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
from custom_bert.errors import DataError, shown

MOST_NAMES = 10
"""The number of columns that a message lists."""

LONGEST_NAME = 60
"""A longer cell of a header is hardly the name of a column."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that are read.

    Attributes:
        path: the table.
        text: the column with the texts.
        label: the column with the labels; None where only texts are read.
        split: the column that says on which side a row stands; None for none.
        group: the column with the groups of rows; None for none.
        encoding: the encoding of the file; "" for Parquet.
        guessed: which of `text` and `label` were guessed.
        notes: what else a user should know of how the table is read.
    """

    path: Path
    text: str
    label: str | None = None
    split: str | None = None
    group: str | None = None
    encoding: str = ""
    guessed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, str | None]:
        """Returns the columns for run.json, from which `predict` and `evaluate` take them."""
        names = {"text": self.text, "label": self.label, "split": self.split, "group": self.group}
        return {**names, "encoding": self.encoding}

    def said(self) -> list[str]:
        """Returns a line about what was guessed, if something was, and the notes."""
        if not self.guessed:
            return list(self.notes)
        guesses = {"text": f"texts from column {self.text!r}", "label": f"labels from column {self.label!r}"}
        options = " and ".join(f"--{what}-column" for what in self.guessed)
        what = " and ".join(guesses[what] for what in self.guessed)
        return [f"{self.path}: {what}, by the names of the columns; others by {options}", *self.notes]


def named(path: Path, names: Sequence[str], wanted: str, option: str) -> str:
    """Returns the name of a column that the user wants, if the table has it once.

    Args:
        path: the table.
        names: its columns.
        wanted: the name of the column.
        option: the option that names the column, for messages.

    Raises:
        DataError: if there is no such column, or several.
    """
    if wanted not in names:
        raise DataError(str(path), f"no column {wanted!r}; it has {listed(names, wanted)}; give {option}")
    if list(names).count(wanted) > 1:
        places = [str(i) for i, name in enumerate(names, 1) if name == wanted]
        raise DataError(str(path), f"columns {' and '.join(places)} are both named {wanted!r}; rename one")
    return wanted


def guessed(
    path: Path, names: Sequence[str], taken: Collection[str], usual: Collection[str], others: Collection[str]
) -> str | None:
    """Returns the one column that can be meant; None if there is none, or more than one.

    Args:
        path: the table.
        names: its columns.
        taken: the columns that are known to hold something else.
        usual: the usual names of the column, in their plain form.
        others: the usual names of its counterpart; in a table of two columns, the one beside a column with
            such a name is meant.

    Raises:
        DataError: if the column that is meant stands there twice.
    """
    free = [name for name in names if name not in taken]
    fitting = [name for name in free if _plain(name) in usual]
    if len(set(fitting)) == 1:
        return named(path, names, fitting[0], "it another name")
    if fitting:
        return None
    known = [name for name in names if name in taken or _plain(name) in others]
    if len(names) == 2 and len(known) == 1:
        return next(name for name in names if name != known[0])
    return free[0] if len(names) == 1 and len(free) == 1 else None


def text_and_label(
    path: Path, names: Sequence[str], text: str | None, label: str | None, taken: Collection[str]
) -> tuple[str, str, tuple[str, ...]]:
    """Returns the columns of texts and labels, and which of the two were guessed.

    Args:
        path: the table.
        names: its columns.
        text, label: the columns that the user names; None for those that are to be guessed.
        taken: columns that hold something else, such as splits.

    Raises:
        DataError: if a column is missing, or cannot be guessed.
    """
    guesses = tuple(what for what, name in (("text", text), ("label", label)) if name is None)
    if text is not None:
        named(path, names, text, "--text-column")
    if label is not None:
        named(path, names, label, "--label-column")
    by_name = guessed(path, names, {*taken, *([label] if label else [])}, TEXT_COLUMNS, LABEL_COLUMNS)
    text = text or by_name or _missing(path, names, taken, "texts", TEXT_COLUMNS, "--text-column")
    by_name = guessed(path, names, {*taken, text}, LABEL_COLUMNS, TEXT_COLUMNS)
    label = (
        label or by_name or _missing(path, names, {*taken, text}, "labels", LABEL_COLUMNS, "--label-column")
    )
    if text == label:
        raise DataError(str(path), f"column {text!r} is to hold both the texts and the labels; name two")
    return text, label, guesses


def text_alone(path: Path, names: Sequence[str], text: str | None) -> tuple[str, bool]:
    """Returns the column of the texts where no labels are read, and whether it was guessed.

    Raises:
        DataError: if the column is missing, or cannot be guessed.
    """
    if text is not None:
        return named(path, names, text, "--text-column"), False
    found = guessed(path, names, (), TEXT_COLUMNS, LABEL_COLUMNS)
    return found or _missing(path, names, (), "texts", TEXT_COLUMNS, "--text-column"), True


def _missing(
    path: Path, names: Sequence[str], taken: Collection[str], what: str, usual: Collection[str], option: str
) -> str:
    """Raises DataError for a column that cannot be guessed."""
    if looks_like_data(names):
        raise DataError(
            str(path),
            f"the first row looks like data, {shown(names[0])} and so on; write a row with the names of the "
            f"columns above it, such as text and label",
        )
    free = [name for name in names if name not in taken]
    first = sorted(free, key=lambda name: _plain(name) not in usual)
    raise DataError(str(path), f"which column holds the {what}? It has {_list(first)}; give {option}")


def looks_like_data(names: Sequence[str]) -> bool:
    """Returns whether the first row of a table can hardly be a header: it has a number, a long cell, or cells
    that are blank but for the first, which an index may have."""
    return any(
        len(name) > LONGEST_NAME or "\n" in name or _is_number(name) or (not name and i)
        for i, name in enumerate(names)
    )


def listed(names: Sequence[str], wanted: str) -> str:
    """Returns the names of columns, those nearest to `wanted` first."""

    def likeness(name: str) -> float:
        return difflib.SequenceMatcher(None, name.casefold(), wanted.casefold()).ratio()

    return _list(sorted(names, key=likeness, reverse=True))


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (", ".join(map(shown, names[:MOST_NAMES])) or "no other column") + more


def _plain(name: str) -> str:
    return re.sub(r"[\s.-]+", "_", name.strip().casefold())


def _is_number(name: str) -> bool:
    try:
        float(name.replace(",", "."))
    except ValueError:
        return False
    return True


def free_names(wanted: Sequence[str], names: Collection[str]) -> list[str]:
    """Returns names for new columns, with a number after those that a table has already."""
    found: list[str] = []
    for name in wanted:
        free = (f"{name}{end}" for end in ("", *(f"_{number}" for number in range(2, len(names) + 3))))
        found.append(next(one for one in free if one not in names))
    return found
