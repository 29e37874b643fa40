"""Sample data: real paragraphs, aligned files, no give-aways, no class and no duplicate in both splits, and
a linear model that gets some way but not all of it."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from custom_bert.data import sample
from custom_bert.data.sample import AREAS, Example, divide, make_examples, write_sample_data
from custom_bert.errors import WriteError
from custom_bert.floor.linear import fit_classes

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("train_dataset.txt", "train_labels.txt", "val_dataset.txt", "val_labels.txt")
MODULES = {module.strip("_") for modules in AREAS.values() for module in modules.split()}
NOT_IN_EVERY_PYTHON = {"asynchat", "asyncore", "cgi", "mailcap", "nntplib", "smtpd", "telnetlib", "distutils"}


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return make_examples()


@pytest.fixture(scope="module")
def written(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sample") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "make_examples", lambda: examples)  # making them takes seconds
        report = write_sample_data(directory)
    assert report.train + report.val == len(examples) == sum(report.labels.values())
    return directory


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")[:-1]


def test_there_are_thousands_of_texts_in_seven_balanced_areas(examples: list[Example]) -> None:
    counts = Counter(one.area for one in examples)
    # some distributions package tkinter and idlelib, which most of one area comes from, apart from Python
    whole = find_spec("tkinter") and find_spec("idlelib")
    assert (3000 if whole else 2700) <= len(examples) <= 3600
    assert set(counts) == set(AREAS) and len(counts) == 7
    assert max(counts.values()) <= (2.2 if whole else 3) * min(counts.values())
    assert not NOT_IN_EVERY_PYTHON & MODULES


def test_texts_are_paragraphs_and_not_words(examples: list[Example]) -> None:
    lengths = [len(one.text.split()) for one in examples]
    assert min(lengths) >= 14 and max(lengths) <= 90 and 20 <= np.mean(lengths) <= 40
    assert all(one.text == " ".join(one.text.split()) and not one.text[0].islower() for one in examples)


def test_files_are_aligned_and_complete(written: Path, examples: list[Example]) -> None:
    found = []
    for split in ("train", "val"):
        texts, labels = lines(written / f"{split}_dataset.txt"), lines(written / f"{split}_labels.txt")
        assert len(texts) == len(labels)
        found += list(zip(texts, labels, strict=True))
    assert sorted(found) == sorted((one.text, one.area) for one in examples)


def test_no_name_of_a_module_or_of_an_area_and_no_code_gives_an_area_away(examples: list[Example]) -> None:
    stems = ("calculat", "concurren", "graphic", "internet", "markup", "storage", "storing", "stored", "test")
    for one in examples:
        words = set(re.findall(r"\w+", one.text.lower()))
        assert not words & (MODULES | set(AREAS)), one.text
        assert not [word for word in words if word.startswith(stems)], one.text
        assert not re.search(r"\w\.\w+\.\w|\w\(\)|[a-z]_[a-z]|[a-z][A-Z][a-z]", one.text), one.text


def test_no_class_no_docstring_and_no_two_classes_that_are_alike_are_in_both_splits(
    examples: list[Example],
) -> None:
    train, val = divide(examples)
    assert not {one.owner for one in train} & {one.owner for one in val}
    assert sorted([*train, *val], key=repr) == sorted(examples, key=repr)
    all_of, of_val = Counter(one.area for one in examples), Counter(one.area for one in val)
    owners = {area: {one.owner for one in val if one.area == area} for area in AREAS}
    for area in AREAS:
        assert 0.22 <= of_val[area] / all_of[area] <= 0.26
        assert len(owners[area]) >= 5  # an area is not measured on one class


def test_no_text_is_there_twice_or_nearly_in_both_splits(examples: list[Example]) -> None:
    assert len({one.text.lower() for one in examples}) == len(examples)
    train, val = divide(examples)

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return set(zip(*(words[start:] for start in range(5)), strict=False))

    holders: dict[tuple[str, ...], list[int]] = {}
    for index, one in enumerate(train):
        for run in runs(one.text):
            holders.setdefault(run, []).append(index)
    near = 0
    for one in val:
        of_it = runs(one.text)
        shared = Counter(index for run in of_it for index in holders.get(run, ()))
        near += any(count > 0.8 * len(of_it) for count in shared.values())
    assert near <= 0.01 * len(val)


def test_a_linear_model_gets_some_of_it_right_and_leaves_room(examples: list[Example]) -> None:
    train, val = divide(examples)
    areas = sorted(AREAS)
    train_ids, val_ids = (np.array([areas.index(one.area) for one in rows]) for rows in (train, val))
    floor = fit_classes([one.text for one in train], train_ids, len(areas), seed=0)
    accuracy = (floor.scores([one.text for one in val]).argmax(1) == val_ids).mean()
    assert 0.6 <= accuracy <= 0.9


def test_another_process_makes_the_same_from_sources_that_it_reads_and_never_imports(
    examples: list[Example], tmp_path: Path
) -> None:
    code = (
        "import hashlib, sys; from custom_bert.data import sample; before = set(sys.modules); "
        "print(hashlib.sha256(repr(sample.divide(sample.make_examples())).encode()).hexdigest()); "
        "print(sorted({'tkinter', 'turtle', 'idlelib', 'xmlrpc'} & (set(sys.modules) - before)))"
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
    assert out.split("\n")[:2] == [hashlib.sha256(repr(divide(examples)).encode()).hexdigest(), "[]"]


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_file_stops_everything(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sample, "make_examples", lambda: [Example("A text.", area, f"{area}.py:") for area in AREAS]
    )
    (tmp_path / name).write_text("mine")
    with pytest.raises(WriteError, match=f"{name}: exists already and is not overwritten"):
        write_sample_data(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
