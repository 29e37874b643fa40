"""What a person sees while training: a progress bar in a terminal, plain lines in a file, and TensorBoard."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_bert import terminal
from custom_bert.errors import UserError
from custom_bert.phrases import duration

if TYPE_CHECKING:
    from rich.progress import Progress


LINE_EVERY = 5.0
"""Seconds between progress lines in a file. metrics.jsonl has every record."""


class Reporter:
    """Prints lines on standard output, above a progress bar if that is a terminal.

    Args:
        silent: whether to print nothing at all.
        verbose: whether to print every choice and every note, too.
    """

    def __init__(self, *, silent: bool = False, verbose: bool = False) -> None:
        self._silent, self._verbose = silent, verbose
        self._bar: Progress | None = None
        self._task: Any = None
        self._last_line = 0.0

    def say(self, line: str) -> None:
        """Prints one line."""
        if self._silent:
            return
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            terminal.say(line)

    def detail(self, line: str) -> None:
        """Prints one line if the reporter is verbose."""
        if self._verbose:
            self.say(line)

    def muted(self) -> Reporter:
        """Returns a reporter that prints nothing, for the processes other than rank 0."""
        return Reporter(silent=True)

    def warn(self, line: str) -> None:
        """Prints one line that begins with `warning:`."""
        self.say(f"warning: {line}")

    def start(self, phase: str, total_steps: int | None) -> None:
        """Begins the progress bar of a phase. Without a number of steps it counts in per cent."""
        self._last_line = 0.0
        if self._silent or not terminal.is_terminal():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        # rich shortens with an ellipsis of one character, for which three dots would be too long
        has_ellipsis = terminal.displayable(terminal.ELLIPSIS) == terminal.ELLIPSIS
        column = Column(no_wrap=True, overflow="ellipsis" if has_ellipsis else "crop")
        self._bar = Progress(
            TextColumn(f"{phase}ing", table_column=column),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}", table_column=column),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", table_column=column),
            console=Console(file=terminal.screen()),
        )
        self._task = self._bar.add_task("", total=100 if total_steps is None else total_steps, status="")
        self._bar.start()

    def advance(self, completed: int) -> None:
        """Moves the progress bar to a number of steps, or per cent, done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)

    def progress(self, record: dict[str, Any], total: int | None, remaining: float) -> None:
        """Shows a training record of metrics.jsonl.

        Args:
            record: the record.
            total: the number of steps of the phase; None if the time ends it.
            remaining: the seconds that the phase will still take.
        """
        none = "not finite" if record.get("skipped") else "none"
        loss = none if record["loss"] is None else f"{record['loss']:.4f}"
        numbers = (
            f"loss {loss}  lr {record['lr']:.2e}  "
            f"{record['tokens_per_second']:,.0f} tokens/s  padding {record['padding']:.1%}"
        )
        if self._bar is not None:
            self._bar.update(self._task, status=numbers)
        elif time.monotonic() - self._last_line >= LINE_EVERY or record["step"] == total:
            self._last_line = time.monotonic()
            of = "" if total is None else f"/{total}"
            self.say(
                f"{record['kind']} {record['step']}{of}  epoch {record['epoch']:.2f}  {numbers}  "
                f"left {duration(remaining)}"
            )

    def stop(self) -> None:
        """Removes the progress bar, if there is one. Lines can still be printed."""
        if self._bar is not None:
            bar, self._bar = self._bar, None
            bar.stop()


def require_tensorboard() -> None:
    """Raises UserError if TensorBoard is wanted and not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "runtime.tensorboard: TensorBoard is not installed; pip install 'custom-bert[tensorboard]'"
        )


class Board:
    """Writes TensorBoard event files into a run directory.

    Args:
        directory: the run directory.
    """

    def __init__(self, directory: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(directory / "tensorboard"))

    def add(self, record: dict[str, Any]) -> None:
        """Adds the numbers of a record of metrics.jsonl."""
        for key, value in record.items():
            if isinstance(value, float) and key not in ("epoch", "seconds", "run_seconds"):
                self._writer.add_scalar(f"{record['kind']}/{key}", value, record["step"])

    def close(self) -> None:
        """Writes what is left, and closes the files."""
        self._writer.close()
