"""Which output goes with which input, and how a shard becomes bytes.

A table keeps its format, because its cells are kept as they are. Lines of text become lines, with a label and
a probability or a JSON object in each. Either may be packed, whatever the input was.
"""

from __future__ import annotations

import importlib.metadata
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from custom_bert.data.tables.formats import FORMATS, PACKED, ending, is_table
from custom_bert.data.tables.writing import Put, Writer
from custom_bert.errors import WriteError

if TYPE_CHECKING:
    from custom_bert.inference.predict_table import TableTexts

TEXT, OBJECTS = (".txt",), (".jsonl", ".ndjson")
"""The endings of files of lines: of any lines, and of those that are JSON objects."""

GZIP_LEVEL, ZSTANDARD_LEVEL = 6, 3
"""How much time is spent on packing. These are the usual levels of both."""

GZIP = 31
"""What tells zlib to write the format of gzip, with the largest window."""

PIECE = 1 << 16
"""The number of bytes that are packed and written at a time."""


def packing(path: str | Path) -> str:
    """Returns the ending of a packed file, .gz or .zst; "" for any other name."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in PACKED else ""


def check_output(texts: str, out: str, *, json_lines: bool) -> None:
    """Checks that predictions for a file can be written to a file of this name.

    Args:
        texts: the path of the input.
        out: the path of the output.
        json_lines: whether lines of text are answered with JSON objects.

    Raises:
        WriteError: if the endings do not fit, the directory is missing, or a library is.
    """
    wanted = _endings(texts, json_lines=json_lines)
    plain = Path(Path(out).stem if packing(out) else out).suffix.lower()
    if plain not in wanted or (packing(out) and plain == ".parquet"):
        raise WriteError(f"{out}: {_why_not(texts, plain, wanted, json_lines=json_lines)}")
    if not Path(out).parent.is_dir():
        raise WriteError(f"{out}: there is no directory {Path(out).parent}; make it first")
    if packing(out) == ".zst":
        try:
            import zstandard  # noqa: F401
        except ImportError as error:
            raise WriteError(
                f"{out}: needs the zstandard library; pip install 'custom-bert[zstd]', or write .gz"
            ) from error


def _endings(texts: str, *, json_lines: bool) -> tuple[str, ...]:
    """Returns the endings that an output may have, before that of a packed file."""
    if is_table(texts):
        kind = FORMATS[ending(texts)]
        return tuple(end for end, other in FORMATS.items() if other.reader is kind.reader)
    return (*TEXT, *OBJECTS) if json_lines else TEXT


def _why_not(texts: str, plain: str, wanted: tuple[str, ...], *, json_lines: bool) -> str:
    """Returns why an output cannot have an ending, and what to do."""
    known = (*TEXT, *FORMATS)
    if plain == ".parquet" and plain in wanted:
        return "Parquet packs its columns itself; give a name without .gz or .zst"
    if is_table(texts):
        kind = FORMATS[ending(texts)]
        more = ", or with .gz or .zst after it" if kind.packable else ""
        name = f"give a name that ends with {wanted[0]}{more}"
        return f"the table is written as it is read, as {kind.name}; {name}"
    if plain in OBJECTS and not json_lines:
        return f"lines of JSON are written with --json; give that, or a name that ends with {TEXT[0]}"
    if plain in known:
        return (
            f"lines of text are answered with lines, which are no table; give a name that ends with "
            f"{TEXT[0]}, or with --json {OBJECTS[0]}"
        )
    return f"the ending {plain!r} is unknown; expected one of {', '.join(known)}, or .gz or .zst after it"


class Answer(Protocol):
    """A prediction; see `tasks.parts.Prediction`."""

    def line(self) -> str:
        """Returns a line for people."""

    def as_dict(self) -> dict[str, Any]:
        """Returns an object for JSON."""

    def cells(self) -> tuple[str | float, ...]:
        """Returns the cells of new columns."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How predictions become bytes.

    Attributes:
        asked: the table and its columns; None for lines of text.
        json_lines: whether lines are JSON objects.
        packed: the ending of a packed file; "" for none.
    """

    asked: TableTexts | None
    json_lines: bool = False
    packed: str = ""

    def write(self, stored: list[Any], answers: Iterable[Answer], put: Put, *, first: bool) -> None:
        """Writes a shard.

        Args:
            stored: its rows as they are stored, in parts; empty for lines of text.
            answers: a prediction for each row.
            put: takes the next bytes.
            first: whether it is the first one, before which the header stands.
        """
        with packed(put, self.packed) as take:
            if self.asked is None:
                for answer in answers:
                    line = (
                        json.dumps(answer.as_dict(), ensure_ascii=False) if self.json_lines else answer.line()
                    )
                    take(line.encode("utf-8", "surrogateescape") + b"\n")
                return
            writer: Writer = FORMATS[ending(self.asked.table.path)].writer(
                self.asked.table, self.asked.names, take
            )
            if first:
                writer.begin()
            found = iter(answers)
            for part in stored:
                cells = [answer.cells() for answer in islice(found, len(part))]
                writer.add(part, tuple(zip(*cells, strict=True)))
            writer.close()


class Packer(Protocol):
    """Packs bytes, as zlib and zstandard do."""

    def compress(self, content: bytes, /) -> bytes:
        """Takes the next bytes, and returns packed ones as soon as there are any."""

    def flush(self) -> bytes:
        """Returns the rest."""


class _Unchanged:
    """Packs nothing."""

    def compress(self, content: bytes, /) -> bytes:
        """Returns the bytes."""
        return content

    def flush(self) -> bytes:
        """Returns nothing."""
        return b""


def packer(suffix: str) -> Packer:
    """Returns what packs a shard, as one member of a .gz or one frame of a .zst.

    Members and frames one after the other are a file. Neither holds a time or a name here, so that the same
    content gives the same bytes.

    Args:
        suffix: .gz or .zst; "" if nothing is packed.
    """
    if suffix == ".gz":
        return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
    if suffix == ".zst":
        import zstandard

        frame: Packer = zstandard.ZstdCompressor(ZSTANDARD_LEVEL).compressobj()
        return frame
    return _Unchanged()


@contextmanager
def packed(put: Put, suffix: str) -> Iterator[Put]:
    """Yields a function that takes bytes, and hands them on packed and in larger pieces."""
    pack, pending = packer(suffix), bytearray()

    def take(content: bytes) -> None:
        pending.extend(content)
        if len(pending) >= PIECE:
            put(pack.compress(bytes(pending)))
            pending.clear()

    yield take
    put(pack.compress(bytes(pending)) + pack.flush())


def versions(out: Path) -> dict[str, str]:
    """Returns the versions of what packs an output, since another one may give other bytes."""
    if out.suffix.lower() == ".parquet":
        return {"pyarrow": importlib.metadata.version("pyarrow")}
    if packing(out) == ".gz":
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}
    if packing(out) == ".zst":
        return {"zstandard": importlib.metadata.version("zstandard")}
    return {}
