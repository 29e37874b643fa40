"""Where a file is missing, the message says what is there instead and what to do with it, in one line."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from data_files import data_config, read, read_config

from custom_bert.config import DataConfig
from custom_bert.data.absent import DATA_FILES
from custom_bert.data.reading import in_directory
from custom_bert.data.text import LineReader
from custom_bert.errors import DataError

TEXTS, LABELS = DATA_FILES[:2]
ROLES = "write texts, one a line, into train_dataset.txt, and the label of each into train_labels.txt"
TABLE = f"give such a table instead, or {ROLES}"


def fill(directory: Path, *names: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(b"x\n")
    return directory


def reason(directory: Path) -> str:
    with pytest.raises(DataError) as raised:
        read(directory)
    assert "\n" not in str(raised.value)
    return str(raised.value).replace(f"{directory}/", "").replace(str(directory), "DIR")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], f"{TEXTS}: no such file; the folder is empty: {ROLES}"),
        (["reviews.csv"], f"{TEXTS}: no such file; the folder holds 'reviews.csv': {TABLE}"),
        (["a.TSV"], f"{TEXTS}: no such file; the folder holds 'a.TSV': {TABLE}"),
        (
            [f"{i}.jsonl" for i in range(5)],
            f"{TEXTS}: no such file; the folder holds '0.jsonl', '1.jsonl', '2.jsonl' and 2 more: {TABLE}",
        ),
        (["a.parquet", "b.xlsx"], f"{TEXTS}: no such file; the folder holds 'a.parquet': {TABLE}"),
        (["a.csv.gz"], f"{TEXTS}: no such file; the folder holds 'a.csv.gz': {TABLE}"),
        (["b.xlsx"], f"{TEXTS}: no such file; the folder holds 'b.xlsx': {ROLES}"),
        (["a.md", "b.bin"], f"{TEXTS}: no such file; the folder holds 'a.md', 'b.bin': {ROLES}"),
        (
            ["train.txt", "dev.txt"],
            f"{TEXTS}: no such file; the folder holds 'dev.txt', 'train.txt': {ROLES}",
        ),
        (["all.zip"], f"{TEXTS}: no such file; the folder holds 'all.zip': unpack what you need"),
        (["all.tar.gz"], f"{TEXTS}: no such file; the folder holds 'all.tar.gz': unpack what you need"),
        (["train_data.txt", "train_label.txt"], f"{TEXTS}: no such file (did you mean 'train_data.txt'?)"),
        (["train_dataset"], f"{TEXTS}: no such file (did you mean 'train_dataset'?)"),
        (["Train_Dataset.TXT"], f"{TEXTS}: no such file (did you mean 'Train_Dataset.TXT'?)"),
        (["train_dataset.txt.txt"], f"{TEXTS}: no such file (did you mean 'train_dataset.txt.txt'?)"),
        (
            ["texts.txt", "labels.txt"],
            f"{TEXTS}: no such file; rename the file with the texts (is it 'texts.txt'?)",
        ),
        (
            ["dataset.txt", "x.txt", "test_texts.txt"],
            f"{TEXTS}: no such file; rename the file with the texts (is it 'dataset.txt' or 'x.txt'?)",
        ),
        (
            [TEXTS, "labels.txt", "train_texts.txt", "test_labels.txt"],
            f"{LABELS}: no such file; rename the file with the labels (is it 'labels.txt'?)",
        ),
        (
            [TEXTS, "y.txt"],
            f"{LABELS}: no such file; rename the file with the labels (is it 'y.txt'?)",
        ),
        ([TEXTS], f"{LABELS}: no such file; write into it the label of each line of {TEXTS}"),
        (
            [LABELS, "val_dataset.txt"],
            f"{TEXTS}: no such file; write into it the text of each line of {LABELS}",
        ),
        (
            [f"inner/{TEXTS}", f"inner/{LABELS}"],
            f"{TEXTS}: no such file, but there is inner/{TEXTS}; give that folder",
        ),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_the_message_says_what_the_folder_holds(tmp_path: Path, names: list[str], expected: str) -> None:
    assert reason(fill(tmp_path / "d", *names)) == expected


@pytest.mark.parametrize(
    ("end", "command"),
    [
        (".txt.gz", "gunzip -k {}"),
        (".gz", "gunzip -k {}"),
        (".txt.zst", "unzstd {}"),
        (".txt.xz", "unxz -k {}"),
        (".txt.bz2", "bunzip2 -k {}"),
        (".zip", "unzip {} -d DIR"),
        (".tar.gz", "tar xzf {} -C DIR"),
    ],
)
def test_a_packed_file_is_told_with_the_command_that_unpacks_it(
    tmp_path: Path, end: str, command: str
) -> None:
    packed = f"train_dataset{end}"
    found = reason(fill(tmp_path / "d", packed, "labels.txt"))
    assert found == f"{TEXTS}: no such file, but there is {packed!r}; unpack it: {command.format(packed)}"


@pytest.mark.skipif(shutil.which("gunzip") is None, reason="no gunzip")
def test_the_command_can_be_pasted(tmp_path: Path) -> None:
    import gzip

    folder = fill(tmp_path / "a folder", LABELS)
    (folder / f"{TEXTS}.gz").write_bytes(gzip.compress(b"x\n"))
    with pytest.raises(DataError) as raised:
        read(folder)
    subprocess.run(shlex.split(str(raised.value).partition("unpack it: ")[2]), check=True)
    assert (folder / TEXTS).read_bytes() == b"x\n"


def test_a_folder_that_is_missing_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    fill(tmp_path / "reviews")
    with pytest.raises(DataError) as raised:
        read(tmp_path / "reveiws")
    assert str(raised.value).endswith(
        f"there is no directory {tmp_path / 'reveiws'} (did you mean 'reviews'?)"
    )


def test_files_with_names_of_ones_own_are_told_by_the_nearest_name_alone(tmp_path: Path) -> None:
    fill(tmp_path, "reviews.txt", "table.csv", TEXTS)
    with pytest.raises(DataError, match=r"\(did you mean 'train_dataset.txt'\?\)"):
        LineReader(tmp_path / "train_datasets.txt")
    with pytest.raises(DataError) as raised:
        read_config(
            DataConfig(train_texts=str(tmp_path / "revews.txt"), train_labels=str(tmp_path / "l.txt"))
        )
    assert str(raised.value).endswith("revews.txt: no such file (did you mean 'reviews.txt'?)")
    with pytest.raises(DataError) as raised:
        LineReader(tmp_path / "other.txt")
    assert str(raised.value).endswith("other.txt: no such file")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (TEXTS, "is a file; give the folder that holds it, 'DIR'"),
        ("a.csv", f"is a file; give a folder: {ROLES.replace('write', 'write its', 1)}"),
        (
            "a.csv.gz",
            "is a file; give a folder: unpack it (gunzip -k DIR/a.csv.gz) and "
            f"{ROLES.replace('write', 'write its', 1)}",
        ),
    ],
)
def test_a_file_for_the_folder_is_told_what_a_folder_holds(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(DataError) as raised:
        in_directory(fill(tmp_path / "d", name) / name)
    assert raised.value.reason.replace(str(tmp_path / "d"), "DIR") == expected


def test_odd_names_stay_on_one_line_and_unreadable_folders_are_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for name in (b"a\nb.csv", b"\xff.csv", b"\x1b[31m.csv"):
        (folder / os.fsdecode(name)).write_bytes(b"")
    found = reason(folder)
    assert r"'a\nb.csv'" in found and found.isprintable()
    (tmp_path / "closed").mkdir(mode=0o300)
    fill(tmp_path / "closed")
    assert reason(tmp_path / "closed").startswith(f"{TEXTS}: no such file")


def test_the_names_are_those_of_the_configuration(tmp_path: Path) -> None:
    config = data_config(tmp_path)
    paths = (config.train_texts, config.train_labels, config.val_texts, config.val_labels)
    paths += (config.test_texts, config.test_labels)
    assert tuple(Path(path).name for path in paths) == DATA_FILES
