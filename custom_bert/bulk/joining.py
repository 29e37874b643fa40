"""Puts the shards of an output together, when all of them are complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from custom_bert import files
from custom_bert.bulk.partial import WHOLE, Done, Partial, part_of
from custom_bert.data.tables.writing import join_parquet
from custom_bert.errors import RunError, WriteError

GROUP = 32
"""The number of shards whose rows are a row group of Parquet: 65,536 rows, unless their texts are long."""


def was_complete(out: Path) -> bool:
    """Returns whether an output was complete already when a process was killed; its folder is removed then.

    Raises:
        WriteError: if there is another file of that name.
    """
    if not out.exists():
        return False
    part = part_of(out)
    whole = part / WHOLE
    named = whole.exists() and whole.samefile(out)
    if not named and not (part.is_dir() and not any(part.iterdir())):
        raise WriteError(f"{out}: exists already and is not overwritten")
    _remove(part)
    return True


def join(partial: Partial, out: Path, shards: int) -> None:
    """Writes an output and removes the folder in which it grew.

    A kill leaves either no output or a complete one.

    Args:
        partial: the folder. All shards are complete.
        out: the output, which must not exist.
        shards: the number of shards.

    Raises:
        RunError: if a shard has not the bytes that were written.
        WriteError: if the system refuses, or the output exists by now.
    """
    ordered = [partial.done[index] for index in range(shards)]
    whole = partial.path / WHOLE
    with files.writing(whole) as sink:
        if out.suffix.lower() == ".parquet":
            contents = (b"".join(_checked(*one)) for one in ordered)
            join_parquet(contents, sink.write, GROUP)
        else:
            for done, path in ordered:
                for content in _checked(done, path):
                    sink.write(content)
    files.name_too(whole, out)
    partial.close()
    _remove(partial.path)


def _remove(part: Path) -> None:
    """Removes the folder of a complete output. `WHOLE` goes last, because it tells that the output is
    complete."""
    for folder in list(part.iterdir()):
        if folder.is_dir():
            files.remove_directory(folder)
    for path in sorted(part.iterdir()):
        if path.name != WHOLE:
            files.remove_file(path)
    files.remove_file(part / WHOLE)
    files.remove_if_empty(part)


def _checked(done: Done, path: Path) -> Iterator[bytes]:
    """Yields the bytes of a shard; raises RunError at the end if they are not those that were written."""
    digest = hashlib.sha256()
    try:
        with files.open_regular(path) as stream:
            while content := stream.read(1 << 20):
                digest.update(content)
                yield content
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    if digest.hexdigest() != done.sha256:
        raise RunError(
            f"{path}: damaged: its bytes are not those that were written; remove it, and the same command "
            f"labels its rows again"
        )
