"""Reads the rows that are to be labelled: lines of text, or a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from custom_bert.bulk.outputs import packing
from custom_bert.bulk.shards import Rows, Text
from custom_bert.data.lines import Lines
from custom_bert.data.pair_files import tabbed
from custom_bert.data.tables.formats import ending
from custom_bert.data.tables.parquet_table import batch_sha256
from custom_bert.data.text import STANDARD_INPUT, LineReader
from custom_bert.data.text_pairs import as_line, sides
from custom_bert.errors import DataError

if TYPE_CHECKING:
    from custom_bert.inference.predict_table import TableTexts, TextRows


class Source(Protocol):
    """The rows of a file."""

    @property
    def lines(self) -> Lines:
        """The texts, for messages about them."""

    def read(self) -> Iterator[Rows]:
        """Yields all rows.

        Raises:
            DataError: for the first row that cannot be read.
        """

    def expected_rows(self) -> int:
        """Returns about how many rows there are; 0 if nothing can be said yet."""

    def doubts(self) -> list[str]:
        """Returns warnings, one line each, about how the texts were read."""


class LineSource:
    """The lines of a file, which may be packed.

    Args:
        path: the file.

    Raises:
        DataError: if the file is missing or empty, or can be read only once.
    """

    def __init__(self, path: str) -> None:
        if path in ("-", STANDARD_INPUT):
            raise DataError(
                "standard input",
                "--out needs a file, which can be read again after a stop; write the texts into one",
            )
        self._reader = LineReader(path, unpack=bool(packing(path)))
        self._reader.check_repeatable()
        self._pairs, self._size = False, Path(path).stat().st_size
        self.lines: Lines = self._reader

    def take_pairs(self, run: str) -> None:
        """Reads each line as a pair of texts, with a tab between them.

        Args:
            run: the directory of the model that wants pairs, for messages.
        """
        self._pairs, self.lines = True, tabbed(self._reader, f"{run} was trained on pairs")

    def read(self) -> Iterator[Rows]:
        """Yields all lines; see `Source.read`."""
        for block in self.lines.blocks():
            texts: list[Text] = list(map(sides, block)) if self._pairs else list(block)
            yield Rows(texts=texts, content=_lines_of(block))
        if not self._reader.num_lines:
            raise DataError(str(self._reader.path), "the file is empty; expected one text a line")

    def expected_rows(self) -> int:
        """Returns about how many lines there are, by how much of the file was read."""
        read = self._reader.num_bytes
        return round(self._reader.num_lines * self._size / read) if read else 0

    def doubts(self) -> list[str]:
        """Returns nothing; a line is a text as it is."""
        return []


class TableSource:
    """The rows of a table.

    Args:
        asked: the table and its columns.
        rows: its rows with their texts.
    """

    def __init__(self, asked: TableTexts, rows: TextRows) -> None:
        self._asked, self._rows = asked, rows

    @property
    def lines(self) -> Lines:
        """The column of the texts."""
        return self._rows.lines

    def read(self) -> Iterator[Rows]:
        """Yields all rows; see `Source.read`."""
        content = CONTENT[ending(self._asked.table.path)]
        for stored, texts in self._rows.batches():
            yield Rows(texts=cast(list[Text], texts), stored=stored, content=content(stored))

    def expected_rows(self) -> int:
        """Returns about how many rows there are."""
        return self._asked.table.expected_rows()

    def doubts(self) -> list[str]:
        """Returns warnings about cells that are no strings."""
        return self._rows.doubts()


def _lines_of(lines: list[str]) -> Callable[[int, int], bytes]:
    """Returns a function that returns the bytes of some lines; see `Rows.content`."""

    def content(start: int, end: int) -> bytes:
        return "".join(f"{as_line(line)}\n" for line in lines[start:end]).encode("utf-8", "surrogatepass")

    return content


def _cells_of(rows: list[list[str]]) -> Callable[[int, int], bytes]:
    """Returns a function that returns bytes that tell the cells of some rows."""

    def content(start: int, end: int) -> bytes:
        return "".join(f"{json.dumps(row)}\n" for row in rows[start:end]).encode()

    return content


def _batch_of(batch: Any) -> Callable[[int, int], bytes]:
    """Returns a function that returns bytes that tell which rows of a record batch of pyarrow are meant, and
    the hash of the batch. A Parquet file is always divided into the same batches."""
    digest = batch_sha256(batch)

    def content(start: int, end: int) -> bytes:
        return f"{digest} {start} {end}\n".encode()

    return content


CONTENT: dict[str, Callable[[Any], Callable[[int, int], bytes]]] = {
    ".csv": _cells_of,
    ".tsv": _cells_of,
    ".jsonl": _lines_of,
    ".ndjson": _lines_of,
    ".parquet": _batch_of,
}
"""What tells the content of rows, by the format of their table."""
