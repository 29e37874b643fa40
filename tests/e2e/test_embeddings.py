"""Embedder.load(DIR).embed(texts): in input order, whatever the company."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import write_run
from training_runs import examples

from custom_bert import Embedder
from custom_bert.errors import RunError
from custom_bert.model_files.native import load_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("embed") / "run")


TEXTS = ["cat", "a longer text about dogs", "", "zebra x", "cat"]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_in_input_order_and_independent_of_company(run: Path, pooling: Any) -> None:
    encoder = Embedder.load(run)
    together = encoder.embed(TEXTS, pooling=pooling, normalize=False)
    assert together.shape == (5, 8) and together.dtype == np.float32
    for text, vector in zip(TEXTS, together, strict=True):
        assert np.abs(encoder.embed([text], pooling=pooling, normalize=False)[0] - vector).max() < 1e-6
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_vectors_are_what_the_layers_give(run: Path) -> None:
    from custom_bert.batch import Batch

    checkpoint = load_model(run)
    (ids,) = checkpoint.tokenizer.encode(["some words"], 16).sequences
    with torch.no_grad():
        hidden_TD = checkpoint.model.encoder(Batch.build([ids])).numpy()
    encoder = Embedder.load(run)
    mean = encoder.embed(["some words"], normalize=False)[0]
    assert np.abs(mean - hidden_TD.mean(0)).max() < 1e-6
    first = encoder.embed(["some words"], pooling="cls", normalize=False)[0]
    assert np.abs(first - hidden_TD[0]).max() < 1e-6
    unit = encoder.embed(["some words"])[0]
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    assert np.abs(unit - mean / np.linalg.norm(mean)).max() < 1e-6


def test_embedding_leaves_the_encoder_in_evaluation_mode(run: Path) -> None:
    """Another thread may be computing with it."""
    encoder = Embedder.load(run)
    encoder.embed(["some words"])
    assert not any(module.training for module in encoder.vectors.model.modules())


def test_any_number_of_texts(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from custom_bert.inference import chunks

    encoder = Embedder.load(run)
    assert encoder.embed([]).shape == (0, 8)
    with pytest.raises(TypeError, match=r"write \[text\]"):
        encoder.embed("a text")
    texts, _ = examples(50)
    whole = encoder.embed(texts)
    monkeypatch.setattr(chunks, "CHUNK", 7)
    assert np.abs(encoder.embed(iter(texts)) - whole).max() < 1e-6


def test_lengths_beyond_the_positions(run: Path) -> None:
    assert Embedder.load(run, max_length=4000).max_length == 16
    long = "word " * 100
    short = Embedder.load(run, max_length=5)
    assert short.max_length == 5
    assert np.abs(short.embed([long]) - Embedder.load(run).embed([long])).max() > 1e-4


def test_a_directory_that_holds_no_encoder_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        Embedder.load(tmp_path)


def test_another_pooling_is_refused(run: Path) -> None:
    with pytest.raises(ValueError, match="pooling must be cls or mean, got 'max'"):
        Embedder.load(run).embed(["a"], pooling="max")  # type: ignore[arg-type]
