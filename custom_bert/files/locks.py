"""A lock on a directory, so that two processes do not train into the same one."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from custom_bert.errors import RunError
from custom_bert.files.system import as_write_error
from custom_bert.terminal import say

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""The errors by which flock reports that a file system has no locks."""


@contextmanager
def locked(
    directory: Path,
    occupation: str = "trains into it; wait for it, or choose another --out",
    *,
    warn: Callable[[str], None] = say,
) -> Iterator[None]:
    """Holds a directory for this process. The system releases it when the process ends, however it ends.

    Args:
        directory: an existing directory.
        occupation: for the message: what another process that holds the directory does, and the way out.
        warn: called with a line if the file system has no locks, as on some clusters. Nothing is held then.

    Raises:
        RunError: if another process holds it.
    """
    with as_write_error(directory):
        descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # between open and flock the directory may have been removed and made anew
            held = os.path.samestat(os.fstat(descriptor), os.stat(directory))
        except (BlockingIOError, FileNotFoundError):  # not found: its holder has removed it
            held = False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise RunError(f"{directory}: cannot be locked: {error.strerror}") from error
            warn(f"{directory}: this file system has no locks: see to it that no other process uses it")
            held = True
        if not held:
            raise RunError(f"{directory}: another process {occupation}")
        yield
    finally:
        os.close(descriptor)
