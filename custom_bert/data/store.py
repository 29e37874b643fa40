"""Token ids of labelled texts on disk, memory-mapped.

So texts larger than memory can be trained on, and a second run on them starts at once. A store is a directory
of raw little-endian arrays. Its name is the hash of everything that its content depends on. It is written
under a temporary name, and renamed when it is complete.

    ids.bin       every text's token ids, one after the other, uint16 or uint32
    offsets.bin   (N + 1) int64, where each text's ids start
    seconds.bin   (N,) int64, only of pairs: where the second text begins, counted from the pair's first id
    store.json    shape, type, truncation counts, and a hash of everything

`pieces.py` is the other kind of store, for running text.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from custom_bert import files
from custom_bert.config import LongTexts
from custom_bert.data.cache import Cache
from custom_bert.data.encoded import Frame
from custom_bert.data.lines import Lines
from custom_bert.data.tokenizer import CHARACTERS_PER_TOKEN, TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.data.windows import MAX_WINDOWS
from custom_bert.errors import WriteError
from custom_bert.ranges import joined_ranges

FORMAT = 3
"""Version of the files and of what is in them. It is part of a store's identity."""

ARRAYS = ("ids.bin", "offsets.bin", "seconds.bin")
"""The files of arrays. A store of single texts lacks the last one."""

FOLDER = "tokens"
"""The folder of the cache that holds the stores."""

GROUP = 4096
"""The number of lines that are tokenised at a time."""


@dataclass(frozen=True)
class StoreInfo:
    """The description of a store, which is kept in store.json.

    Attributes:
        texts: N, the number of texts.
        tokens: the number of tokens of all texts, after truncation.
        dtype: the type of the token ids, "<u2" or "<u4".
        truncated: the number of texts that lost tokens.
        lost_tokens: the number of tokens that they lost; a lower bound if a text was cut before tokenising.
        unknown: how much of the texts the vocabulary does not know.
        format: the version of the files.
        sha256: the SHA-256 hash of the arrays and of the other fields.
    """

    texts: int
    tokens: int
    dtype: str
    truncated: int
    lost_tokens: int
    unknown: UnknownText
    format: int = FORMAT
    sha256: str = ""


class TokenStore:
    """The tokenised lines of one file, by line index.

    Args:
        directory: the directory of a complete store.
        info: the description of the store.
        frame: the special tokens around each text or pair.

    Attributes:
        lengths_N: (N,) int64 the number of tokens of each text, special ones included.
    """

    def __init__(self, directory: Path, info: StoreInfo, frame: Frame) -> None:
        self.directory, self.info, self.frame = directory, info, frame
        # as a plain array, since a slice of a memmap takes ten times as long
        self._ids = np.asarray(np.memmap(directory / "ids.bin", dtype=info.dtype, mode="r"))
        self._offsets = np.fromfile(directory / "offsets.bin", dtype="<i8")
        self.lengths_N = np.diff(self._offsets)
        self._seconds_N = np.fromfile(directory / ARRAYS[-1], dtype="<i8") if frame.between else None

    def __len__(self) -> int:
        return self.info.texts

    def __getitem__(self, row: int) -> np.ndarray:
        """Returns (length,) int64 the token ids of text `row`, special tokens included."""
        ids = self._ids[self._offsets[row] : self._offsets[row + 1]]
        return np.asarray(ids, dtype=np.int64)

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Returns (L,) int64 the token ids of some texts, one text after the other."""
        places_L = joined_ranges(self.lengths_N[rows], self._offsets[rows])
        return np.asarray(self._ids[places_L], dtype=np.int64)

    def special(self, rows: np.ndarray) -> np.ndarray:
        """Returns (len(rows), S) the positions, ascending, of the special tokens in some of the texts."""
        return self.frame.special(self.lengths_N[rows], self.seconds(rows))

    def seconds(self, rows: np.ndarray) -> np.ndarray | None:
        """Returns (len(rows),) where the second text of some pairs begins; None where texts are single."""
        return None if self._seconds_N is None else np.asarray(self._seconds_N[rows])


def open_store(
    texts: Lines,
    texts_sha256: str,
    tokenizer: TextTokenizer,
    *,
    max_length: int,
    long_texts: LongTexts = "head",
    cache: Cache,
) -> TokenStore:
    """Returns the store of a file's texts, from the cache if an earlier run made it.

    Args:
        texts: the lines of the file.
        texts_sha256: the hash of their content when it was checked.
        tokenizer: turns lines into ids.
        max_length: the largest number of tokens that are kept of each text, or of each window.
        long_texts: which tokens of a longer text are kept.
        cache: keeps the stores.

    Raises:
        DataError: if the file has changed since it was checked.
        WriteError: if no place of the cache can be written.
    """
    identity = f"{FORMAT} {CHARACTERS_PER_TOKEN} {texts_sha256} {tokenizer.sha256} {max_length}"
    if long_texts != "head":
        identity += f" {long_texts}"
    if long_texts == "windows":
        identity += f" {MAX_WINDOWS}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]

    def known(root: Path) -> TokenStore | None:
        info = _complete(root / FOLDER / name)
        return None if info is None else TokenStore(root / FOLDER / name, info, tokenizer.frame)

    def build(root: Path) -> TokenStore:
        directory = cache.folder(root, FOLDER) / name
        info = _build(directory, texts, texts_sha256, tokenizer, max_length, long_texts)
        return TokenStore(directory, info, tokenizer.frame)

    return cache.get(known, build)


def _complete(directory: Path) -> StoreInfo | None:
    """Returns the description of a store whose files are as they were written; None if anything differs."""
    try:
        value = json.loads((directory / "store.json").read_text(encoding="utf-8"))
        info = StoreInfo(**{**value, "unknown": UnknownText(**value["unknown"])})
        return info if info.format == FORMAT and info.sha256 == _digest(directory, info) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _digest(directory: Path, info: StoreInfo) -> str:
    """Returns the hash of the arrays on disk and of the description."""
    arrays = []
    for name in ARRAYS:
        if name == ARRAYS[-1] and not (directory / name).exists():
            continue  # texts are single, or else the hash of everything is another
        with files.open_regular(directory / name) as stream:
            arrays.append(files.sha256_of(stream))
    return _digest_of(arrays, info)


def _digest_of(arrays: list[str], info: StoreInfo) -> str:
    """Returns the hash of the arrays' hashes and of the description."""
    counts = asdict(replace(info, sha256=""))
    return hashlib.sha256(json.dumps([arrays, counts], sort_keys=True).encode()).hexdigest()


def _build(
    directory: Path,
    texts: Lines,
    texts_sha256: str,
    tokenizer: TextTokenizer,
    max_length: int,
    long_texts: LongTexts,
) -> StoreInfo:
    """Tokenises the texts and writes their store, block by block, so that memory does not grow with the file.

    Raises:
        DataError: if the file has changed since it was checked.
        WriteError: if the system refuses, unless another process has written the same store meanwhile.
    """
    dtype = "<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4"
    if directory.exists() and _complete(directory) is None:
        files.remove_directory(directory)  # it is damaged, and would be in the way of the new one
    try:
        with files.new_directory(directory) as folder:
            lengths, truncated, lost_tokens = [np.zeros(1, dtype=np.int64)], 0, 0
            seconds: list[np.ndarray] = []
            unknown = UnknownText()
            with files.creating(folder / "ids.bin") as ids_file:
                for block in texts.blocks(texts_sha256):
                    for start in range(0, len(block), GROUP):
                        encoded = tokenizer.encode(block[start : start + GROUP], max_length, long_texts)
                        ids_file.write(np.concatenate(encoded.sequences).astype(dtype).tobytes())
                        lengths.append(encoded.lengths_N)
                        if encoded.seconds_N is not None:
                            seconds.append(encoded.seconds_N)
                        truncated += int((encoded.lost_N > 0).sum())
                        lost_tokens += int(encoded.lost_N.sum())
                        unknown.add(encoded)
            offsets, written = np.cumsum(np.concatenate(lengths)), [ids_file.sha256]
            for name, parts in zip(ARRAYS[1:], ([offsets], seconds), strict=True):
                if parts:
                    with files.creating(folder / name) as sink:
                        sink.write(np.concatenate(parts).astype("<i8").tobytes())
                    written.append(sink.sha256)
            info = StoreInfo(len(offsets) - 1, int(offsets[-1]), dtype, truncated, lost_tokens, unknown)
            info = replace(info, sha256=_digest_of(written, info))
            with files.creating(folder / "store.json") as sink:
                sink.write(json.dumps(asdict(info), indent=2).encode() + b"\n")
    except WriteError:
        # another process may have written the same store meanwhile, and the new one cannot replace it
        existing = _complete(directory)
        if existing is None:
            raise
        return existing
    return info
