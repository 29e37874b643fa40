"""The training, validation and test data that the settings name, as columns of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from custom_bert.config import DataConfig
from custom_bert.data.lines import Lines
from custom_bert.data.tables.batches import Table, place
from custom_bert.data.tables.cells import Cells
from custom_bert.data.tables.choosing import Columns, named, text_and_label
from custom_bert.data.tables.column import ColumnLines, SplitRows
from custom_bert.data.tables.formats import ending, open_table
from custom_bert.data.text_pairs import JoinedLines
from custom_bert.errors import DataError, shown

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The values of a column of splits, in any case, and the split that each means."""

Pair = tuple[Lines, Lines]
"""Texts and labels."""


@dataclass(frozen=True, kw_only=True)
class TableLines:
    """The data of tables. For the fields see `data.reading.LabelledLines`."""

    train: Pair
    val: Pair | None
    test: Pair | None
    groups: Lines | None
    val_groups: Lines | None
    columns: Columns


class NoTrainingRowsError(DataError):
    """A table has a column of splits, and none of its rows is for training."""


def open_tables(data: DataConfig) -> TableLines:
    """Opens the tables that the settings name.

    Args:
        data: the section of the configuration with the paths and the columns.

    Raises:
        DataError: if a table cannot be read, or a column is missing or cannot be guessed.
    """
    assert data.table is not None
    table = open_table(data.table, data.encoding)
    columns = choose(table, data)
    splits: dict[str, SplitRows | None] = {"train": None}
    if columns.split is not None:
        found = _splits(table, columns.split)
        splits = {name: SplitRows(columns.split, name, rows_N) for name, rows_N in found}
        if "train" not in splits:
            raise NoTrainingRowsError(f"{table.path}, column {columns.split!r}", "no row is for training")
    val, test = (
        _pair(table, columns, data, splits[name]) if name in splits else _other(path, columns, data)
        for name, path in (("val", data.val_table), ("test", data.test_table))
    )
    groups: Lines | None = None
    val_groups: Lines | None = None
    if columns.group is not None:
        groups = ColumnLines(table, columns.group, "group", split=splits["train"])
        if "val" in splits:
            val_groups = ColumnLines(table, columns.group, "group", split=splits["val"])
        elif data.val_table is not None:
            val_groups = _groups_of(_open_other(data.val_table, data), columns.group)
    return TableLines(
        train=_pair(table, columns, data, splits["train"]),
        val=val,
        test=test,
        groups=groups,
        val_groups=val_groups,
        columns=columns,
    )


def choose(table: Table, data: DataConfig) -> Columns:
    """Returns the columns of the training table: those that the settings name, and guesses for others.

    Raises:
        DataError: if a column is missing, or cannot be guessed.
    """
    split, group, second = data.split_column, data.group_column, data.second_text_column
    options = ((split, "--split-column"), (group, "--group-column"), (second, "--second-text-column"))
    for name, option in options:
        if name is not None:
            named(table, name, f"give {option}")
    taken = [name for name, _ in options if name is not None]
    text, label, guesses = text_and_label(table, data.text_column, data.label_column, taken)
    return Columns(
        path=table.path,
        text=text,
        second_text=second,
        label=label,
        split=split,
        group=group,
        encoding=table.encoding,
        guessed=guesses,
    )


def remembered(data: DataConfig, record: Mapping[str, Any]) -> DataConfig:
    """Returns the settings with the columns that a run was trained on, where they leave them open.

    Args:
        data: the section of the configuration, with a table.
        record: the content of run.json; `Columns.record` wrote a part of it. A column that the table lacks is
            left open, and so is every column if the run was not trained on a table.
    """
    assert data.table is not None
    names = open_table(data.table, data.encoding).names
    settings, read = record.get("config"), record.get("data")
    columns = read.get("columns") if isinstance(read, dict) else None
    changes = {
        f"{what}_column": name
        for what in ("text", "second_text", "label", "split", "group")
        if isinstance(columns, dict)
        and getattr(data, f"{what}_column") is None
        and (name := columns.get(what)) in names
    }
    separator = settings.get("data.label_separator") if isinstance(settings, dict) else None
    if isinstance(separator, str) and separator:
        changes["label_separator"] = separator
    return replace(data, **changes)


def _other(path: str | None, columns: Columns, data: DataConfig) -> Pair | None:
    """Opens a table of validation or test data, which has the columns of the training table."""
    return None if path is None else _pair(_open_other(path, data), columns, data)


def _open_other(path: str, data: DataConfig) -> Table:
    return open_table(path, data.encoding if ending(path) != ".parquet" else None)


def _groups_of(table: Table, column: str) -> Lines | None:
    """Returns the groups of a table of validation data, which need not have any."""
    return ColumnLines(table, column, "group") if table.names.count(column) == 1 else None


def _pair(table: Table, columns: Columns, data: DataConfig, split: SplitRows | None = None) -> Pair:
    """Returns the texts and labels of a table, or of one split of it."""
    assert columns.label is not None
    for name in (columns.text, columns.label, columns.second_text):
        if name is not None:
            named(table, name, f"name it as in {columns.path}")
    texts: Lines = ColumnLines(table, columns.text, "text", split=split)
    if columns.second_text is not None:
        second = ColumnLines(table, columns.second_text, "text", split=split)
        texts = JoinedLines(texts, second, f"{texts.name} and column {columns.second_text!r}")
    return (
        texts,
        ColumnLines(table, columns.label, "label", separator=data.label_separator, split=split),
    )


def _splits(table: Table, column: str) -> list[tuple[str, np.ndarray]]:
    """Returns the splits that occur, train, val and test, with the indices of the rows of each.

    Raises:
        DataError: for the first row that belongs to none of them.
    """
    parts: dict[str, list[np.ndarray]] = {}
    start, cells = 0, Cells("split")

    def where(row: int) -> str:
        return place(table.path, table.lines.of(row), row, column)

    for batch in table.batches((table.names.index(column),)):
        values = cells.strings(batch.cells[0], range(start, start + len(batch.cells[0])), where)
        split_of = {value: SPLITS.get(value.strip().casefold(), "") for value in set(values)}
        if "" in split_of.values():
            at = next(i for i, value in enumerate(values) if not split_of[value])
            expected = "train, val, valid, validation, dev or test"
            raise DataError(where(start + at), f"expected {expected}, got {shown(values[at])}")
        splits = np.array([split_of[value] for value in values])
        for split in dict.fromkeys(split_of.values()):
            parts.setdefault(split, []).append(np.flatnonzero(splits == split) + start)
        start += len(values)
    return [(split, np.concatenate(some).astype(np.int64)) for split, some in parts.items()]
