"""Predicts for the texts of a table, and writes the table back with more columns, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from custom_bert import files
from custom_bert.config import DataConfig
from custom_bert.data.tables.batches import Table
from custom_bert.data.tables.cells import Cells
from custom_bert.data.tables.choosing import Columns, free_names, named, text_alone
from custom_bert.data.tables.column import ColumnLines
from custom_bert.data.tables.formats import FORMATS, PACKED, ending, open_table
from custom_bert.data.tables.opening import remembered
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


def check_output(table: str, out: str | None) -> None:
    """Raises WriteError if a table cannot be written to a file of this name, or to standard output (None)."""
    kind = FORMATS[ending(table)]
    if out is None:
        if not kind.printable:
            raise WriteError(f"{table}: {kind.name} is not written to standard output; give --out FILE")
        return
    if out.lower().endswith(PACKED):
        raise WriteError(f"{out}: the table is written unpacked; give a name without .gz or .zst")
    if not ending(out) or FORMATS[ending(out)].reader is not kind.reader:
        raise WriteError(
            f"{out}: the table is written as it is read, as {kind.name}; give a name that ends with "
            f"{ending(table)}"
        )
    if Path(out).exists():
        raise WriteError(f"{out}: exists already and is not overwritten")


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
    check_columns(asked.table, asked.second, pairs=classifier.pairs)
    table, unknown, start, warned_at = asked.table, UnknownText(), 0, 0
    columns = [name for name in (asked.text, asked.second) if name is not None]
    sides = [(ColumnLines(table, name, "text"), Cells("text")) for name in columns]
    lines = sides[0][0]
    writer = FORMATS[ending(table.path)].writer(table, asked.names, put)

    def warn_of_unknown() -> None:
        warn(f"{lines.name}: {unknown.message(of=lines)}: {OF_A_MODEL}")

    for batch in table.batches(tuple(map(table.names.index, columns)), whole=True):
        rows = range(start, start + len(batch.cells[0]))
        read = [
            cells.strings(stored, rows, column.where)
            for (column, cells), stored in zip(sides, batch.cells, strict=True)
        ]
        texts: list[Text] = list(zip(*read, strict=True)) if classifier.pairs else list(read[0])
        found = [prediction.cells() for prediction in classifier.stream(texts, unknown=unknown)]
        writer.add(batch.stored, tuple(zip(*found, strict=True)))
        start += len(texts)
        if unknown.spoils_predictions and not warned_at:
            # the first warning comes early, since a table may take hours
            warned_at = unknown.unknown
            warn_of_unknown()
    writer.close()
    if unknown.unknown > warned_at and warned_at:
        warn_of_unknown()  # the final counts
    for column, cells in sides:
        for doubt in cells.doubts(column.name, lambda rows_N: rows_N + 1):
            warn(doubt)
