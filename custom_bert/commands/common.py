"""What several commands share: kinds of arguments, and printing JSON."""

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
    """Prints a value as one line of JSON, or as several with an indent."""
    DataOutput().line(json.dumps(value, ensure_ascii=False, indent=indent))


def warn_of_precision(precision: Precision, device: Device | None) -> None:
    """Warns where the precision is slow or inexact on the device."""
    from custom_bert.machine import choose_device
    from custom_bert.precision import doubts

    for line in doubts(precision, choose_device(device)[0]):
        complain(f"warning: {line}")
