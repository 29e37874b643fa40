"""Unpacks .gz and .zst files while they are read."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from custom_bert.errors import DataError


def read_chunk(read: Callable[[int], bytes], size: int, path: Path) -> bytes:
    """Returns the next bytes of a file, about `size` of them; none at its end.

    Raises:
        DataError: if the system refuses, or packed data is damaged.
    """
    try:
        return read(size)
    except (OSError, EOFError, zlib.error) as error:  # a damaged .gz raises the latter two
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(str(path), f"cannot read: {reason}") from error


@contextmanager
def unpacked(stream: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Yields a stream of a file's content: unpacked if its name ends with .gz or .zst, otherwise as it is.

    Raises:
        DataError: if a .zst file is damaged, or the zstandard library is missing.
    """
    if path.suffix == ".gz":
        with gzip.GzipFile(fileobj=stream) as plain:
            yield plain  # type: ignore[misc]
    elif path.suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            if (stream := _by_pyarrow(stream)) is None:
                raise DataError(
                    str(path), "needs the zstandard library; pip install 'custom-bert[zstd]', or unpack it"
                ) from error
            with stream:
                yield stream
            return
        try:
            yield _Frames(stream, zstandard.ZstdDecompressor().decompressobj)  # type: ignore[misc]
        except zstandard.ZstdError as error:
            raise DataError(str(path), f"cannot read: {error}") from error
    else:
        yield stream


def _by_pyarrow(stream: BinaryIO) -> Any:
    """Returns a stream of the content of zstandard frames that pyarrow unpacks; None without pyarrow."""
    try:
        import pyarrow
    except ImportError:
        return None
    return pyarrow.CompressedInputStream(stream, "zstd")


class _Frames:
    """A stream of the content of zstandard frames. The library's own reader overlooks that a file is cut
    short.

    Args:
        stream: the packed bytes, one frame or several.
        frame: makes a decompressor for one frame.
    """

    def __init__(self, stream: BinaryIO, frame: Callable[[], Any]) -> None:
        self._stream, self._make, self._rest = stream, frame, b""
        self._frame: Any = None

    def read(self, size: int) -> bytes:
        """Returns at least `size` unpacked bytes, fewer before the end, none at it.

        Raises:
            EOFError: if the file ends inside a frame.
        """
        content = bytearray()
        while len(content) < size:
            packed = self._rest or self._stream.read(1 << 17)
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends in the middle; is it cut short?")
                break
            frame = self._frame or self._make()
            content += frame.decompress(packed)
            self._rest, self._frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        return bytes(content)
