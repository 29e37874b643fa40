"""A stored floor scores as the fitted one did, and damage is one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_runs import examples

from custom_bert.errors import RunError
from custom_bert.floor.linear import Floor, fit_classes
from custom_bert.floor.storage import FOLDER, has_floor, read_floor, write_floor

TEXTS, LABELS = examples(90)
IDS_N = np.array([sorted(set(LABELS)).index(label) for label in LABELS])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Floor]:
    path, floor = tmp_path_factory.mktemp("run"), fit_classes(TEXTS, IDS_N, 3, seed=0)
    write_floor(path, floor)
    return path, floor


def copied(run: Path, target: Path) -> Path:
    folder = target / FOLDER
    folder.mkdir(parents=True)
    for path in (run / FOLDER).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_it_scores_as_before(run: tuple[Path, Floor]) -> None:
    path, floor = run
    texts = [*TEXTS[:20], "", "völlig neue Wörter 雪"]
    assert has_floor(path) and not has_floor(path / "nowhere")
    assert np.array_equal(read_floor(path, 3, sets=False).scores(texts), floor.scores(texts))


def test_an_earlier_attempt_is_replaced(run: tuple[Path, Floor], tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "litter").write_text("x")
    write_floor(tmp_path, run[1])
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["floor.json", "floor.safetensors"]


def test_thresholds_are_stored(run: tuple[Path, Floor], tmp_path: Path) -> None:
    floor = run[1]
    thresholds_C = np.array([0.1, 0.2, 1.0], dtype=np.float32)
    write_floor(tmp_path, Floor(floor.ngrams, floor.weights_FC, floor.bias_C, 2.0, 0.5, thresholds_C))
    found = read_floor(tmp_path, 3, sets=True)
    assert (
        found.thresholds_C is not None and found.thresholds_C.tolist() == np.float32([0.1, 0.2, 1]).tolist()
    )
    with pytest.raises(RunError, match="unknown tensor thresholds"):
        read_floor(tmp_path, 3, sets=False)
    with pytest.raises(RunError, match="damaged: 'thresholds'"):
        read_floor(run[0], 3, sets=True)


def test_another_number_of_classes_is_refused(run: tuple[Path, Floor]) -> None:
    with pytest.raises(RunError, match=r"floor\.json: damaged: weights is not float32"):
        read_floor(run[0], 4, sets=False)


@pytest.mark.parametrize("name", ["floor.json", "floor.safetensors"])
def test_a_missing_file_and_a_link_are_one_line(run: tuple[Path, Floor], tmp_path: Path, name: str) -> None:
    folder = copied(run[0], tmp_path)
    (folder / name).unlink()
    with pytest.raises(RunError, match="no such file; the run has no floor"):
        read_floor(tmp_path, 3, sets=False)
    (folder / name).symlink_to(run[0] / FOLDER / name)
    with pytest.raises(RunError, match="cannot read"):
        read_floor(tmp_path, 3, sets=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "custom-bert-floor/9"),
        ("scale", "x"),
        ("scale", None),
        ("scale", 1e999),
        ("offset", [1]),
        ("ngrams", 3),
        ("ngrams", [{"kind": "words", "terms": ["a", "a"]}]),
        ("ngrams", [{"kind": "words", "terms": [1]}]),
        ("ngrams", [{"kind": "pickle", "terms": []}]),
        ("ngrams", []),
        ("sha256", "0" * 64),
        ("more", 1),
    ],
)
def test_a_changed_description_is_refused_in_one_line(
    run: tuple[Path, Floor], tmp_path: Path, key: str, value: object
) -> None:
    folder = copied(run[0], tmp_path)
    described = json.loads((folder / "floor.json").read_text())
    (folder / "floor.json").write_text(json.dumps(described | {key: value}))
    with pytest.raises(RunError, match=r"floor\.json: damaged: ") as refused:
        read_floor(tmp_path, 3, sets=False)
    assert "\n" not in str(refused.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255), st.sampled_from(["floor.json", "floor.safetensors"]))
def test_a_changed_byte_is_noticed_or_harmless(
    run: tuple[Path, Floor], tmp_path_factory: pytest.TempPathFactory, place: int, flip: int, name: str
) -> None:
    folder = copied(run[0], tmp_path_factory.mktemp("damaged"))
    content = bytearray((folder / name).read_bytes())
    content[place % len(content)] ^= flip
    (folder / name).write_bytes(content)
    try:
        read_floor(folder.parent, 3, sets=False)
    except RunError as refused:
        assert "\n" not in str(refused)
    else:
        assert name == "floor.json"  # as a letter of an n-gram; weights never
