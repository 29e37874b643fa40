"""What a person sees while training: a bar in a terminal, plain lines in a file; and the tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from custom_bert.training.choices import Choice

if TYPE_CHECKING:
    from rich.progress import Progress


class Reporter:
    """Says things on standard output, around a progress bar if that is a terminal."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: Any = None

    def say(self, line: str) -> None:
        """Prints one line."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, flush=True)

    def warn(self, line: str) -> None:
        """Prints one line that begins with `warning:`."""
        self.say(f"warning: {line}")

    def start(self, total_steps: int) -> None:
        """Begins the run's progress."""
        if not sys.stdout.isatty():
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
        )
        self._task = self._bar.add_task("", total=total_steps, status="")
        self._bar.start()

    def advance(self, step: int, total: int) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step, total=total)

    def progress(self, record: dict[str, Any], total: int, remaining: float) -> None:
        """Shows a training record of metrics.jsonl."""
        numbers = (
            f"loss {record['loss']:.4f}  lr {record['lr']:.2e}  "
            f"{record['tokens_per_second']:,.0f} tokens/s  padding {record['padding']:.1%}"
        )
        if self._bar is not None:
            self._bar.update(self._task, status=numbers)
        else:
            self.say(
                f"step {record['step']}/{total}  epoch {record['epoch']:.2f}  {numbers}  "
                f"left {duration(remaining)}"
            )

    def stop(self) -> None:
        """Ends the bar; saying goes on."""
        if self._bar is not None:
            bar, self._bar = self._bar, None
            bar.stop()


class Speed:
    """Counts tokens and rows since it was last read.

    Only training is on the clock: `pause` and `resume` go around everything else.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._tokens = self._rows = 0
        self._mark = 0.0
        self._since = time.perf_counter()

    def add(self, tokens: int, rows: int) -> None:
        """Counts a batch."""
        self._tokens += tokens
        self._rows += rows

    def pause(self) -> None:
        """Stops the clock."""
        self.seconds += time.perf_counter() - self._since

    def resume(self) -> None:
        """Starts the clock again."""
        self._since = time.perf_counter()

    def read(self) -> dict[str, float]:
        """Real tokens per second and padding share since the last call."""
        self.pause()
        self.resume()
        elapsed = max(self.seconds - self._mark, 1e-9)
        found = {
            "tokens_per_second": self._tokens / elapsed,
            "padding": 1 - self._tokens / self._rows if self._rows else 0.0,
        }
        self._mark, self._tokens, self._rows = self.seconds, 0, 0
        return found


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def choice_lines(choices: Sequence[Choice]) -> list[str]:
    """One aligned line a decision."""
    width = max(len(choice.name) for choice in choices)
    values = [_shown(choice.value) for choice in choices]
    value_width = max(map(len, values))
    return [
        f"  {choice.name:<{width}}  {value:<{value_width}}  {choice.reason}"
        for choice, value in zip(choices, values, strict=True)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:,}"
    return str(value)
