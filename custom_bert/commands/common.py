"""What several commands share: types of arguments, printing JSON, and a warning about the precision."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from custom_bert.config import Precision
from custom_bert.options.option import Mark
from custom_bert.terminal import DataOutput, complain

Device = Literal["cpu", "cuda"]

RunDirectory = Annotated[str, Mark(word="RUN", positional=True, path=True)]
DataDirectory = Annotated[str, Mark(word="DATA", positional=True, path=True)]


def print_json(value: Any, indent: int | None = None) -> None:
    """Prints a value as JSON in UTF-8: on one line or, with an indent, on several."""
    DataOutput().line(json.dumps(value, ensure_ascii=False, indent=indent))


def warn_of_precision(precision: Precision, device: Device | None) -> None:
    """Prints a warning if the precision is slow or inexact on the device; None for the default device."""
    from custom_bert.machine import choose_device
    from custom_bert.precision import doubts

    for line in doubts(precision, choose_device(device)[0]):
        complain(f"warning: {line}")
