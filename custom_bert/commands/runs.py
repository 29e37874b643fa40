"""The commands that show what a run directory holds: `info` and `report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from custom_bert import files
from custom_bert.commands.common import RunDirectory, print_json
from custom_bert.errors import RunError
from custom_bert.options.option import Command, Mark
from custom_bert.terminal import DataOutput, say


@dataclass(frozen=True, kw_only=True)
class Info(Command):
    """Print the settings of a run with their reasons, its data, its labels and its metrics."""

    run_directory: RunDirectory
    """The run directory that train or pretrain wrote."""
    json: bool = False
    """Print the run's record, run.json, instead."""

    def run(self) -> None:
        from custom_bert.reports.info import info_lines

        directory = Path(self.run_directory)
        record = files.read_run_json(directory, "run.json")
        if self.json:
            print_json(record, indent=2)
            return
        try:
            lines = info_lines(record)
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise RunError(f"{directory / 'run.json'}: damaged: not the record of a run") from error
        say("\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Write a run as one HTML page with its curves, scores and settings."""

    run_directory: RunDirectory
    """The run directory that train or pretrain wrote. The run need not be finished."""
    out: Annotated[str | None, Mark(word="FILE", positional=True, path=True)] = None
    """The page to write. Without it, this is report.html in the run directory."""

    def run(self) -> None:
        from custom_bert.reports.page import write_report

        DataOutput().line(str(write_report(self.run_directory, self.out)))
