"""Predicts for the texts of a table, and writes the table back with more columns, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.config import DataConfig
from custom_bert.data.tables.batches import Table
from custom_bert.data.tables.cells import Cells
from custom_bert.data.tables.choosing import Columns, free_names, named, text_alone
from custom_bert.data.tables.column import ColumnLines
from custom_bert.data.tables.formats import FORMATS, ending, open_table
from custom_bert.data.tables.opening import remembered
from custom_bert.data.tables.writing import check_free
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.errors import RunError, WriteError
from custom_bert.inference.classifier import Classifier, Text
from custom_bert.inference.pairs_of_run import check_columns


@dataclass(frozen=True, kw_only=True)
class TableTexts:
    """A table whose texts are to be labelled.

    Attributes:
        table: the table.
        text: the name of the column with the texts.
        second: the name of the column with the second texts of pairs; None for single texts.
        names: the names of the new columns.
        notes: what a user should know of the choice of columns, one line each.
    """

    table: Table
    text: str
    second: str | None
    names: tuple[str, ...]
    notes: tuple[str, ...]


def table_texts(run: str | Path, data: DataConfig, new: tuple[str, ...]) -> TableTexts:
    """Opens a table, and finds the column with the texts: the one that is given, or that the run was trained
    on, or the only one with a usual name.

    Args:
        run: the run directory.
        data: the settings of the table, its encoding and the column of the texts.
        new: the names of the columns that the model adds.

    Raises:
        DataError: if the table cannot be read, or the column is missing or cannot be guessed.
        RunError: if the run directory is missing or damaged.
    """
    assert data.table is not None
    table = open_table(data.table, data.encoding)
    try:
        record = files.read_run_json(Path(run), "run.json")
    except RunError:
        record = {}
    wanted = remembered(data, record if isinstance(record, dict) else {})
    second = wanted.second_text_column
    if second is not None:
        named(table, second, "give --second-text-column")
    text, by_name = text_alone(table, wanted.text_column, () if second is None else (second,))
    names = tuple(free_names(new, table.names))
    notes = Columns(path=table.path, text=text, guessed=("text",) if by_name else ()).said()
    if taken := [repr(name) for name in new if name in table.names]:
        called = f"the new columns are {' and '.join(map(repr, names))}"
        if len(names) == 1:
            called = f"the new column is {names[0]!r}"
        notes.append(f"{table.path}: has {' and '.join(taken)} already; {called}")
    return TableTexts(table=table, text=text, second=second, names=names, notes=tuple(notes))


def check_printable(table: str) -> None:
    """Raises WriteError if a table of this name is not written to standard output."""
    kind = FORMATS[ending(table)]
    if not kind.printable:
        raise WriteError(f"{table}: {kind.name} is not written to standard output; give --out FILE")


class TextRows:
    """The rows of a table with their texts, read once.

    Args:
        asked: the table and its columns.
        pairs: whether the model reads pairs of texts.

    Raises:
        DataError: if the model reads pairs and the table has none, or the other way round.
    """

    def __init__(self, asked: TableTexts, *, pairs: bool) -> None:
        check_columns(asked.table, asked.second, pairs=pairs)
        self._asked, self._pairs, self._start = asked, pairs, 0
        columns = [name for name in (asked.text, asked.second) if name is not None]
        self._sides = [(ColumnLines(asked.table, name, "text"), Cells("text")) for name in columns]

    @property
    def lines(self) -> ColumnLines:
        """The column of the texts, for messages."""
        return self._sides[0][0]

    def batches(self) -> Iterator[tuple[Any, list[Text]]]:
        """Yields the rows as `Batch.stored` has them, and their texts, a batch at a time.

        Raises:
            DataError: for the first row that cannot be read, or that has a value of a new column already.
        """
        table, self._start = self._asked.table, 0
        indices = tuple(table.names.index(column.column) for column, _ in self._sides)
        for batch in table.batches(indices, whole=True):
            check_free(table, batch.stored, self._asked.names, self._start)
            rows = range(self._start, self._start + len(batch.cells[0]))
            read = [
                cells.strings(stored, rows, column.where)
                for (column, cells), stored in zip(self._sides, batch.cells, strict=True)
            ]
            self._start += len(rows)
            table.lines.forget()
            yield batch.stored, list(zip(*read, strict=True)) if self._pairs else list(read[0])

    def doubts(self) -> list[str]:
        """Returns warnings about cells that are no strings."""
        return [
            doubt
            for column, cells in self._sides
            for doubt in cells.doubts(column.name, lambda rows_N: rows_N + 1)
        ]


def write_predictions(
    classifier: Classifier, asked: TableTexts, put: Callable[[bytes], None], warn: Callable[[str], None]
) -> None:
    """Writes a table with its predictions.

    Args:
        classifier: the model.
        asked: the table and its column.
        put: takes the next bytes of the file.
        warn: takes a warning, in one line.

    Raises:
        DataError: for the first row that cannot be read; if the model reads pairs and the table has none, or
            the other way round.
    """
    rows, unknown, warned_at = TextRows(asked, pairs=classifier.pairs), UnknownText(), 0
    writer = FORMATS[ending(asked.table.path)].writer(asked.table, asked.names, put)

    def warn_of_unknown() -> None:
        warn(f"{rows.lines.name}: {unknown.message(of=rows.lines)}: {OF_A_MODEL}")

    writer.begin()
    for stored, texts in rows.batches():
        found = [prediction.cells() for prediction in classifier.stream(texts, unknown=unknown)]
        writer.add(stored, tuple(zip(*found, strict=True)))
        if unknown.spoils_predictions and not warned_at:
            # the first warning comes early, since a table may take hours
            warned_at = unknown.unknown
            warn_of_unknown()
    writer.close()
    if unknown.unknown > warned_at and warned_at:
        warn_of_unknown()  # the final counts
    for doubt in rows.doubts():
        warn(doubt)
