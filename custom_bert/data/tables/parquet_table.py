"""The rows of a Parquet file, which pyarrow reads. Only the columns that are asked for are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from custom_bert.data.tables.batches import ROWS, Batch, RowLines, place
from custom_bert.data.tables.content import CHUNK, check_file
from custom_bert.errors import DataError, first_line


class ParquetTable:
    """A table in a Parquet file. Its rows have no lines. See `Table`.

    Args:
        path: the file.
        encoding: has to be None, because Parquet says itself how text is stored.

    Raises:
        DataError: if the file is missing or damaged, pyarrow is missing, or an encoding is given.
    """

    encoding, header_doubt = "", ""

    def __init__(self, path: Path, encoding: str | None) -> None:
        if encoding is not None:
            raise DataError(str(path), "Parquet says itself how text is stored; leave out --encoding")
        check_file(path)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise DataError(
                str(path), "needs the pyarrow library; pip install 'custom-bert[tables]', or write it as CSV"
            ) from error
        self.path, self.lines, self.sha256 = path, RowLines(), ""
        self._refusals = (pyarrow.ArrowException, OSError)
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                self.schema: Any = file.schema_arrow
                self.names: tuple[str, ...] = tuple(self.schema.names)
                self._rows: int = file.metadata.num_rows
        except (*self._refusals, UnicodeDecodeError) as error:
            raise DataError(str(path), f"not a Parquet file that can be read: {first_line(error)}") from error
        if not self._rows:
            raise DataError(str(path), "the table has no rows")

    def expected_rows(self) -> int:
        """Returns how many rows the file has, as it says itself."""
        return self._rows

    def batches(self, columns: tuple[int, ...], *, whole: bool = False) -> Iterator[Batch]:
        """Yields all rows. See `Table.batches`."""
        start = 0
        for stored in self._stored(None if whole else [self.names[i] for i in dict.fromkeys(columns)]):
            yield Batch(stored, tuple(self._cells(stored, self.names[i], start) for i in columns))
            start += len(stored)

    def _cells(self, stored: Any, name: str, start: int) -> list[Any]:
        """Returns the cells of a column of a record batch, whose first row has the index `start`."""
        column = stored.column(name)
        try:
            cells: list[Any] = column.to_pylist()
        except UnicodeDecodeError:
            for row in range(len(column)):
                try:
                    column[row].as_py()
                except UnicodeDecodeError as error:
                    where = place(self.path, None, start + row, name)
                    raise DataError(where, "text that is not valid UTF-8; write the table anew") from error
            raise
        return cells

    def _stored(self, names: list[str] | None) -> Iterator[Any]:
        """Yields all rows as record batches of pyarrow, and computes the hash of the file.

        Args:
            names: the columns to read; None for all.
        """
        import pyarrow.parquet

        try:
            with open(self.path, "rb") as stream:
                file = pyarrow.parquet.ParquetFile(stream)
                yield from file.iter_batches(batch_size=ROWS, columns=names, use_threads=False)
                stream.seek(0)
                digest = hashlib.sha256()
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
        except self._refusals as error:
            raise DataError(str(self.path), f"cannot read: {first_line(error)}") from error
        self.sha256 = digest.hexdigest()


def batch_sha256(batch: Any) -> str:
    """Returns the hash of the columns and cells of a record batch of pyarrow."""
    import pyarrow.ipc

    sink = _Hash()
    with pyarrow.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.digest.hexdigest()


class _Hash:
    """A file that keeps nothing but the hash of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Adds bytes."""
        self.digest.update(content)
        return len(content)

    def flush(self) -> None:
        """Does nothing."""
