"""The rows of a file with one JSON object a line. The keys of the objects name the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert.data.given import joined
from custom_bert.data.tables.batches import ROWS, Batch, RowLines, place
from custom_bert.data.tables.content import Content
from custom_bert.errors import DataError, shown

SAMPLED_ROWS = 1000
"""The columns are the keys of this many objects at the beginning."""


class JsonTable:
    """A table of JSON objects. An object without a key has no value in that column. See `Table`.

    Args:
        path: the file.
        encoding: its encoding; None for UTF-8.

    Raises:
        DataError: if the file cannot be read as text, or a line of the beginning is not a JSON object.
    """

    header_doubt = ""

    def __init__(self, path: Path, encoding: str | None) -> None:
        self.path, self.lines, self._content = path, RowLines(), Content(path, encoding)
        self.encoding = self._content.encoding
        names: dict[str, None] = {}
        for line in next(self._content.lines(1), []):
            if line.lstrip().startswith("["):
                raise DataError(
                    f"{path}:1",
                    "a JSON list; write one object a line, as jq -c '.[]' does with a list of them",
                )
        seen = 0
        for objects, _ in self._objects():
            for one in objects[: SAMPLED_ROWS - seen]:
                names |= dict.fromkeys(one)
            seen += len(objects)
            if seen >= SAMPLED_ROWS:
                break
        if not seen:
            raise DataError(str(path), "the table is empty; expected one JSON object a line")
        self.names = tuple(names)

    @property
    def sha256(self) -> str:
        """The hash of the unpacked content, after `batches` has ended."""
        return self._content.sha256

    def expected_rows(self) -> int:
        """Returns about how many objects the file has."""
        return self._content.expected_lines()

    def batches(self, columns: tuple[int, ...], *, whole: bool = False) -> Iterator[Batch]:
        """Yields all objects. Blank lines are left out. See `Table.batches`."""
        names = [self.names[i] for i in columns]
        for objects, lines in self._objects():
            yield Batch(lines, tuple([one.get(name) for one in objects] for name in names))

    def _objects(self) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
        """Yields objects, and the lines that hold them."""
        decode, start, first = json.JSONDecoder().decode, 0, 1
        for lines in self._content.lines(ROWS):
            numbers_N = np.arange(first, first + len(lines))
            first += len(lines)
            if not all(lines) or any(map(str.isspace, lines)):
                filled = [i for i, line in enumerate(lines) if line and not line.isspace()]
                lines, numbers_N = [lines[i] for i in filled], numbers_N[filled]
            if not lines:
                continue
            self.lines.add(start, numbers_N)
            try:
                objects = list(map(decode, lines))
            except (ValueError, RecursionError):
                objects = []
            if set(map(type, objects)) != {dict}:
                raise self._unreadable(lines, numbers_N, start)
            # only an escape can be half of a surrogate pair, which UTF-8 cannot hold
            if any("\\ud" in line or "\\uD" in line for line in lines):
                objects = [_mended(one) for one in objects]
            yield objects, lines
            start += len(lines)

    def _unreadable(self, lines: list[str], numbers_N: np.ndarray, start: int) -> DataError:
        """Returns the error for the first line that is not a JSON object."""
        for i, line in enumerate(lines):
            where = place(self.path, int(numbers_N[i]), start + i)
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                return DataError(where, f"not valid JSON at character {error.pos + 1}: {error.msg}")
            except (ValueError, RecursionError) as error:  # a number of very many digits, or deep nesting
                return DataError(where, f"JSON that cannot be read: {str(error).splitlines()[0]}")
            if not isinstance(value, dict):
                return DataError(where, f"expected a JSON object with named values, got {shown(value)}")
        raise AssertionError("every line is a JSON object")


def _mended(value: Any) -> Any:
    """Returns an object whose strings can be written as UTF-8, which halves of surrogate pairs cannot."""
    if isinstance(value, str):
        return joined(value)
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {joined(name): _mended(one) for name, one in value.items()}
    return value
