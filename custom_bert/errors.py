"""The errors that a user can cause. Each is a line that says what is wrong, where, and what to do.

The command line prints `error: ...` without a traceback, and exits with the `exit_code` of the class, which
BSD's sysexits.h defines. A mistake in this package is an ordinary exception and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence


def first_line(error: BaseException) -> str:
    """Returns the first line of another library's error, or the name of its class if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def system_reason(error: OSError) -> str:
    """Returns why the system refused, with the name of its code: `No space left on device (ENOSPC)`."""
    code = errno.errorcode.get(error.errno or 0, "")
    return f"{error.strerror} ({code})" if error.strerror and code else str(error)


def shown(name: object) -> str:
    """Returns a value as Python writes it, for messages: on one line of at most 80 characters."""
    text = repr(name)
    if "\n" in text:  # arrays and tables are written on several lines
        text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


class CustomBertWarning(UserWarning):
    """Something that a caller should know about results. The command line prints it as one line."""


PACKAGE = os.path.dirname(__file__)
"""The directory of this package, by which `warn_caller` recognises its own code."""


def warn_caller(line: str) -> None:
    """Warns with `line`, and names the caller's line of code, the nearest one outside of this package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(line, CustomBertWarning, stacklevel=level)


class UserError(Exception):
    """A mistake that the user can correct. `str(error)` has one line for each fault."""

    exit_code = 64  # EX_USAGE


class ConfigError(UserError):
    """One or more faults in a configuration, all reported together.

    Args:
        faults: a line for each fault.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class DataError(UserError):
    """Input data that cannot be used.

    Args:
        where: `path`, or `path:line` with lines counted from 1.
        reason: what is wrong there, and what to do.
    """

    exit_code = 65  # EX_DATAERR

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}")


SUPPORTED = "WordPiece or byte-level BPE"
"""The kinds of tokenizers that are supported, which are those of BERT and of RoBERTa."""


class UnsupportedTokenizerError(DataError):
    """A tokenizer of a kind that is not supported. Its file need not be damaged.

    Args:
        where: the path of the tokenizer.
        kind: what kind of tokenizer it is.
        instead: what the user can do.
    """

    def __init__(self, where: str, kind: str, instead: str = f"take a tokenizer that is {SUPPORTED}") -> None:
        self.kind = kind
        super().__init__(where, f"{kind}, which is not supported; {instead}")


class RunError(UserError):
    """A run directory that is missing, incomplete, or belongs to another run."""

    exit_code = 66  # EX_NOINPUT


class NoPredictionsError(RunError):
    """A directory with an encoder that predicts nothing for texts. It may give vectors."""


class LibraryError(UserError):
    """A library that is needed and not installed."""

    exit_code = 69  # EX_UNAVAILABLE


class WriteError(UserError):
    """A file that could not be written. The message names the path and the reason of the system."""

    exit_code = 74  # EX_IOERR


class WorkerError(UserError):
    """A process that computes for this one has died, or could not go on.

    Args:
        message: what happened, in one line.
        exit_code: the exit code of the error that it had; None if it died without a word.
    """

    exit_code = 75  # EX_TEMPFAIL: the same command goes on

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


def nearest(word: str, known: Sequence[str]) -> str:
    """Returns the closest of the known words, in any case, or the empty string if none is close."""
    import difflib  # only errors need it, and it takes time to import

    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Returns ` (did you mean 'x'?)` with the closest of the known words; empty if none is close."""
    meant = nearest(word, known)
    return f" (did you mean {meant!r}?)" if meant else ""
