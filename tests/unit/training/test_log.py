"""What training says: a bar, lines, and readable times."""

import io
import re
import sys
from typing import cast

import pytest

from custom_bert.phrases import duration
from custom_bert.training.log import Reporter


def test_in_a_terminal_a_bar_counts_and_lines_are_printed_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    reporter = Reporter()
    reporter.start("train", 40)
    reporter.advance(10)
    record = {"kind": "train", "step": 10, "epoch": 1.0, "loss": 0.5, "lr": 1e-3}
    reporter.progress({**record, "tokens_per_second": 1000.0, "padding": 0.01}, 40, 3.0)
    reporter.warn("a label [red] and a path /tmp/[x]")
    reporter.advance(40)
    reporter.stop()
    reporter.say("[bold] after it")
    said = capsys.readouterr().out
    assert "warning: a label [red] and a path /tmp/[x]\n" in said and "[bold] after it\n" in said
    assert "training" in said and "40/40" in said and "loss 0.5000" in said
    assert reporter._bar is None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_the_bar_fits_into_a_narrow_terminal_of_any_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    monkeypatch.setattr(output, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    reporter = Reporter()
    reporter.start("train", 40)
    record = {"kind": "train", "step": 10, "epoch": 1.0, "loss": 0.5, "lr": 1e-3}
    reporter.progress({**record, "tokens_per_second": 1000.0, "padding": 0.01}, 40, 3.0)
    reporter.say("机 für")
    reporter.stop()
    output.flush()
    said = cast(io.BytesIO, output.buffer).getvalue().decode(encoding)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))
    assert "机 für".encode(encoding, "backslashreplace").decode(encoding) in lines
    assert any("training" in line for line in lines) and max(map(len, lines)) <= 40
    assert ("…" in said) == (encoding == "utf-8") and "..." not in said


def test_durations_are_readable() -> None:
    assert [duration(s) for s in (3, 89, 200, 7500)] == ["3 s", "89 s", "3 min", "2 h 05 min"]
