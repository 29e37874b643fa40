"""Which output goes with which input, and that packing the same gives the same bytes."""

from __future__ import annotations

import gzip
import sys
import time
from pathlib import Path

import pytest

from custom_bert.bulk.outputs import check_output, packed, packing
from custom_bert.errors import WriteError


@pytest.mark.parametrize(
    ("texts", "out", "json_lines"),
    [
        ("a.txt", "o.txt", False),
        ("a", "o.TXT.gz", False),
        ("a.txt.zst", "o.jsonl.zst", True),
        ("a.txt", "o.txt", True),
        ("a.csv.gz", "o.csv", False),
        ("a.csv", "o.csv.zst", False),
        ("a.ndjson", "o.jsonl", False),
        ("a.parquet", "o.parquet", False),
    ],
)
def test_these_outputs_go_with_these_inputs(tmp_path: Path, texts: str, out: str, json_lines: bool) -> None:
    check_output(texts, str(tmp_path / out), json_lines=json_lines)


KNOWN = ".txt, .csv, .tsv, .jsonl, .ndjson, .parquet, or .gz or .zst after it"
LINES = "lines of text are answered with lines, which are no table"


@pytest.mark.parametrize(
    ("texts", "out", "reason"),
    [
        (
            "a.csv",
            "o.jsonl",
            "the table is written as it is read, as CSV; give a name that ends with .csv, or",
        ),
        ("a.csv", "o.tsv", "the table is written as it is read, as CSV; give a name that ends with .csv, or"),
        (
            "a.parquet",
            "o.csv",
            "the table is written as it is read, as Parquet; give a name that ends with .pa",
        ),
        ("a.parquet", "o.parquet.gz", "Parquet packs its columns itself; give a name without .gz or .zst"),
        ("a.txt", "o.csv", f"{LINES}; give a name that ends with .txt, or with --json .jsonl"),
        (
            "a.txt",
            "o.jsonl",
            "lines of JSON are written with --json; give that, or a name that ends with .txt",
        ),
        ("a.txt", "o.xlsx", f"the ending '.xlsx' is unknown; expected one of {KNOWN}"),
        ("a.txt", "o", f"the ending '' is unknown; expected one of {KNOWN}"),
        ("a.txt", "no/o.txt", "there is no directory {tmp}/no; make it first"),
    ],
)
def test_others_are_refused_in_one_line(tmp_path: Path, texts: str, out: str, reason: str) -> None:
    with pytest.raises(WriteError) as refused:
        check_output(texts, str(tmp_path / out), json_lines=False)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / out}: " + reason.replace("{tmp}", str(tmp_path)))


def test_a_library_that_packs_and_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(WriteError, match=r"needs the zstandard library; pip install 'custom-bert\[zstd\]'"):
        check_output("a.txt", str(tmp_path / "o.txt.zst"), json_lines=False)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_the_same_content_is_packed_into_the_same_bytes_at_any_time(
    suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == ".zst":
        pytest.importorskip("zstandard")
    content = b"".join(b"line %d\n" % i for i in range(20_000))

    def written(size: int) -> bytes:
        found = bytearray()
        with packed(found.extend, suffix) as take:
            for start in range(0, len(content), size):
                take(content[start : start + size])
        return bytes(found)

    first = written(100)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert written(100) == first
    assert packing(f"o.txt{suffix}") == suffix
    if suffix == ".gz":
        assert gzip.decompress(first + first) == content * 2  # members one after the other are a file
        assert first[4:8] == b"\0\0\0\0"  # the time in the header
