"""What is printed arrives in every encoding: messages in what it has, data as UTF-8."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from custom_bert import terminal
from custom_bert.errors import WriteError
from custom_bert.metrics import ConfusionMatrix
from custom_bert.reports.tables import score_lines

TEXT = "Über … 机 \udcff"


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, newline="\n")


def written(output: io.TextIOWrapper) -> bytes:
    output.flush()
    return cast(io.BytesIO, output.buffer).getvalue()


@pytest.mark.parametrize(
    ("encoding", "errors", "expected"),
    [
        ("utf-8", "strict", "Über … 机 \\udcff".encode()),
        ("utf-8", "surrogateescape", "Über … 机 ".encode() + b"\xff"),
        ("ascii", "strict", rb"\xdcber ... \u673a \udcff"),
        ("ascii", "surrogateescape", rb"\xdcber ... \u673a " + b"\xff"),
        ("ascii", "backslashreplace", rb"\xdcber ... \u673a \udcff"),
        ("ascii", "replace", b"?ber ... ? ?"),
        ("latin-1", "strict", b"\xdcber ... \\u673a \\udcff"),
        ("cp1252", "strict", b"\xdcber \x85 \\u673a \\udcff"),
        ("gb2312", "strict", b"\\xdcber \xa1\xad \xbb\xfa \\udcff"),
    ],
)
def test_a_message_is_shown_by_the_characters_that_the_encoding_has(
    encoding: str, errors: str, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, faults = stream(encoding, errors), stream(encoding, errors)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", faults)
    terminal.say(TEXT)
    print(TEXT, file=terminal.screen())
    terminal.complain(TEXT)
    assert written(output) == 2 * (expected + b"\n")
    assert written(faults) == expected + b"\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "utf-16"])
def test_data_is_utf8_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = stream(encoding)
    monkeypatch.setattr(sys, "stdout", output)
    output.write("before\n")
    data = terminal.DataOutput()
    data.line(TEXT)
    data.line("next")
    data.flush()
    expected = "before\n".encode(encoding) + "Über … 机 ".encode() + b"\xff\nnext\n"
    assert written(output) == expected


def test_what_takes_text_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a notebook, and a caller who collects what is printed."""
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    terminal.say(TEXT)
    terminal.DataOutput().line(TEXT)
    terminal.screen().write(TEXT)
    assert output.getvalue() == f"{TEXT}\n{TEXT}\n{TEXT}"


def test_where_there_are_no_streams_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that a supervisor starts without any."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    terminal.say(TEXT)
    terminal.complain(TEXT)
    data = terminal.DataOutput()
    data.line(TEXT)
    data.flush()
    terminal.flush()
    assert not terminal.is_terminal()


class Refusing(io.RawIOBase):
    """A device that takes a byte at a time, as one without a buffer may, and refuses in the end."""

    def __init__(self, room: int, error: OSError) -> None:
        self.taken, self._room, self._error = b"", room, error

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if len(self.taken) == self._room:
            raise self._error
        self.taken += bytes(cast(memoryview, data)[:1])
        return 1


def test_without_a_buffer_a_line_of_data_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Refusing(100, OSError())
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(cast(io.BufferedIOBase, device), write_through=True))
    terminal.DataOutput().line("ä line")
    assert device.taken == "ä line\n".encode()


@pytest.mark.parametrize("do", [lambda: terminal.say("x"), lambda: terminal.DataOutput().line("x")])
def test_an_output_that_refuses_is_named_and_a_reader_that_left_is_not_a_fault(
    do: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Refusing(0, OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(cast(io.BufferedIOBase, full), write_through=True))
    with pytest.raises(WriteError) as caught:
        do()
    assert str(caught.value) == "standard output: cannot write: No space left on device (ENOSPC)"
    gone = Refusing(0, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(cast(io.BufferedIOBase, gone), write_through=True))
    with pytest.raises(BrokenPipeError):
        do()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), BrokenPipeError(errno.EPIPE, "gone")])
def test_a_complaint_that_nobody_can_read_is_no_fault(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Refusing(0, error)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(cast(io.BufferedIOBase, device), write_through=True))
    terminal.complain("error: x")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_columns_of_a_table_stand_below_each_other_in_every_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    confusion = ConfusionMatrix(3)
    confusion.add(np.repeat(range(3), 3), np.tile(range(3), 3))
    monkeypatch.setattr(sys, "stdout", stream(encoding))
    labels = ["Wetter für jeden Tag", "entertainment", "für"]
    lines = [terminal.displayable(line) for line in score_lines(confusion.scores(), labels)]
    table, matrix = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert len({len(line) for line in table}) == len({len(line) for line in matrix}) == 1
    assert ("…" in matrix[0]) == (encoding == "utf-8")
    assert ("..." in matrix[0]) == (encoding != "utf-8")
