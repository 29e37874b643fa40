"""Sample data: real sentences, aligned files, no give-aways, no duplicates across the splits."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from custom_bert.data import sample
from custom_bert.data.sample import AREAS, make_examples, write_sample_data
from custom_bert.errors import WriteError

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("train_dataset.txt", "train_labels.txt", "val_dataset.txt", "val_labels.txt")


@pytest.fixture(scope="module")
def examples() -> list[tuple[str, str]]:
    return make_examples()


@pytest.fixture(scope="module")
def written(examples: list, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "make_examples", lambda: examples)  # making them takes seconds
        write_sample_data(directory)
    return directory


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")[:-1]


def test_there_are_thousands_of_sentences_in_eight_to_twelve_balanced_areas(examples: list) -> None:
    counts = Counter(label for _, label in examples)
    assert len(examples) >= 3000 and 8 <= len(counts) <= 12
    assert min(counts.values()) >= 150 and max(counts.values()) <= 4 * min(counts.values())


def test_files_are_aligned_and_complete(written: Path, examples: list) -> None:
    found = []
    for split in ("train", "val"):
        texts, labels = lines(written / f"{split}_dataset.txt"), lines(written / f"{split}_labels.txt")
        assert len(texts) == len(labels)
        found += list(zip(texts, labels, strict=True))
    assert sorted(found) == sorted(examples)


def test_no_module_name_gives_an_area_away(examples: list) -> None:
    modules = {m for names in AREAS.values() for m in names.split() if len(m) > 2} - sample.ORDINARY
    for text, _ in examples:
        words = {word.strip(".,;:!?()'\"").lower() for word in text.split()}
        assert not words & modules, text
        assert not re.search(r"\w\.\w+\.\w|\w\(\)|[a-z]_[a-z]", text), text


def test_no_sentence_begins_as_another_does(examples: list) -> None:
    starts = Counter(sample._start(text) for text, _ in examples)
    assert max(starts.values()) == 1


def test_another_process_makes_the_same_from_sources_that_it_reads_and_never_imports(
    examples: list, tmp_path: Path
) -> None:
    code = (
        "import hashlib, sys; from custom_bert.data import sample; before = set(sys.modules); "
        "print(hashlib.sha256(repr(sample.make_examples()).encode()).hexdigest()); "
        "print(sorted({'tkinter', 'turtle', 'idlelib', 'telnetlib'} & (set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "99", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    out = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    ).stdout
    assert out.split("\n")[:2] == [hashlib.sha256(repr(examples).encode()).hexdigest(), "[]"]


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_file_stops_everything(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "make_examples", lambda: [("A text.", area) for area in AREAS])
    (tmp_path / name).write_text("mine")
    with pytest.raises(WriteError, match=f"{name}: exists already and is not overwritten"):
        write_sample_data(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
