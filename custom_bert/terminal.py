"""Everything that the package prints goes through this module, so that no locale can make printing fail.

People read messages and tables (`say`, `complain`). If the stream's encoding lacks a character of them, other
characters are printed for it. Programs read labels, probabilities and JSON (`DataOutput`). These are UTF-8 in
every locale, like the files that they come from. Only the standard library is imported.
"""

from __future__ import annotations

import importlib
import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from custom_bert.errors import CustomBertWarning, WriteError, system_reason

ELLIPSIS = "…"
"""The character that shows where a label was cut."""

BAR = "█"
"""The character of which bars are made."""

STAND_INS = {ELLIPSIS: "...", BAR: "#"}
"""What is printed for a character that the encoding lacks. Any other character is printed as its escape, such
as `\\xe9`."""


def displayable(text: str, stream: TextIO | None = None) -> str:
    """Returns the text with escapes for the characters that a stream cannot write.

    Args:
        text: any text.
        stream: where it is to be written; None for standard output. A stream without an encoding, such as a
            notebook's or `io.StringIO`, can write every text.
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
    # the stream's own error handler comes first: the user may have set one (PYTHONIOENCODING), and
    # surrogateescape writes the bytes of a file name that is not UTF-8
    own_way = _has(character, encoding, errors)
    return character if own_way else character.encode("ascii", "backslashreplace").decode("ascii")


@contextmanager
def _naming_standard_output() -> Iterator[None]:
    """Turns a refusal of the system into a `WriteError` that names standard output.

    A BrokenPipeError stays what it is: the reader went away, and the program ends without a message.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"standard output: cannot write: {system_reason(error)}") from error


def say(text: str = "") -> None:
    """Prints lines for a person on standard output, and flushes them.

    Raises:
        WriteError: if the system refuses.
        BrokenPipeError: if the reader went away.
    """
    with _naming_standard_output():
        _print(text, sys.stdout)


def complain(line: str) -> None:
    """Prints a line for a person on standard error."""
    with suppress(OSError):  # there is no other place to report that standard error is gone
        _print(line, sys.stderr)


def _print(text: str, stream: TextIO | None) -> None:
    """Prints in a single write, so that a reader such as `head` cannot go away between text and line end."""
    if stream is not None:  # Python has none if the program was started without one
        stream.write(displayable(text, stream) + "\n")
        stream.flush()


@contextmanager
def warnings_printed() -> Iterator[None]:
    """Prints each warning of the package as one line on standard error, as a program needs it."""
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
    """Flushes standard output, so that the system has everything that was printed.

    Raises:
        WriteError: if the system refuses.
        BrokenPipeError: if the reader went away.
    """
    with _naming_standard_output():
        if sys.stdout is not None:
            sys.stdout.flush()


def discard_output() -> None:
    """Sends the rest of standard output nowhere.

    Python flushes standard output at its end, and would report an error if that cannot be written any more.
    """
    with suppress(OSError, ValueError):  # ValueError: the stream has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class DataOutput:
    """Standard output for what programs read: lines of UTF-8 in every locale.

    A byte of a file's name that is not UTF-8 is half of a surrogate pair in Python, and is written as that
    byte again. Lines wait in the stream's buffer until `flush`, or until the program ends. If standard output
    was replaced by something that takes text, as in a notebook, it gets the text.
    """

    def __init__(self) -> None:
        flush()  # lines are written below the text layer, whose buffer has to be empty first
        self._stream = sys.stdout
        self._bytes = self._stream.buffer if isinstance(self._stream, io.TextIOWrapper) else None

    def line(self, text: str) -> None:
        """Writes a line.

        Raises:
            WriteError: if the system refuses.
            BrokenPipeError: if the reader went away.
        """
        self.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def write(self, content: bytes) -> None:
        """Writes whole lines of UTF-8, and raises the same errors as `line`."""
        with _naming_standard_output():
            if self._bytes is None:
                _print(content.decode("utf-8", "surrogateescape").removesuffix("\n"), self._stream)
                return
            rest = memoryview(content)
            while rest:  # with python -u there is no buffer, and a write may take only a part
                rest = rest[self._bytes.write(rest) :]

    def flush(self) -> None:
        """Hands the lines to the system, and raises the same errors as `line`."""
        with _naming_standard_output():
            if self._stream is not None:
                self._stream.flush()


class StatusLine:
    """A line on standard error that says how far something is.

    Attributes:
        rewrites: whether it is a terminal, where each line is written over the one before.
    """

    def __init__(self) -> None:
        isatty = getattr(sys.stderr, "isatty", None)
        self.rewrites = bool(isatty and isatty())
        self._shown = False

    def show(self, line: str) -> None:
        """Shows a line; on a terminal in the place of the one before, and cut to its width."""
        self._shown = True
        if not self.rewrites:
            complain(line)
            return
        width = shutil.get_terminal_size().columns - 1
        with suppress(OSError):
            sys.stderr.write(f"\r{displayable(line, sys.stderr)[:width]:<{width}}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Removes the line from a terminal, so that another one can be printed."""
        if self.rewrites and self._shown:
            with suppress(OSError):
                sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
                sys.stderr.flush()

    def end(self, line: str) -> None:
        """Shows a last line that stays, if one was ever shown."""
        self.clear()
        if self._shown and line:
            complain(line)


class _Screen(io.TextIOBase):
    """A stream that passes every text on to another one, in characters that the other can write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The other stream's encoding. Libraries choose by it the characters of frames and bars."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Returns whether the other stream is a terminal. Libraries choose by it whether to use colours."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Returns the other stream's descriptor."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Writes the text with escapes for the characters that the other stream lacks."""
        self._stream.write(displayable(text, self._stream))
        return len(text)

    def flush(self) -> None:
        """Flushes the other stream."""
        self._stream.flush()


def screen() -> TextIO:
    """Returns standard output for libraries that print by themselves; it takes every character."""
    return cast(TextIO, _Screen(sys.stdout))


def asked(prompt: str) -> str:
    """Returns a line that a person types at the terminal, with the keys for editing that the system has.

    Raises:
        EOFError: at the end of the input, as after Ctrl-D.
        UnicodeDecodeError: if the line is not text in the terminal's encoding.
    """
    with suppress(ImportError):
        importlib.import_module("readline")  # its import is what makes arrow keys work
    return input(prompt)


def is_dialogue() -> bool:
    """Returns whether standard input and standard output are both a terminal, where somebody types."""
    isatty = getattr(sys.stdin, "isatty", None)
    return bool(isatty and isatty()) and is_terminal()


def shows_marks() -> bool:
    """Returns whether standard output shows bold and underlined text."""
    return is_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def columns(narrowest: int = 40, widest: int = 100) -> int:
    """Returns the number of columns of the terminal, within two bounds; 80 if there is no terminal."""
    return min(max(shutil.get_terminal_size().columns, narrowest), widest)


def is_terminal() -> bool:
    """Returns whether standard output is a terminal, where a line of progress can be overwritten."""
    isatty = getattr(sys.stdout, "isatty", None)  # it may be None, or an object that is hardly a stream
    return bool(isatty and isatty())
