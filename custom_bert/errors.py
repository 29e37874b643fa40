"""Errors that a user can cause. Each is one line that says what is wrong, where, and what to do.

The command line prints `error: ...` without a traceback and exits with the class's `exit_code`, the
codes of BSD's sysexits.h. Errors of ours (a broken invariant) are ordinary exceptions and keep their
traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def system_reason(error: OSError) -> str:
    """Why the system refused, with the name of its code: `No space left on device (ENOSPC)`."""
    code = errno.errorcode.get(error.errno or 0, "")
    return f"{error.strerror} ({code})" if error.strerror and code else str(error)


def shown(name: object) -> str:
    """A value or name from somebody else, as Python writes it, on one line, at most 80 characters of it."""
    text = repr(name)
    if "\n" in text:  # an array's or a table's; in a string it is escaped
        text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


class CustomBertWarning(UserWarning):
    """Something about results that a caller should know. The command line prints it as one line."""


PACKAGE = os.path.dirname(__file__)


def warn_caller(line: str) -> None:
    """Warns of something at the line of code outside this package that led here."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(line, CustomBertWarning, stacklevel=level)


class UserError(Exception):
    """A mistake that the user can mend. `str(error)` is the message, one line for each fault."""

    exit_code = 64  # EX_USAGE


class ConfigError(UserError):
    """One or more faults in a configuration, all reported together.

    Args:
        faults: one line each.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class DataError(UserError):
    """Input data that cannot be used. `where` is `path` or `path:line` (lines count from 1)."""

    exit_code = 65  # EX_DATAERR

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}")


SUPPORTED = "WordPiece or byte-level BPE"
"""Tokenizers as BERT and RoBERTa have them."""


class UnsupportedTokenizerError(DataError):
    """A tokenizer that may be whole, of a kind that is not supported. `kind` says which."""

    def __init__(self, where: str, kind: str, instead: str = f"take a tokenizer that is {SUPPORTED}") -> None:
        self.kind = kind
        super().__init__(where, f"{kind}, which is not supported; {instead}")


class RunError(UserError):
    """A run directory that is missing, incomplete, or belongs to another run."""

    exit_code = 66  # EX_NOINPUT


class WriteError(UserError):
    """A file that could not be written; names the path and the system's reason."""

    exit_code = 74  # EX_IOERR


def nearest(word: str, known: Sequence[str]) -> str:
    """The closest of `known`, or the empty string when none is close."""
    import difflib

    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`" (did you mean 'x'?)"` for the closest of `known`, or nothing when none is close."""
    found = nearest(word, known)
    return f" (did you mean {found!r}?)" if found else ""
