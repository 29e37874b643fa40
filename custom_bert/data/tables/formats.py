"""The formats of tables, by the endings of file names. Text formats may be packed as .gz or .zst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from custom_bert.data.tables.batches import Table
from custom_bert.data.tables.csv_table import CsvTable
from custom_bert.data.tables.json_table import JsonTable
from custom_bert.data.tables.parquet_table import ParquetTable
from custom_bert.data.tables.writing import CsvWriter, JsonWriter, ParquetWriter, Put, Writer
from custom_bert.errors import DataError

PACKED = (".gz", ".zst")
"""The endings of packed files, which come after the ending of the format."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of tables.

    Attributes:
        name: what messages call the format.
        reader: makes a table of a path and an encoding; None for the encoding that the format has.
        writer: makes a writer of the same table with more columns, of their names and a function that takes
            bytes.
        packable: whether a file of this format may be packed.
        printable: whether it may be written to standard output.
    """

    name: str
    reader: Callable[[Path, str | None], Table]
    writer: Callable[[Table, Sequence[str], Put], Writer]
    packable: bool = True
    printable: bool = True


def _tabs(path: Path, encoding: str | None) -> Table:
    return CsvTable(path, encoding, usual="\t")


FORMATS: dict[str, Format] = {
    ".csv": Format(name="CSV", reader=CsvTable, writer=CsvWriter),
    ".tsv": Format(name="TSV", reader=_tabs, writer=CsvWriter),
    ".jsonl": Format(name="lines of JSON", reader=JsonTable, writer=JsonWriter),
    ".ndjson": Format(name="lines of JSON", reader=JsonTable, writer=JsonWriter),
    ".parquet": Format(
        name="Parquet", reader=ParquetTable, writer=ParquetWriter, packable=False, printable=False
    ),
}
"""The formats by the ending of a file's name."""


def ending(path: str | Path) -> str:
    """Returns the ending in `FORMATS` that a file's name has, before that of a packed file; "" if it has
    none."""
    name = Path(path).name.lower()
    plain = next((name.removesuffix(end) for end in PACKED if name.endswith(end)), name)
    found = Path(plain).suffix
    if found not in FORMATS or (plain != name and not FORMATS[found].packable):
        return ""
    return found


def is_table(path: str | Path) -> bool:
    """Returns whether a file's name is that of a table."""
    return bool(ending(path))


def open_table(path: str | Path, encoding: str | None = None) -> Table:
    """Opens a table, and reads the names of its columns.

    Args:
        path: the file, whose name says the format.
        encoding: the encoding of a text format; None for UTF-8.

    Raises:
        DataError: if the file is missing, empty, no table, or its first rows cannot be read.
    """
    found = ending(path)
    if not found:
        endings = ", ".join(FORMATS)
        raise DataError(
            str(path), f"not the name of a table; expected one of {endings}, or .gz or .zst after it"
        )
    return FORMATS[found].reader(Path(path), encoding)
