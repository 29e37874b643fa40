"""What the tasks share whose label files hold several labels a line, with a separator between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from custom_bert.config import TrainConfig
from custom_bert.data.source import Source
from custom_bert.decoding.label_names import read_separator
from custom_bert.tasks.labelled import LabelledTask


@dataclass(frozen=True)
class SeparatedTask(LabelledTask):
    """A task whose label files hold several labels a line.

    Attributes:
        separator: the characters between the labels of a line.
    """

    separator: str = "\t"

    unread: ClassVar[tuple[str, ...]] = ("data.corpus", "data.label_order", "optim.regression_loss")

    @classmethod
    def from_source(cls, source: Source, config: TrainConfig) -> Self:
        """Takes the labels that the training lines have, and the separator of the settings."""
        return cls(source.labels, config.data.label_separator)

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any]) -> Self:
        """Reads labels.json, and the separator from config.json.

        Raises:
            RunError: if one of the two is missing or damaged.
        """
        separator = read_separator(directory, stored)
        return replace(super().restored(directory, stored), separator=separator)
