"""The mean of vectors as one more layer: transformers computes the same, and planted bugs are noticed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from custom_bert.batch import Batch
from custom_bert.model_files import bert
from custom_bert.model_files.families import FAMILIES
from custom_bert.model_files.tables import to_hugging_face
from custom_bert.models import heads
from custom_bert.models.heads import SequenceClassifier
from custom_bert.presets import EncoderConfig

transformers = pytest.importorskip("transformers")

from parity.test_pretrained import published  # noqa: E402 (it needs transformers too)

from custom_bert.model_files.pretrained import load_pretrained  # noqa: E402


def pair(folder: Path, family: str) -> tuple[SequenceClassifier, Any]:
    """Our classifier with mean_layer pooling and theirs with the same weights and one layer more."""
    published(folder, family, "ForSequenceClassification")
    encoder: EncoderConfig = dataclasses.replace(load_pretrained(folder).encoder, pooling="mean_layer")
    torch.manual_seed(1)
    ours = SequenceClassifier(encoder, 3).eval()
    table = FAMILIES[family]
    keys = {name: value for name, value in table.config(encoder, 3).items() if name != "model_type"}
    kind = {"bert": "Bert", "roberta": "Roberta"}[family]
    theirs = getattr(transformers, table.classifier)(getattr(transformers, f"{kind}Config")(**keys)).eval()
    assert table.pooling_layer is not None
    theirs.load_state_dict({**to_hugging_face(table, ours.state_dict()), **table.pooling_layer(encoder)})
    return ours, theirs


def difference(ours: SequenceClassifier, theirs: Any) -> float:
    """The largest difference between the logits, for texts of unequal lengths in one padded batch."""
    generator = np.random.Generator(np.random.PCG64(0))
    texts = [generator.integers(5, 40, size=length) for length in (2, 30, 9)]
    ids, mask = torch.full((3, 30), ours.config.pad_token_id), torch.zeros(3, 30, dtype=torch.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), 1
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=mask).logits
        return float((ours(Batch.build(texts)) - wanted).abs().max())


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_transformers_computes_the_same(tmp_path: Path, family: str) -> None:
    assert difference(*pair(tmp_path, family)) < 2e-6


def test_gradients_are_the_same(tmp_path: Path) -> None:
    ours, theirs = pair(tmp_path, "bert")
    ids = torch.arange(5, 17)
    ours(Batch.build([ids.numpy()])).sum().backward()
    theirs(input_ids=ids[None]).logits.sum().backward()
    mine = ours.encoder.layers[0].mlp.up.weight.grad
    wanted = theirs.bert.encoder.layer[0].intermediate.dense.weight.grad
    assert mine is not None and (mine - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("bug", ["weight", "padding", "norm"])
def test_bugs_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    if bug == "weight":
        monkeypatch.setattr(bert, "MEAN_WEIGHT", heads.MEAN_WEIGHT * 1.01)
    ours, theirs = pair(tmp_path, "bert")
    if bug == "padding":  # the mean over all rows of the longest text
        monkeypatch.setattr(heads, "mean_pool", lambda hidden_TD, layout: hidden_TD.mean(0).expand(3, -1))
    if bug == "norm":
        monkeypatch.setattr(heads, "mean_layer_pool", lambda x, layout, eps: heads.mean_pool(x, layout))
    assert difference(ours, theirs) > 1e-5
