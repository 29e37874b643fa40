"""Everything that the package prints goes through this module, so that no locale can stop it.

A person reads messages and tables (`say`, `complain`): a character that the stream's encoding lacks is shown
by others that it has. A program reads labels, probabilities and JSON (`DataOutput`): these are UTF-8 in every
locale, as the files are that they come from. Standard library only.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from custom_bert.errors import CustomBertWarning, WriteError, system_reason

ELLIPSIS = "…"

STAND_INS = {ELLIPSIS: "..."}
"""What is printed where an encoding lacks a character; of every other one its escape, as `\\xe9`."""


def displayable(text: str, stream: TextIO | None = None) -> str:
    """The text in characters that a stream can take.

    Args:
        text: any.
        stream: with an encoding or, as a notebook's and `io.StringIO`, without one, which takes every text.
            None: standard output.
    """
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None)
    if text.isascii() or not encoding:
        return text
    errors = getattr(stream, "errors", None) or "strict"
    if _has(text, encoding, "strict"):
        return text
    return "".join(
        character if _has(character, encoding, "strict") else _stand_in(character, encoding, errors)
        for character in text
    )


def _has(text: str, encoding: str, errors: str) -> bool:
    try:
        text.encode(encoding, errors)
    except UnicodeEncodeError:
        return False
    return True


def _stand_in(character: str, encoding: str, errors: str) -> str:
    if character in STAND_INS:
        return STAND_INS[character]
    # a stream may have a way of its own: one set by the user, or the bytes of a file name that is no UTF-8
    own_way = _has(character, encoding, errors)
    return character if own_way else character.encode("ascii", "backslashreplace").decode("ascii")


@contextmanager
def _faults_told() -> Iterator[None]:
    """Turns a refusal of the system into an error that names standard output.

    A reader that went away stays a BrokenPipeError, which ends a program without a word.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"standard output: cannot write: {system_reason(error)}") from error


def say(text: str = "") -> None:
    """Prints lines for a person on standard output, at once.

    Raises:
        WriteError: if the system refuses.
        BrokenPipeError: if the reader went away.
    """
    with _faults_told():
        _print(text, sys.stdout)


def complain(line: str) -> None:
    """Prints a line for a person on standard error. Where that fails there is nobody left to tell."""
    with suppress(OSError):
        _print(line, sys.stderr)


def _print(text: str, stream: TextIO | None) -> None:
    """As `print` does, but in one write, so that a reader such as `head` gets all or goes away before it."""
    if stream is not None:  # as where a program is started without one
        stream.write(displayable(text, stream) + "\n")
        stream.flush()


@contextmanager
def warnings_told() -> Iterator[None]:
    """Prints each of the package's warnings as one line on standard error: for programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CustomBertWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **named: Any) -> None:
            if issubclass(category, CustomBertWarning):
                complain(f"warning: {message}")
            else:
                others(message, category, *where, **named)

        warnings.showwarning = show
        yield


def flush() -> None:
    """Hands to the system what was printed.

    Raises:
        WriteError: if the system refuses.
        BrokenPipeError: if the reader went away.
    """
    with _faults_told():
        if sys.stdout is not None:
            sys.stdout.flush()


def discard_output() -> None:
    """Has what is left to print go nowhere: for the end of a program whose output cannot be written."""
    with suppress(OSError, ValueError):  # of a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class DataOutput:
    """Standard output for what programs read: lines of UTF-8.

    A byte of a file's name that is no UTF-8, which Python holds as a surrogate, is that byte again. Lines
    wait in the stream's buffer until `flush`, or the end of the program. Where standard output was replaced
    by something that takes text, as in a notebook, it gets the text.
    """

    def __init__(self) -> None:
        flush()  # what was said before comes first
        self._stream = sys.stdout
        self._bytes = self._stream.buffer if isinstance(self._stream, io.TextIOWrapper) else None

    def line(self, text: str) -> None:
        """Writes a line.

        Raises:
            WriteError: if the system refuses.
            BrokenPipeError: if the reader went away.
        """
        with _faults_told():
            if self._bytes is None:
                _print(text, self._stream)
                return
            rest = memoryview(text.encode("utf-8", "surrogateescape") + b"\n")
            while rest:  # python -u has no buffer, and may write less than all
                rest = rest[self._bytes.write(rest) :]

    def flush(self) -> None:
        """Hands the lines to the system. Raises as `line` does."""
        with _faults_told():
            if self._stream is not None:
                self._stream.flush()


class _Screen(io.TextIOBase):
    """A stream that takes every text for another one, and writes what that can show."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's, by which libraries choose the lines of their frames."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream is a terminal, by which libraries choose colours."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's descriptor."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Writes the text as the stream can show it."""
        self._stream.write(displayable(text, self._stream))
        return len(text)

    def flush(self) -> None:
        """Hands to the system what was written."""
        self._stream.flush()


def screen() -> TextIO:
    """Standard output for libraries that print by themselves, to show what they print as `say` does."""
    return cast(TextIO, _Screen(sys.stdout))


def is_terminal() -> bool:
    """Whether standard output is a terminal, where a line can be written again and again."""
    isatty = getattr(sys.stdout, "isatty", None)  # there may be no output, or one of somebody's own making
    return bool(isatty and isatty())
