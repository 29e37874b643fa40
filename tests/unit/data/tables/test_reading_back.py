"""What another program writes as a table is read back exactly, in bounded memory, with the right lines."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_bert.data.absent import READABLE_TABLES
from custom_bert.data.tables import batches, content, json_table, parquet_table
from custom_bert.data.tables.column import ColumnLines, SplitRows
from custom_bert.data.tables.formats import FORMATS, open_table
from custom_bert.errors import DataError

quiet = settings(deadline=None, derandomize=True, database=None, max_examples=60)

CELL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ODD = st.sampled_from(
    ['"', '""', ",", "\n", "\r", "\r\n", "a\nb", "\ufeff", "\u2028", " ", ";", "\t", "'", "\\"]
)
TABLE = st.lists(st.tuples(st.one_of(CELL, ODD), st.one_of(CELL, ODD)), min_size=1, max_size=12)
NAMES = ("text", "label")


@contextmanager
def in_small_parts() -> Iterator[None]:
    """Rows and bytes are read a few at a time, so that cells lie across the borders."""
    with (
        mock.patch.object(batches, "ROWS", 3),
        mock.patch.object(json_table, "ROWS", 3),
        mock.patch.object(content, "CHUNK", 7),
    ):
        yield


def write_csv(
    path: Path, rows: Sequence[Sequence[str]], separator: str = ",", encoding: str = "utf-8"
) -> Path:
    with path.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream, delimiter=separator).writerows([NAMES, *rows])
    return path


def write_json(path: Path, rows: Sequence[Sequence[str]], *, ascii_only: bool) -> Path:
    lines = [json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=ascii_only) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    columns = {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=max(5, len(rows) // 20))
    return path


def read(path: Path, encoding: str | None = None) -> list[tuple[str, str]]:
    with in_small_parts():
        table = open_table(path, encoding)
        columns = [ColumnLines(table, name, name) for name in NAMES]
        texts, labels = (list(itertools.chain.from_iterable(one.blocks())) for one in columns)
    return list(zip(texts, labels, strict=True))


@quiet
@given(
    rows=TABLE, separator=st.sampled_from(",;\t|"), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
def test_csv_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str, encoding: str
) -> None:
    name = "r.tsv" if separator == "\t" else "r.csv"
    path = write_csv(tmp_path_factory.mktemp("csv") / name, rows, separator, encoding)
    # a cell with a comma may make commas fit too, and then they are the separators of a .csv
    if separator in ",\t" or not any("," in cell for row in rows for cell in row):
        assert read(path, encoding if encoding == "utf-16" else None) == rows


@quiet
@given(rows=TABLE, ascii_only=st.booleans())
def test_json_lines_are_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], ascii_only: bool
) -> None:
    path = write_json(tmp_path_factory.mktemp("json") / "r.jsonl", rows, ascii_only=ascii_only)
    assert read(path) == rows


@quiet
@given(rows=TABLE)
def test_parquet_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    assert read(write_parquet(tmp_path_factory.mktemp("parquet") / "r.parquet", rows)) == rows


@quiet
@given(rows=TABLE)
def test_the_line_of_every_row_is_that_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    path = write_csv(folder / "r.csv", rows)
    with in_small_parts():
        column = ColumnLines(open_table(path), "label", "label")
        assert sum(map(len, column.blocks())) == len(rows)
    for i in range(len(rows)):
        before = write_csv(folder / "before.csv", rows[:i]).read_bytes().count(b"\n")
        assert column.where(i) == f"{path}:{before + 1}: row {i + 1}, column 'label'"


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_rows_of_one_split_keep_the_numbers_of_the_table(tmp_path: Path, name: str) -> None:
    rows = [(f"text {i}", f"label {i}") for i in range(10)]
    path = tmp_path / name
    {".csv": write_csv, ".parquet": write_parquet}.get(
        path.suffix, lambda path, rows: write_json(path, rows, ascii_only=True)
    )(path, rows)
    split = SplitRows("part", "val", np.array([1, 4, 8]))
    with in_small_parts():
        column = ColumnLines(open_table(path), "text", "text", split=split)
        assert list(itertools.chain.from_iterable(column.blocks())) == ["text 1", "text 4", "text 8"]
    assert column.numbers(np.array([0, 2])).tolist() == [2, 9]
    assert column.where(2).endswith(": row 9, column 'text'") and column.num_lines == 3
    assert column.name == f"{path}, column 'text', val rows"


def test_the_hash_covers_content_column_split_and_encoding(tmp_path: Path) -> None:
    rows = [("a", "x"), ("b", "y")]

    def sha(
        path: Path, column: str = "text", split: SplitRows | None = None, encoding: str | None = None
    ) -> str:
        lines = ColumnLines(open_table(path, encoding), column, column, split=split)
        list(lines.blocks())
        return lines.sha256

    path = write_csv(tmp_path / "r.csv", rows)
    first = SplitRows("part", "train", np.array([0, 1]))
    other = write_csv(tmp_path / "o.csv", [*rows, ("c", "x")])
    hashes = [
        sha(path),
        sha(path, "label"),
        sha(path, split=first),
        sha(path, split=SplitRows("part", "val", first.rows_N)),
        sha(path, encoding="cp1252"),
        sha(other),
    ]
    assert len(set(hashes)) == len(hashes)
    moved = tmp_path / "elsewhere.csv"
    moved.write_bytes(path.read_bytes())
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert sha(moved) == sha(tmp_path / "packed.csv.gz") == hashes[0]


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_a_table_that_changes_between_two_passes_is_refused(tmp_path: Path, name: str) -> None:
    def write(word: str) -> Path:
        rows = [(word, "x"), ("b", "y")]
        if name.endswith("jsonl"):
            return write_json(tmp_path / name, rows, ascii_only=True)
        return (write_csv if name.endswith("csv") else write_parquet)(tmp_path / name, rows)

    lines = ColumnLines(open_table(write("a")), "text", "text")
    list(lines.blocks())
    seen = lines.sha256
    list(lines.blocks(seen))
    write("c")
    with pytest.raises(DataError, match="the file changed while it was read; start again"):
        list(lines.blocks(seen))


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_memory_does_not_grow_with_the_table(tmp_path: Path, name: str) -> None:
    rows = [(f"{i} " + "word " * 200, f"{i % 3}") for i in range(12_000)]  # 12 MB
    if name.endswith("jsonl"):
        path = write_json(tmp_path / name, rows, ascii_only=True)
    else:
        path = (write_csv if name.endswith("csv") else write_parquet)(tmp_path / name, rows)
    del rows
    with (
        mock.patch.object(batches, "ROWS", 50),
        mock.patch.object(content, "CHUNK", 1 << 16),
        mock.patch.object(parquet_table, "ROWS", 50),
        mock.patch.object(parquet_table, "CHUNK", 1 << 16),
    ):
        lines = ColumnLines(open_table(path), "text", "text")
        tracemalloc.start()
        try:
            assert sum(map(len, lines.blocks())) == 12_000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 << 20


def test_a_long_cell_is_read_and_the_limit_of_the_process_stays(tmp_path: Path) -> None:
    long = "m" * 300_000
    limit = csv.field_size_limit()
    assert read(write_csv(tmp_path / "r.csv", [("a", "x"), (long, "y")]))[1] == (long, "y")
    assert csv.field_size_limit() == limit


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b'{"text": "\\ud83c", "label": "\\uD83C\\uDF89"}\n')
    assert read(tmp_path / "r.jsonl") == [("\ufffd", "\U0001f389")]


def test_every_ending_in_hints_is_one_that_is_read() -> None:
    assert tuple(FORMATS) == READABLE_TABLES


@pytest.mark.parametrize("library", ["zstandard", "pyarrow"])
def test_zstandard_is_unpacked_by_either_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    import zstandard

    rows = [("a", "x"), ("b", "y")]
    content = write_csv(tmp_path / "r.csv", rows).read_bytes()
    whole = zstandard.compress(content)
    (tmp_path / "r.csv.zst").write_bytes(whole)
    if library == "pyarrow":
        monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    assert read(tmp_path / "r.csv.zst") == rows
    (tmp_path / "r.csv.zst").write_bytes(whole[:-4])
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path / "r.csv.zst")


def test_parquet_with_other_bytes_than_utf_8_is_told_by_row(tmp_path: Path) -> None:
    texts = pyarrow.array([b"a", b"b", b"\xff"]).cast(pyarrow.string(), safe=False)
    pyarrow.parquet.write_table(
        pyarrow.table({"text": texts, "label": ["x", "y", "x"]}), tmp_path / "r.parquet"
    )
    with pytest.raises(DataError, match=r"r.parquet: row 3, column 'text': text that is not valid UTF-8"):
        read(tmp_path / "r.parquet")
