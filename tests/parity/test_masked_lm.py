"""Masked language models of every family: logits and gradients are transformers'; every byte comes back."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from custom_bert.batch import Batch, Targets
from custom_bert.errors import RunError
from custom_bert.model_files.families import FAMILIES, family_of
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.model_files.tables import masked_to_hugging_face
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.models.outline import language_model_from
from custom_bert.tasks.masked_lm import MaskedLanguageModelling

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.comparison import same_logits_and_gradients  # noqa: E402
from parity.test_pretrained import MODELS, published  # noqa: E402


def ours(folder: Path) -> MaskedLanguageModel:
    found = load_pretrained(folder, MaskedLanguageModelling)
    return language_model_from(found.encoder, dict(found.state)).eval()


def batch_of(sequences: list[np.ndarray], rows: list[int]) -> Batch:
    import dataclasses

    batch = Batch.build(sequences)
    at = torch.tensor(rows)
    return dataclasses.replace(batch, targets=Targets(batch.input_ids_T[at], at))


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("family", MODELS)
def test_logits_and_gradients_are_transformers(family: str, activation: str, tmp_path: Path) -> None:
    key = {"distilbert": "activation", "modernbert": "hidden_activation"}.get(family, "hidden_act")
    theirs = published(tmp_path, family, "ForMaskedLM", **{key: activation})
    if activation == "relu":  # the class read its configuration before it was changed
        theirs = getattr(transformers, f"{MODELS[family][0]}ForMaskedLM").from_pretrained(tmp_path).eval()
    model, generator = ours(tmp_path), np.random.Generator(np.random.PCG64(0))
    to_theirs = partial(masked_to_hugging_face, FAMILIES[family])
    same_logits_and_gradients(model, theirs, generator, batch_of, to_theirs)


@pytest.mark.parametrize("family", MODELS)
def test_every_byte_comes_back(family: str, tmp_path: Path) -> None:
    published(tmp_path, family, "ForMaskedLM")
    stored = load_file(tmp_path / "model.safetensors")
    model = ours(tmp_path)
    assert family_of(model.encoder.config) is FAMILIES[family]
    back = masked_to_hugging_face(FAMILIES[family], model.state_dict())
    assert set(stored) - set(back) <= set(FAMILIES[family].masked.tied)
    for name, tensor in back.items():
        assert torch.equal(tensor, stored[name]), name


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
def test_without_a_prediction_head_one_is_drawn_and_told(head: str, tmp_path: Path) -> None:
    published(tmp_path, "bert", head)
    found = load_pretrained(tmp_path, MaskedLanguageModelling)
    assert all(name.startswith("encoder.") for name in found.state)
    notes = "\n".join(found.notes)
    assert "newly initialised: bias, dense.bias, dense.weight, norm.bias, norm.weight" in notes
    assert "not needed to predict tokens: " in notes
    model = language_model_from(found.encoder, dict(found.state))
    assert all(tensor.isfinite().all() and not tensor.is_meta for tensor in model.state_dict().values())


def spoil(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_a_decoder_of_its_own_half_a_head_and_other_shapes_are_refused(tmp_path: Path) -> None:
    published(tmp_path, "bert", "ForMaskedLM")
    whole = (tmp_path / "model.safetensors").read_bytes()
    table = "bert.embeddings.word_embeddings.weight"
    bias = "cls.predictions.bias"
    cases: dict[str, Any] = {
        "cls.predictions.decoder.weight is not bert.embeddings": lambda t: t.update(
            {"cls.predictions.decoder.weight": t[table] + 1}
        ),
        f"{bias} is missing, and the rest of the prediction head is there": lambda t: t.pop(bias),
        rf"{bias} is \(3,\), not \(40,\)": lambda t: t.update({bias: torch.zeros(3)}),
        "values that are not finite": lambda t: t.update({bias: torch.full((40,), float("nan"))}),
        "no place for the tensors evil": lambda t: t.update({"evil": torch.zeros(1)}),
    }
    for told, change in cases.items():
        (tmp_path / "model.safetensors").write_bytes(whole)
        spoil(tmp_path, change)
        with pytest.raises(RunError, match=told):
            load_pretrained(tmp_path, MaskedLanguageModelling)
