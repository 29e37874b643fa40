"""A store holds exactly the ids of the file that was checked, or is built again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import SPECIALS, lines, sentences

from custom_bert.data import store as module
from custom_bert.data.cache import Cache
from custom_bert.data.store import TokenStore, open_store
from custom_bert.data.text import LineReader
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import from_vocab
from custom_bert.errors import DataError, WriteError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = from_vocab([*SPECIALS, *LETTERS, *("##" + letter for letter in LETTERS)], lowercase=True)
TEXTS = ["one two", "", "three", "漢字 unknown", "f o u r", "x" * 40]


def opened(
    tmp_path: Path,
    texts: list[str] = TEXTS,
    *,
    tokenizer: TextTokenizer = TOKENIZER,
    max_length: int = 16,
) -> TokenStore:
    path = tmp_path / "texts.txt"
    if not path.exists():
        path.write_bytes(lines(texts))
    sha256 = hashlib.sha256(lines(texts)).hexdigest()
    return open_store(
        LineReader(path), sha256, tokenizer, max_length=max_length, cache=Cache(tmp_path / "cache")
    )


def content(store: TokenStore) -> list[list[int]]:
    return [store[i].tolist() for i in range(len(store))]


def left_in_cache(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "tokens").iterdir())


@pytest.mark.parametrize("block", [16, 1 << 22])
def test_a_store_holds_what_the_tokenizer_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("custom_bert.data.text.BLOCK", block)
    texts = (TEXTS + sentences(500)) * 10  # more than one piece of 4,096
    store = opened(tmp_path, texts)
    encoded = TOKENIZER.encode(texts, 16)
    arrays, lost = encoded.sequences, encoded.lost_N
    assert content(store) == [ids.tolist() for ids in arrays]
    assert store.lengths_N.tolist() == [len(ids) for ids in arrays]
    assert len(store) == store.info.texts == len(texts)
    assert store.info.tokens == sum(map(len, arrays))
    assert store.info.truncated == int((lost > 0).sum()) > 0
    assert store.info.lost_tokens == int(lost.sum())
    unknown = TOKENIZER.backend.token_to_id("[UNK]")
    assert store.info.unknown.unknown == int(encoded.unknown_N.sum()) > 0
    assert store.info.unknown.characters == int(encoded.characters_N.sum())
    assert {row for row, ids in enumerate(arrays) if unknown in ids} == set(
        np.flatnonzero(encoded.unknown_N).tolist()
    )
    assert store[0].dtype == np.int64


def test_a_second_opening_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in first.directory.iterdir()}
    monkeypatch.setattr(module, "_build", lambda *rest: pytest.fail("built again"))
    second = opened(tmp_path)
    assert second.directory == first.directory and content(second) == content(first)
    assert {path.name: path.stat().st_mtime_ns for path in second.directory.iterdir()} == before


def test_other_texts_lengths_and_tokenizers_have_stores_of_their_own(tmp_path: Path) -> None:
    cased = from_vocab([*SPECIALS, *LETTERS], lowercase=False)
    directories = {
        opened(tmp_path).directory,
        opened(tmp_path, max_length=17).directory,
        opened(tmp_path, tokenizer=cased).directory,
    }
    (tmp_path / "texts.txt").unlink()
    directories.add(opened(tmp_path, [*TEXTS, "more"]).directory)
    assert len(directories) == 4


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [Path.unlink, shorten, lengthen, flip, empty])
@pytest.mark.parametrize("name", ["ids.bin", "offsets.bin", "store.json"])
def test_a_damaged_store_is_built_again(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    first = opened(tmp_path)
    expected, info = content(first), first.info
    damage(first.directory / name)
    again = opened(tmp_path)
    assert content(again) == expected and again.info == info
    assert left_in_cache(tmp_path) == [first.directory.name]
    assert not [path for path in first.directory.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("value", [3, [], {}, {"texts": 1}, None, {"bogus": 1}])
def test_a_description_of_another_kind_is_built_again(tmp_path: Path, value: object) -> None:
    first = opened(tmp_path)
    expected = content(first)
    (first.directory / "store.json").write_text(json.dumps(value))
    assert content(opened(tmp_path)) == expected


def test_a_flipped_bit_anywhere_in_a_description_is_noticed(tmp_path: Path) -> None:
    path = opened(tmp_path).directory / "store.json"
    raw = path.read_bytes()
    info = module._complete(path.parent)
    assert info is not None
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        path.write_bytes(bytes(changed))
        assert module._complete(path.parent) in (None, info)  # white space may change


def test_a_file_that_changed_since_it_was_checked_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_bytes(lines([*TEXTS, "one more"]))
    with pytest.raises(DataError) as raised:
        opened(tmp_path)
    assert str(raised.value) == f"{tmp_path}/texts.txt: the file changed while it was read; start again"
    assert left_in_cache(tmp_path) == []


def test_an_interrupted_build_leaves_nothing_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TOKENIZER, "encode", interrupt)
        opened(tmp_path)
    assert left_in_cache(tmp_path) == []
    assert len(opened(tmp_path)) == len(TEXTS)


def test_two_processes_that_build_the_same_store_both_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[TokenStore] = []
    real = TOKENIZER.encode

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(TOKENIZER, "encode", real)
        others.append(opened(tmp_path))
        return real(*arguments)

    monkeypatch.setattr(TOKENIZER, "encode", meanwhile)
    ours = opened(tmp_path)
    assert len(others) == 1 and ours.directory == others[0].directory
    assert content(ours) == content(others[0])
    assert left_in_cache(tmp_path) == [ours.directory.name]


@pytest.mark.parametrize(("entries", "dtype"), [(65_536, "<u2"), (65_537, "<u4")])
def test_ids_are_as_wide_as_the_vocabulary_needs(tmp_path: Path, entries: int, dtype: str) -> None:
    words = [f"w{i}" for i in range(entries - len(SPECIALS))]
    store = opened(tmp_path, [f"w0 {words[-1]}"], tokenizer=from_vocab([*SPECIALS, *words], lowercase=True))
    assert store.info.dtype == dtype
    assert store[0].tolist() == [2, 5, entries - 1, 3]
    assert (store.directory / "ids.bin").stat().st_size == 4 * int(dtype[-1])


def test_a_ten_megabyte_line_costs_nothing_special_and_counts_as_truncated(tmp_path: Path) -> None:
    texts = ["short", "word " * 2_000_000, "short"]
    (tmp_path / "texts.txt").write_bytes(lines(texts))
    started = time.process_time()
    store = opened(tmp_path, texts, max_length=128)
    assert time.process_time() - started < 1
    assert store.lengths_N.tolist() == [7, 128, 7]
    assert store.info.truncated == 1
    assert store.info.lost_tokens >= 1


def test_a_file_in_the_stores_place_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for path in store.directory.iterdir():
        path.unlink()
    store.directory.rmdir()
    store.directory.write_bytes(b"in the way")
    with pytest.raises(WriteError, match="cannot write: Not a directory \\(ENOTDIR\\)"):
        opened(tmp_path)


def test_ids_are_mapped_not_loaded(tmp_path: Path) -> None:
    store = opened(tmp_path)
    mapped = store._ids.base
    assert isinstance(mapped, np.memmap)
    assert os.path.samefile(str(mapped.filename), store.directory / "ids.bin")
