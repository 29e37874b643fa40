"""An ONNX model computes what the run does: every task, every family, any batch size, any length.

`make onnx` exports every task from every family; `make test` a few of these, which have every part once.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
from onnx_models import FAMILIES, LONGEST, TASKS, encoder_of, write_run

from custom_bert import Classifier, Embedder
from custom_bert.data.text_pairs import paired
from custom_bert.data.unknown import UnknownText
from custom_bert.inference.exports.onnx import export_onnx
from custom_bert.onnx_model.description import read_onnx_description

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

Case = tuple[str, str, dict[str, Any]]

FEW: list[Case] = [
    ("bert", "classification", {"pairs": True}),
    ("custom with the mean", "multi_label", {"long_texts": "windows", "max_length": 16}),
    ("modern", "regression", {}),
    ("distilbert", "ordinal", {"long_texts": "head_tail"}),
    ("roberta", "masked_lm", {}),
    ("modern with the mean", "tokens", {"long_texts": "windows", "max_length": 16}),
]

EVERY: list[Case] = [
    *FEW,
    *((family, task, {}) for family in FAMILIES for task in TASKS),
    *((family, "soft_labels", {"pairs": True}) for family in FAMILIES),
    *((family, "regression", {"long_texts": "windows", "max_length": 12}) for family in FAMILIES),
    *((family, "tokens", {"long_texts": "windows", "max_length": 12}) for family in FAMILIES),
]

CASES = EVERY if os.environ.get("CUSTOM_BERT_TEST_ONNX") == "all" else FEW


@pytest.fixture(scope="module", params=CASES, ids=lambda case: " ".join(map(str, case)))
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Path]]:
    """A run and its export."""
    family, task, described = request.param
    folder = tmp_path_factory.mktemp("onnx")
    run = write_run(folder / "run", TASKS[task], encoder_of(family), **described)
    lines = export_onnx(run, folder / "out")
    assert "verified on random texts only" in lines[1]
    yield run, folder / "out"


def given(directory: Path, count: int, seed: int) -> list[str]:
    found = onnx_models.texts(count, seed)
    if not read_onnx_description(directory).pairs:
        return found
    return [paired(*both) for both in zip(found, reversed(found), strict=True)]


def predicts(directory: Path) -> bool:
    return read_onnx_description(directory).output == "logits"


@pytest.mark.parametrize("count", [7, 40])
def test_predictions_and_vectors_are_those_of_the_run(case: tuple[Path, Path], count: int) -> None:
    run, out = case
    texts = given(out, count, count)
    if not predicts(out):
        for pooling in ("mean", "cls"):
            ours, theirs = (Embedder.load(one).vectors for one in (run, out))
            found, wanted = (one.of(texts, pooling, LONGEST, UnknownText()) for one in (theirs, ours))
            assert np.abs(found - wanted).max() < 1e-4
        return
    ours, theirs = (Classifier.load(one) for one in (run, out))
    found, wanted = (
        side.decoder.probabilities(np.concatenate(list(side.scores.of(texts, UnknownText()))))
        for side in (theirs, ours)
    )
    values_NK = wanted if wanted.ndim == 2 else np.concatenate([one.values_UK for one in wanted])
    assert ours.decoder.apart(wanted, found).max() < 1e-5 and values_NK.std(axis=0).min() > 5e-4
    if ours.decoder.labels_units:
        assert ours.decoder.decided(wanted) == theirs.decoder.decided(found)
        assert sum(map(len, ours.decoder.decided(wanted))) > count
        return
    both = zip(
        ours.decoder.predictions(wanted, every=False),
        theirs.decoder.predictions(found, every=False),
        strict=True,
    )
    assert all(a.cells()[0] == b.cells()[0] or not ours.labels for a, b in both)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, LONGEST), (5, 2), (3, 29), (17, 11)])
def test_padding_of_any_length_and_any_id_changes_no_output(
    case: tuple[Path, Path], rows: int, length: int
) -> None:
    out = case[1]
    described = read_onnx_description(out)
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(rows * 100 + length)
    ids = draw.integers(0, 60, size=(rows, length))
    types = np.sort(draw.integers(0, 2, size=(rows, length)), axis=1)

    def computed(some: slice, width: int) -> np.ndarray:
        padded = [np.full((len(ids[some]), width), fill, dtype=np.int64) for fill in (7, 0, 1)]
        for whole, part in zip(padded, (ids, np.ones_like(ids), types), strict=True):
            whole[:, :length] = part[some]
        named = zip(("input_ids", "attention_mask", "token_type_ids"), padded, strict=True)
        (found,) = session.run(None, {name: one for name, one in named if name in described.inputs})
        return np.asarray(found if found.ndim == 2 else found[:, :length])

    wanted = computed(slice(None), length)
    assert np.abs(computed(slice(None), LONGEST) - wanted).max() < 1e-4
    for row in range(rows):
        assert np.abs(computed(slice(row, row + 1), min(LONGEST, length + 3)) - wanted[row]).max() < 1e-4
