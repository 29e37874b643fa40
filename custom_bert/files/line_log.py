"""A file that grows line by line, such as the log of a run's metrics."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from custom_bert.files import system
from custom_bert.files.system import as_write_error, write_all


class LineLog:
    """A file to which JSON objects are appended, one a line. Nothing is buffered in the process.

    Args:
        path: the file. It is created, or cut to `keep` bytes if it exists.
        keep: how many bytes of an existing file stay. A run that continues drops the lines that it wrote
            after its checkpoint.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self.path = path
        self._descriptor = -1
        with as_write_error(path):
            descriptor = system.current.open(path, os.O_WRONLY | os.O_CREAT)
            try:
                self.size = min(keep, os.fstat(descriptor).st_size)
                system.current.truncate(descriptor, self.size)
                os.lseek(descriptor, self.size, os.SEEK_SET)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor

    def write(self, record: dict[str, Any]) -> None:
        """Appends one object as a line.

        Raises:
            WriteError: if the system refuses.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with as_write_error(self.path):
            write_all(self._descriptor, memoryview(line))
        self.size += len(line)

    def sync(self) -> None:
        """Flushes the lines written so far to the disk."""
        with as_write_error(self.path):
            system.current.fsync(self._descriptor)

    def close(self) -> None:
        """Flushes the file to the disk and closes it. A second call does nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with as_write_error(self.path):
                try:
                    system.current.fsync(descriptor)
                finally:
                    system.current.close(descriptor)
