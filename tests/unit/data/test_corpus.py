"""Running text: which files are read, what is a document, and what is wrong, with its line."""

import gzip
import json
import os
import random
from pathlib import Path

import pytest

from custom_bert.data import corpus as module
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import find_files, read_corpus
from custom_bert.data.text import LineReader
from custom_bert.errors import DataError

TEXT = "one two\nthree\n\nfour\n \nfive six\n"


def test_documents_end_at_blank_lines_and_at_the_end_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text("seven")
    corpus = read_corpus([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
    assert (corpus.documents, corpus.paragraphs) == (4, 5)
    assert corpus.characters == len("one twothreefour five sixseven")


def test_packed_files_hold_the_same_text(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed")
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    frames = [zstandard.ZstdCompressor().compress(part.encode()) for part in (TEXT[:7], TEXT[7:])]
    (tmp_path / "a.txt.zst").write_bytes(b"".join(frames))
    found = [read_corpus([str(tmp_path / name)]) for name in ("a.txt", "a.txt.gz", "a.txt.zst")]
    assert len({corpus.sha256 for corpus in found}) == 1
    assert len({corpus.documents for corpus in found}) == 1


def test_a_folder_gives_its_text_files_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "deep/a.txt", "c.txt.gz", "notes.md", "a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    names = [str(path.relative_to(tmp_path)) for path in find_files([str(tmp_path)])]
    assert names == ["b.txt", "c.txt.gz", "deep/a.txt"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("no.txt", None, "no.txt: no such file"),
        ("empty.txt", b"", "empty.txt: the file is empty"),
        ("blank.txt", b"\n \n\n", "blank.txt: no text; expected paragraphs, one a line"),
        ("latin.txt", b"one\ntwo\ncaf\xe9\n", "latin.txt:3: not valid UTF-8 at byte 4"),
        ("nul.txt", b"one\nt\0wo\n", "nul.txt:2: NUL byte"),
        ("torn.gz", gzip.compress(b"some text\n" * 100, mtime=0)[:-20], "torn.gz: cannot read: "),
        ("plain.gz", b"no gzip\n", "plain.gz: cannot read: "),
        ("packed.txt", gzip.compress(b"x\n", mtime=0), "packed.txt:1: gzip data; unpack it first"),
        ("packed2.txt", b"\x28\xb5\x2f\xfd\0\0\0", "packed2.txt:1: zstandard data; unpack it first"),
        ("plain.zst", b"no zstandard\n", "plain.zst: cannot read: "),
        ("torn.zst", None, "torn.zst: cannot read: it ends in the middle; is it cut short?"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if name.endswith(".zst"):
        zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed")
        if name == "torn.zst":
            whole = zstandard.ZstdCompressor().compress(random.Random(0).randbytes(300_000).hex().encode())
            content = whole[: len(whole) // 2]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_corpus([str(tmp_path / name)])
    assert str(caught.value).startswith(f"{tmp_path}/{told}") and "\n" not in str(caught.value)


def test_a_pipe_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_bytes(b"\0 no text")
    with pytest.raises(DataError) as caught:
        read_corpus([str(tmp_path / "a.txt"), str(tmp_path / "pipe.txt")])
    assert str(caught.value) == (
        f"{tmp_path}/pipe.txt: is read several times, which no pipe or device allows; "
        "write it to a regular file"
    )


def test_a_folder_without_text_and_a_file_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(DataError, match=r"the folder holds no \.txt"):
        read_corpus([str(tmp_path)])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="is given twice"):
        read_corpus([str(tmp_path), str(tmp_path / "a.txt")])


def test_an_empty_file_of_a_folder_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text("")
    corpus = read_corpus([str(tmp_path)])
    assert len(corpus.files) == 1 and corpus.warnings == (f"{tmp_path}/b.txt: is empty",)


def test_a_packed_file_of_nothing_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b""))
    corpus = read_corpus([str(tmp_path)])
    assert corpus.documents == 3 and corpus.warnings == (f"{tmp_path}/b.txt.gz: holds no text",)


def test_a_long_file_without_blank_lines_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n" * 20_000)
    (warning,) = read_corpus([str(tmp_path / "a.txt")]).warnings
    assert "20,000 lines and no blank one" in warning


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read to the end from now on."""
    read, blocks = [], LineReader.blocks

    def noted(self: LineReader) -> object:
        read.append(self.path.name)
        return blocks(self)

    monkeypatch.setattr(LineReader, "blocks", noted)
    return read


def test_a_file_that_was_checked_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED", -1)
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text("x\n" * 20_000)
    paths, cache = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], Cache(tmp_path / "cache")
    plain, read = read_corpus(paths), _reads(monkeypatch)
    first = read_corpus(paths, cache)
    assert read == ["a.txt", "b.txt"]
    assert read_corpus(paths, cache) == first == plain and len(first.warnings) == 1
    assert read == ["a.txt", "b.txt"]


@pytest.mark.parametrize("how", ["written again", "another put in its place"])
def test_a_file_that_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(module, "SETTLED", -1)
    path, cache = tmp_path / "a.txt", Cache(tmp_path / "cache")
    path.write_text(TEXT)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    first = read_corpus([str(path)], cache)
    if how == "written again":
        path.write_text(TEXT.replace("six", "SIX"))
    else:
        (tmp_path / "other").write_text(TEXT.replace("six", "SIX"))
        os.utime(tmp_path / "other", ns=times)
        os.replace(tmp_path / "other", path)
    os.utime(path, ns=times)  # of the same size and time
    assert read_corpus([str(path)], cache).sha256 != first.sha256


def test_a_file_that_was_just_written_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    read = _reads(monkeypatch)
    for _ in range(2):
        read_corpus([str(tmp_path / "a.txt")], Cache(tmp_path / "cache"))
    assert len(read) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"stamp": 1}', b'"'])
def test_a_damaged_note_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    monkeypatch.setattr(module, "SETTLED", -1)
    (tmp_path / "a.txt").write_text(TEXT)
    first = read_corpus([str(tmp_path / "a.txt")], Cache(tmp_path / "cache"))
    (note,) = (tmp_path / "cache" / module.CHECKED).glob("*.json")
    note.write_bytes(damage)
    assert read_corpus([str(tmp_path / "a.txt")], Cache(tmp_path / "cache")) == first
    assert len(note.read_bytes()) > 100  # written anew
    note.write_text(json.dumps({**json.loads(note.read_bytes()), "lines": "6"}))
    assert read_corpus([str(tmp_path / "a.txt")], Cache(tmp_path / "cache")) == first
