"""What is shown of a file's progress."""

from __future__ import annotations

import io
import sys

import pytest

from custom_bert.bulk.progress import LINE_EVERY, Progress


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rows_rate_and_time_left_are_said() -> None:
    clock = Clock()
    progress = Progress("row", 1000, shown=False, now=clock)
    clock.seconds = 2.0
    progress.ready()  # loading the model does not count
    clock.seconds = 12.0
    progress.add(5000, 26_000)
    assert progress.words(26_000) == "6,000 of about 26,000 rows (23.1%)  500 rows/s  left 40 s"
    assert progress.words(0) == "6,000 rows done  500 rows/s"
    clock.seconds = 3.0
    assert "left" not in progress.words(26_000)  # too early to say


def test_a_file_gets_a_line_now_and_then_and_a_terminal_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in ((io.StringIO(), 2), (Terminal(), 1)):
        monkeypatch.setattr(sys, "stderr", stream)
        clock = Clock()
        progress = Progress("line", 0, shown=True, now=clock)
        progress.ready()
        for _ in range(3):
            clock.seconds += LINE_EVERY / 2 + 1
            progress.add(10, 100)
        progress.end("done")
        assert stream.getvalue().count("\n") == expected, stream.getvalue()
        assert stream.getvalue().endswith("done\n")


def test_a_short_job_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    progress = Progress("line", 0, shown=True, now=Clock())
    progress.add(10, 100)
    progress.end("done")
    assert stream.getvalue() == ""
