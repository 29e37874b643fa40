"""What a person sees while training: a bar in a terminal, plain lines in a file; and the tables."""

from __future__ import annotations

import importlib.util
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from custom_bert import terminal
from custom_bert.data.labels import labels_by_id
from custom_bert.errors import UserError
from custom_bert.training.prepare import Prepared

if TYPE_CHECKING:
    from rich.progress import Progress


T = TypeVar("T")

LINE_EVERY = 5.0
"""Seconds between progress lines in a file; metrics.jsonl has every record."""


class Reporter:
    """Says things on standard output, around a progress bar if that is a terminal.

    Args:
        silent: of a process that does not lead its ranks.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
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

    def warn(self, line: str) -> None:
        """Prints one line that begins with `warning:`."""
        self.say(f"warning: {line}")

    def start(self, phase: str, total_steps: int | None) -> None:
        """Begins the progress of a phase; without a number of steps it counts in per cent."""
        self._last_line = 0.0
        if self._silent or not terminal.is_terminal():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        # rich cuts with an ellipsis of one character; what may stand in for it would not fit into the line
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
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)

    def progress(self, record: dict[str, Any], total: int | None, remaining: float) -> None:
        """Shows a training record of metrics.jsonl."""
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
        """Ends the bar; saying goes on."""
        if self._bar is not None:
            bar, self._bar = self._bar, None
            bar.stop()


class Speed:
    """Counts tokens and rows, and the time that training waited for batches, since it was last read.

    Only training is on the clock: `pause` and `resume` go around everything else.

    Args:
        tokens, rows: counted since the last reading, before this process.
        elapsed: seconds that they took.

    Attributes:
        seconds: of training so far.
        waited: of these, seconds spent waiting for batches.
        tokens, rows: since the last reading.
    """

    def __init__(self, tokens: int = 0, rows: int = 0, elapsed: float = 0.0) -> None:
        self.seconds = self.waited = 0.0
        self.tokens, self.rows = tokens, rows
        self._waited_mark = 0.0
        self._mark = -elapsed
        self._since: float | None = time.perf_counter()

    def add(self, tokens: int, rows: int) -> None:
        """Counts a batch."""
        self.tokens += tokens
        self.rows += rows

    def waiting_for(self, items: Iterable[T]) -> Iterator[T]:
        """The items, with the time that each took to come."""
        iterator = iter(items)
        while True:
            begun = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.waited += time.perf_counter() - begun
            yield item

    def pause(self) -> None:
        """Stops the clock, if it runs."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def resume(self) -> None:
        """Starts the clock again."""
        self._since = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds of training since the last reading, up to the last pause."""
        return self.seconds - self._mark

    def read(self) -> dict[str, float]:
        """Real tokens per second, shares of padding and of waiting for batches, since the last call."""
        self.pause()
        self.resume()
        elapsed = max(self.elapsed, 1e-9)
        found = {
            "tokens_per_second": self.tokens / elapsed,
            "padding": 1 - self.tokens / self.rows if self.rows else 0.0,
            "data_wait": min(1.0, (self.waited - self._waited_mark) / elapsed),
        }
        self._mark, self._waited_mark, self.tokens, self.rows = self.seconds, self.waited, 0, 0
        return found


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def introduction(prepared: Prepared, directory: Path) -> list[str]:
    """What will be trained, on what, where, and every decision with its reason."""
    config = prepared.config
    lines = _running_text(prepared) if config.objective == "masked_lm" else _labelled(prepared)
    lines[-1] += f"; run directory {directory}"
    if config.data.long_texts == "windows":
        windows_N = prepared.train.windows_of_texts()
        several = windows_N[windows_N > 1]
        mean = f", {several.mean():.1f} each in the mean" if len(several) else ""
        lines.append(f"{len(several):,} training texts are longer and are read in windows{mean}")
    by_preset = f"preset {config.preset}"
    settled = [f"{c.name} {_shown(c.value)}" for c in prepared.choices if c.reason == by_preset]
    lines += textwrap.wrap(f"{by_preset}: {', '.join(settled)}", 100, subsequent_indent="  ")
    chosen = [c for c in prepared.choices if c.reason != by_preset]
    width = max(len(choice.name) for choice in chosen)
    value_width = max(len(_shown(choice.value)) for choice in chosen)
    lines += [f"  {c.name:<{width}}  {_shown(c.value):<{value_width}}  {c.reason}" for c in chosen]
    return lines


def _labelled(prepared: Prepared) -> list[str]:
    data, lines = prepared.dataset, []
    if data.was_divided:
        lines.append(
            f"no validation files: {len(data.val_rows):,} of {len(data.train_file):,} lines are set "
            f"aside, stratified by label, seed {prepared.config.seed}"
        )
    parameters = prepared.encoder.num_parameters(len(data.labels))
    lines.append(
        f"{len(data.train_rows):,} training and {len(data.val_rows):,} validation texts, "
        f"{len(data.labels):,} labels; {parameters / 1e6:.1f} M parameters"
    )
    return [*lines[:-1], labels_by_id(data.labels), lines[-1]]


def _running_text(prepared: Prepared) -> list[str]:
    train, val = int(prepared.train.lengths_N.sum()), int(prepared.val.lengths_N.sum())
    documents = prepared.description()["documents"]
    return [
        f"{documents:,} documents, {train:,} tokens in {len(prepared.train.rows_N):,} pieces; {val:,} tokens "
        f"are held out; {prepared.encoder.num_parameters(0) / 1e6:.1f} M parameters"
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return str(value)


def require_tensorboard() -> None:
    """Raises UserError if TensorBoard is wanted and not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "runtime.tensorboard: TensorBoard is not installed; pip install 'custom-bert[tensorboard]'"
        )


class Board:
    """TensorBoard event files in a run directory."""

    def __init__(self, directory: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(directory / "tensorboard"))

    def add(self, record: dict[str, Any]) -> None:
        """Adds the numbers of a record of metrics.jsonl."""
        for key, value in record.items():
            if isinstance(value, float) and key not in ("epoch", "seconds", "run_seconds"):
                self._writer.add_scalar(f"{record['kind']}/{key}", value, record["step"])

    def close(self) -> None:
        """Flushes and closes."""
        self._writer.close()
