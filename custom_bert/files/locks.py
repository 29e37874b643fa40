"""A lock on a directory, so that two processes do not train into it."""

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
"""What flock says where a file system has none."""


@contextmanager
def locked(
    directory: Path,
    occupation: str = "trains into it; wait for it, or choose another --out",
    *,
    warn: Callable[[str], None] = say,
) -> Iterator[None]:
    """Holds a directory for this process; the system lets go of it when the process ends, however it ends.

    Args:
        directory: that exists.
        occupation: what another process that holds it does, and the way out, for the message.
        warn: told where the file system has no locks, as some of clusters have none: then nothing is held.

    Raises:
        RunError: if another process holds it.
    """
    with as_write_error(directory):
        descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(descriptor), os.stat(directory))
        except (BlockingIOError, FileNotFoundError):  # or removed by one that had held it
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
