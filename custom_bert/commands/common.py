"""What several commands share: types of arguments, printing JSON, and a warning about the precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from custom_bert.config import Precision
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import DataOutput, complain

Device = Literal["cpu", "cuda"]

RunDirectory = Annotated[str, Mark(word="RUN", positional=True, path=True)]
DataDirectory = Annotated[str, Mark(word="DATA", positional=True, path=True)]
TablePath = Annotated[str | None, Mark(word="TABLE", path=True)]


@dataclass(frozen=True, kw_only=True)
class TextTable(Command):
    """The options that say how the texts of a table are read."""

    text_column: str | None = None
    """Column of a table that holds the texts. Without it, the one with a usual name, such as text or review.
    """
    second_text_column: str | None = None
    """Column of a table that holds the second text of each row, for pairs of texts."""
    encoding: str | None = None
    """Encoding of a table, such as cp1252 or utf-16. Without it, UTF-8."""

    def implied(self) -> tuple[tuple[str, Any, str], ...]:
        """Returns the settings that these options are: the name, the value, and the option for messages."""
        return tuple(
            (f"data.{name}", value, f"--{name.replace('_', '-')}")
            for name in TABLE_OPTIONS
            if (value := getattr(self, name, None)) is not None
        )


@dataclass(frozen=True, kw_only=True)
class LabelledTable(TextTable):
    """The options that say how the texts and labels of a table are read."""

    label_column: str | None = None
    """Column of a table that holds the labels. Without it, the one with a usual name, such as label or class.
    """
    split_column: str | None = None
    """Column of a table that says which rows are for what: train; val, valid, validation or dev; test."""


@dataclass(frozen=True, kw_only=True)
class DividedTable(LabelledTable):
    """The options that say how texts and labels are read and divided."""

    group_column: str | None = None
    """Column of a table with the groups of rows, such as authors. Rows of one group are set aside together.
    """
    val_table: TablePath = None
    """Table of validation data, with the same columns."""
    test_table: TablePath = None
    """Table of test data, with the same columns."""


TABLE_OPTIONS = (
    *("text_column", "second_text_column", "label_column", "split_column", "group_column"),
    *("encoding", "val_table", "test_table"),
)
"""The options of tables, which are settings of the group `data` with the same names."""


def print_json(value: Any, indent: int | None = None) -> None:
    """Prints a value as JSON in UTF-8: on one line or, with an indent, on several."""
    DataOutput().line(json.dumps(value, ensure_ascii=False, indent=indent))


def warn_of_precision(precision: Precision, device: Device | None) -> None:
    """Prints a warning if the precision is slow or inexact on the device; None for the default device."""
    if precision == "fp32":
        return  # which every device has; an environment without torch knows no other
    from custom_bert.machine import choose_device
    from custom_bert.precision import doubts

    for line in doubts(precision, choose_device(device)[0]):
        complain(f"warning: {line}")
