"""Writes a table with the same rows and more columns, in the format that it has.

Cells are not changed. A row of JSON is kept character by character, and only gets more values. Text is
written as UTF-8.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

from custom_bert.data.tables.batches import Table, place
from custom_bert.data.tables.csv_table import CsvTable
from custom_bert.data.tables.json_table import JsonTable
from custom_bert.data.tables.parquet_table import ParquetTable
from custom_bert.errors import DataError

Put = Callable[[bytes], None]
"""Takes the next bytes of a file."""


class Writer(Protocol):
    """Writes a table, a batch of rows at a time."""

    def begin(self) -> None:
        """Writes what comes before the first row."""

    def add(self, stored: Any, columns: Sequence[Sequence[str | float]]) -> None:
        """Writes rows.

        Args:
            stored: the rows, as `Batch.stored` has them.
            columns: the cells of each new column, one for each row. A column has either strings or numbers.
        """

    def close(self) -> None:
        """Writes what comes after the last row."""


class CsvWriter:
    """Writes rows of CSV with the separator that the table has. Numbers get six decimals."""

    def __init__(self, table: Table, names: Sequence[str], put: Put) -> None:
        assert isinstance(table, CsvTable)
        self._put, self._text, self._header = put, io.StringIO(), [*table.header, *names]
        # only with this line end does Python put cells with CR or LF alone into quotes
        self._rows = csv.writer(self._text, delimiter=table.separator, lineterminator="\r\n")

    def begin(self) -> None:
        """Writes the header."""
        self._rows.writerow(self._header)

    def add(self, stored: Any, columns: Sequence[Sequence[str | float]]) -> None:
        """Writes rows; see `Writer.add`."""
        cells = [[one if isinstance(one, str) else f"{one:.6f}" for one in column] for column in columns]
        self._rows.writerows([*row, *new] for row, new in zip(stored, zip(*cells, strict=True), strict=True))
        self._put(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()

    def close(self) -> None:
        """Writes nothing more."""


class JsonWriter:
    """Writes lines of JSON: each line as it is, with more values before the last brace."""

    def __init__(self, table: Table, names: Sequence[str], put: Put) -> None:
        self._put, self._names = put, [json.dumps(name, ensure_ascii=False) for name in names]

    def begin(self) -> None:
        """Writes nothing."""

    def add(self, stored: Any, columns: Sequence[Sequence[str | float]]) -> None:
        """Writes rows; see `Writer.add`."""
        lines = []
        for line, new in zip(stored, zip(*columns, strict=True), strict=True):
            kept = line.strip().removesuffix("}").rstrip()
            values = (json.dumps(value, ensure_ascii=False) for value in new)
            more = ", ".join(f"{name}: {value}" for name, value in zip(self._names, values, strict=True))
            lines.append(f"{kept}{'' if kept == '{' else ', '}{more}}}\n")
        self._put("".join(lines).encode())

    def close(self) -> None:
        """Writes nothing more."""


def check_free(table: Table, stored: Any, names: Sequence[str], start: int) -> None:
    """Checks that rows have no value of a new column yet. Only lines of JSON can have values of their own.

    Args:
        table: the table.
        stored: some rows, as `Batch.stored` has them.
        names: the names of the new columns, which no row at the beginning of the table has.
        start: the index of the first of these rows, from 0.

    Raises:
        DataError: for the first row that has one.
    """
    if not isinstance(table, JsonTable):
        return
    keys = [json.dumps(name, ensure_ascii=False) for name in names]
    for row, line in enumerate(stored, start):
        if any(key in line and name in json.loads(line) for name, key in zip(names, keys, strict=True)):
            raise DataError(
                place(table.path, table.lines.of(row), row),
                f"has {' or '.join(keys)} already, and the first rows do not",
            )


class ParquetWriter:
    """Writes record batches with the columns, types and metadata that the table has."""

    def __init__(self, table: Table, names: Sequence[str], put: Put) -> None:
        assert isinstance(table, ParquetTable)
        self._schema, self._names, self._stream = table.schema, names, _Stream(put)
        self._file: Any = None

    def begin(self) -> None:
        """Writes nothing. The first rows say what types the new columns have."""

    def add(self, stored: Any, columns: Sequence[Sequence[str | float]]) -> None:
        """Writes rows; see `Writer.add`. The first rows say which columns have strings."""
        import pyarrow
        import pyarrow.parquet

        types = [pyarrow.string() if isinstance(one[0], str) else pyarrow.float64() for one in columns]
        if self._file is None:
            for name, kind in zip(self._names, types, strict=True):
                self._schema = self._schema.append(pyarrow.field(name, kind))
            self._file = pyarrow.parquet.ParquetWriter(self._stream, self._schema)
        new = [pyarrow.array(one, kind) for one, kind in zip(columns, types, strict=True)]
        self._file.write_batch(pyarrow.RecordBatch.from_arrays([*stored.columns, *new], schema=self._schema))

    def close(self) -> None:
        """Writes the end of the file, which says where its columns are."""
        if self._file is not None:
            self._file.close()


def join_parquet(contents: Iterable[bytes], put: Put, group: int) -> None:
    """Writes the rows of several Parquet files as one.

    Args:
        contents: the files, of the same columns, in order.
        put: takes the next bytes.
        group: the number of files whose rows are a row group.
    """
    import pyarrow
    import pyarrow.parquet

    writer: Any = None
    remaining = iter(contents)
    while some := list(itertools.islice(remaining, group)):
        parts = [pyarrow.parquet.read_table(io.BytesIO(content), use_threads=False) for content in some]
        table = pyarrow.concat_tables(parts)
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(_Stream(put), table.schema)
        writer.write_table(table, row_group_size=max(1, len(table)))
    if writer is not None:
        writer.close()


class _Stream(io.RawIOBase):
    """Hands what pyarrow writes to a function."""

    def __init__(self, put: Put) -> None:
        self._put, self._size = put, 0

    def writable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the number of bytes written so far."""
        return self._size

    def write(self, data: Any) -> int:
        """Hands the bytes on."""
        content = bytes(cast(bytes, data))
        self._put(content)
        self._size += len(content)
        return len(content)
