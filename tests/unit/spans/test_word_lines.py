"""The sentences of a CoNLL file are read as texts to predict, with or without tags, block by block."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_bert.data import text as module
from custom_bert.errors import DataError
from custom_bert.spans.word_lines import WordLines

CONTENT = "-DOCSTART- O\n\nKim B-PER\nleft O\n\n\nNew York\tB-LOC\n\nalone\n"
TEXTS = ["Kim left", "New York", "alone"]
PLACES = [[(0, 3), (4, 8)], [(0, 8)], [(0, 5)]]


def read(path: Path) -> tuple[list[str], list[list[tuple[int, int]]]]:
    lines, texts, places = WordLines(path), [], []
    for block in lines.blocks():
        texts += block
        places += lines.places
    assert lines.num_lines == len(texts)
    return texts, places


@pytest.mark.parametrize("size", [1, 3, 7, 1 << 22])
def test_sentences_are_the_same_however_the_file_is_cut(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", size)
    for content in (CONTENT, CONTENT.replace("\n", "\r\n"), CONTENT.rstrip("\n"), f"{CONTENT}\n\n"):
        (tmp_path / "words.conll").write_bytes(content.encode())
        assert read(tmp_path / "words.conll") == (TEXTS, PLACES)


def test_an_empty_word_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "words.conll").write_text("Kim\tB-PER\n\tO\n")
    with pytest.raises(
        DataError, match=r"words\.conll:2: the first column is empty; write the word into it$"
    ):
        read(tmp_path / "words.conll")
