"""Lines are split as the format says, whatever the bytes and wherever a block ends."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.data import text
from custom_bert.data.text import STANDARD_INPUT, LineReader
from custom_bert.errors import DataError

quiet = settings(deadline=None, derandomize=True, database=None)

ROOT = Path(__file__).resolve().parents[3]
BOM = b"\xef\xbb\xbf"
LINE_BREAKS_ELSEWHERE = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"
nasty_texts = st.text(
    st.sampled_from("\n\r" + LINE_BREAKS_ELSEWHERE + " \tabé你🙂\ufeff\u200d\u0301\x7f"), max_size=60
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


def specified(content: bytes) -> list[str]:
    """The specification, byte by byte: split at LF, strip one CR, decode strictly; a BOM is no text."""
    if content[:3] == BOM:
        content = content[3:]
    found, line = [], bytearray()
    for byte in content:
        if byte == 0x0A:
            found.append(line)
            line = bytearray()
        else:
            line.append(byte)
    if line:
        found.append(line)
    return [(one[:-1] if one[-1:] == b"\r" else one).decode("utf-8", "strict") for one in found]


def read(path: Path, content: bytes, block: int = text.BLOCK) -> list[str]:
    path.write_bytes(content)
    reader = LineReader(path)
    with mock.patch.object(text, "BLOCK", block):
        found = [line for block in reader.blocks() for line in block]
    assert reader.num_lines == len(found)
    assert reader.sha256 == hashlib.sha256(content).hexdigest()
    return found


def fault(path: Path, content: bytes, block: int = text.BLOCK) -> str:
    with pytest.raises(DataError) as raised:
        read(path, content, block)
    return str(raised.value).replace(f"{path}", "FILE")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text") / "file.txt"


@settings(quiet, max_examples=400)
@given(nasty_texts, st.sampled_from([4, 5, 7, 16, 1 << 22]), st.booleans())
def test_any_text_is_split_as_specified_wherever_blocks_end(
    path: Path, content: str, block: int, with_bom: bool
) -> None:
    raw = (BOM if with_bom else b"") + content.encode()
    expected = specified(raw)
    if not expected:
        assert fault(path, raw, block) == "FILE: the file is empty; expected one example a line"
    elif b"\n" not in raw and raw.count(b"\r") > 1:
        assert fault(path, raw, block) == "FILE:1: lines end with CR alone; convert them to LF"
    else:
        assert read(path, raw, block) == expected


@pytest.mark.parametrize("block", range(4, 40))
def test_lines_longer_than_a_block_and_characters_across_blocks_stay_whole(path: Path, block: int) -> None:
    lines = ["你好🙂" * 9, "", "é", "x" * 70, "終\u2028わり"]
    assert read(path, "\r\n".join(lines).encode(), block) == lines


@settings(quiet, max_examples=300)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r")), max_size=8),
    st.integers(0, 8),
    st.sampled_from([b"\xff", b"ab\xc3", b"\xe4\xbd", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]),
    st.sampled_from([4, 6, 9, 1 << 22]),
    st.booleans(),
)
def test_bytes_that_are_not_utf8_are_told_with_their_line(
    path: Path, lines: list[str], at: int, bad: bytes, block: int, ends: bool
) -> None:
    at = min(at, len(lines))
    raw = [line.encode() for line in lines]
    raw.insert(at, b"ok " + bad)
    message = fault(path, b"\n".join(raw) + (b"\n" if ends else b""), block)
    assert message.startswith(f"FILE:{at + 1}: not valid UTF-8 at byte ")


def test_an_invalid_byte_is_told_with_its_column_and_value(path: Path) -> None:
    assert fault(path, b"good\nna\xefve\n") == ("FILE:2: not valid UTF-8 at byte 3 (0xef); save it as UTF-8")


@pytest.mark.parametrize("block", [4, 8, 1 << 22])
def test_a_nul_byte_is_told_with_its_line(path: Path, block: int) -> None:
    message = "NUL byte; not plain text (if it is UTF-16, save it as UTF-8)"
    assert fault(path, b"one\ntwo\nthr\0ee\nfour\n", block) == f"FILE:3: {message}"
    assert fault(path, b"\0\n", block) == f"FILE:1: {message}"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("content", ["A fine film.\nNo.\n", "0\n1\n1\n0\n"])
def test_utf16_is_called_by_its_name(path: Path, encoding: str, content: str) -> None:
    name = encoding.upper()[:6]
    assert fault(path, content.encode(encoding)) == f"FILE:1: {name} text; save it as UTF-8"


def test_archives_are_called_by_their_names(path: Path) -> None:
    assert fault(path, b"\x1f\x8b\x08\x00abc") == "FILE:1: gzip data; unpack it first"
    assert fault(path, b"PK\x03\x04\x14\0") == (
        "FILE:1: a zip archive or an office document; save it as UTF-8 text"
    )


def test_a_file_that_ends_its_lines_with_cr_alone_is_refused_and_one_cr_in_a_line_is_not(path: Path) -> None:
    assert fault(path, b"one\rtwo\rthree\r") == "FILE:1: lines end with CR alone; convert them to LF"
    assert read(path, b"one\rtwo\rthree\n") == ["one\rtwo\rthree"]
    assert read(path, b"one\r\r\ntwo\n") == ["one\r", "two"]


def test_a_final_line_feed_ends_the_last_line_and_a_second_one_makes_an_empty_line(path: Path) -> None:
    assert read(path, b"a\nb") == read(path, b"a\nb\n") == ["a", "b"]
    assert read(path, b"a\nb\n\n") == ["a", "b", ""]
    assert read(path, b"\n") == [""]


def test_a_missing_file_a_directory_and_an_impossible_name_are_told_apart(tmp_path: Path) -> None:
    def message(path: Path | str) -> str:
        with pytest.raises(DataError) as raised:
            LineReader(path)
        return str(raised.value).replace(str(tmp_path), "DIR")

    assert message(tmp_path / "no.txt") == "DIR/no.txt: no such file"
    assert message(tmp_path / "x" / "no.txt") == "DIR/x/no.txt: no such file; there is no directory DIR/x"
    assert message(tmp_path) == "DIR: is a directory; expected a text file"
    assert message(tmp_path / ("n" * 300)).endswith("nnn: cannot read: File name too long")
    assert message("a\0b") == r"'a\x00b': cannot be a file name: embedded null byte"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert message(tmp_path / "loop") == "DIR/loop: cannot read: Too many levels of symbolic links"


def test_a_file_that_goes_away_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"a\n")
    reader = LineReader(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot read: No such file"):
        list(reader.blocks())
    path.mkdir()
    with pytest.raises(DataError, match="cannot read: Is a directory"):
        list(reader.blocks())


def test_reading_twice_gives_the_same_lines_and_hash(path: Path) -> None:
    path.write_bytes(b"a\r\nb\n")
    reader = LineReader(path)
    first = (list(reader.blocks()), reader.sha256, reader.num_lines)
    assert (list(reader.blocks()), reader.sha256, reader.num_lines) == first


def test_standard_input_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = open
    for content, expected in ((b"", []), (b"a\nb", ["a", "b"]), (BOM, [])):
        read_end, write_end = os.pipe()
        os.write(write_end, content)
        os.close(write_end)

        def open_input(file: int, mode: str, pipe: int = read_end) -> object:
            assert file == 0
            return real_open(pipe, mode)

        monkeypatch.setattr("builtins.open", open_input)
        reader = LineReader(STANDARD_INPUT)
        lines = [line for block in reader.blocks() for line in block]
        monkeypatch.undo()
        assert lines == expected


def test_memory_does_not_grow_with_the_file(path: Path) -> None:
    import tracemalloc

    path.write_bytes(b"a line of some text\n" * 400_000)  # 8 MB
    reader = LineReader(path)
    tracemalloc.start()
    with mock.patch.object(text, "BLOCK", 1 << 16):
        for _ in reader.blocks():
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.num_lines == 400_000
    assert peak < 1_500_000


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch) -> int:
    """The end of a pipe whose other end is standard input."""
    real_open = open
    reading, writing = os.pipe()
    monkeypatch.setattr("builtins.open", lambda file, mode: real_open(reading, mode))
    return writing


def test_a_line_of_standard_input_does_not_wait_for_the_next(writing: int) -> None:
    os.write(writing, BOM + b"one\ntw")
    blocks = LineReader(STANDARD_INPUT).blocks()
    assert next(blocks) == ["one"]
    os.write(writing, b"o\n")
    assert next(blocks) == ["two"]
    os.close(writing)
    assert list(blocks) == []


def test_a_line_of_a_named_pipe_does_not_wait_for_the_next_nor_for_the_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    answered = threading.Event()

    def write() -> None:
        time.sleep(0.2)  # the reader waits at the pipe
        with open(tmp_path / "pipe", "wb", buffering=0) as stream:
            stream.write(b"one\ntw")
            assert answered.wait(10)
            stream.write(b"o\n")

    thread = threading.Thread(target=write)
    thread.start()
    blocks = LineReader(tmp_path / "pipe").blocks()
    assert next(blocks) == ["one"]
    answered.set()
    assert list(blocks) == [["two"]]
    thread.join()


def pipe_of(content: bytes) -> int:
    """A pipe's descriptor, with all of its content written; /dev/fd/N names it, as the shell's <( ) does."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


@pytest.mark.parametrize(("content", "expected"), [(b"", []), (BOM, []), (b"a\nb", ["a", "b"])])
def test_a_pipe_is_read_once_and_may_be_empty(content: bytes, expected: list[str]) -> None:
    descriptor = pipe_of(content)
    reader = LineReader(f"/dev/fd/{descriptor}")
    assert [line for block in reader.blocks() for line in block] == expected
    assert reader.sha256 == hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match="is read several times, which no pipe or device allows"):
        next(reader.blocks())
    os.close(descriptor)


def test_what_can_be_read_once_is_told_before_it_is_read(path: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path.write_bytes(b"x\n")
    (tmp_path / "link").symlink_to(path)
    LineReader(path).check_repeatable()
    LineReader(tmp_path / "link").check_repeatable()
    for name in (STANDARD_INPUT, "/dev/fd/0", "/dev/null", str(tmp_path / "pipe")):
        with pytest.raises(DataError) as caught:
            LineReader(name).check_repeatable()
        assert str(caught.value) == (
            f"{name}: is read several times, which no pipe or device allows; write it to a regular file"
        )


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_may_be_a_socket_by_any_of_its_names(name: str) -> None:
    code = f"from custom_bert.data.text import LineReader; print(list(LineReader({name!r}).blocks()))"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"one\ntwo\n")
        ours.shutdown(socket.SHUT_WR)
        said = subprocess.check_output([sys.executable, "-c", code], stdin=theirs, cwd=ROOT)
    assert said == b"[['one', 'two']]\n"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a system without /dev/zero")
def test_a_device_that_never_ends_a_line_is_refused() -> None:
    with mock.patch.object(text, "BLOCK", 1 << 12), pytest.raises(DataError, match="/dev/zero:1: NUL byte"):
        list(LineReader("/dev/zero").blocks())


def test_a_byte_order_mark_in_two_pieces_is_none_of_the_text(writing: int) -> None:
    os.write(writing, BOM[:1])

    def the_rest() -> None:
        time.sleep(0.2)
        os.write(writing, BOM[1:] + b"x\n")
        os.close(writing)

    thread = threading.Thread(target=the_rest)
    thread.start()
    assert list(LineReader(STANDARD_INPUT).blocks()) == [["x"]]
    thread.join()
