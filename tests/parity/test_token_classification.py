"""Token classifiers of every family: logits and gradients are transformers'; every byte comes back."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from custom_bert.batch import Batch, Targets
from custom_bert.model_files.families import FAMILIES
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.model_files.tables import from_hugging_face, token_correspondence, tokens_to_hugging_face
from custom_bert.models.outline import from_tensors, outline
from custom_bert.models.token_tagger import TokenTagger
from custom_bert.presets import EncoderConfig
from custom_bert.tasks.tokens import Tokens

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from parity.comparison import same_logits_and_gradients  # noqa: E402
from parity.test_pretrained import MODELS, published  # noqa: E402

TAGS = 5


def ours(folder: Path, family: str) -> TokenTagger:
    """Our model with all of their tensors."""
    found = load_pretrained(folder, Tokens)
    encoder: EncoderConfig = found.encoder
    shapes = {name: one.shape for name, one in outline(TokenTagger, encoder, TAGS).state_dict().items()}
    stored = load_file(folder / "model.safetensors")
    state = from_hugging_face(FAMILIES[family], stored, shapes, token_correspondence)
    return from_tensors(TokenTagger, encoder, TAGS, state).eval()


def batch_of(sequences: list[np.ndarray], rows: list[int]) -> Batch:
    batch, at = Batch.build(sequences), torch.tensor(rows)
    return dataclasses.replace(batch, targets=Targets(torch.zeros(len(rows), dtype=torch.int64), at))


@pytest.mark.parametrize("skip", [True, False], ids=["unread rows are skipped", "all rows"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("family", MODELS)
def test_logits_and_gradients_are_transformers(
    family: str, training: bool, skip: bool, tmp_path: Path
) -> None:
    theirs = published(tmp_path, family, "ForTokenClassification", num_labels=TAGS)
    model = ours(tmp_path, family)
    for module in (*theirs.modules(), *model.modules()):
        if isinstance(getattr(module, "p", None), float):
            module.p = 0.0
    model.encoder.set_dropout(0.0, 0.0)
    model.encoder.skip_unread = skip
    theirs.train(training), model.train(training)
    for name in ("attention_dropout", "attention_probs_dropout_prob"):
        for module in theirs.modules():
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    generator = np.random.Generator(np.random.PCG64(0))
    to_theirs = partial(tokens_to_hugging_face, FAMILIES[family])
    logits_MK = same_logits_and_gradients(model, theirs, generator, batch_of, to_theirs)
    assert logits_MK.shape == (7, TAGS)


@pytest.mark.parametrize("family", MODELS)
def test_every_byte_comes_back(family: str, tmp_path: Path) -> None:
    published(tmp_path, family, "ForTokenClassification", num_labels=TAGS)
    stored = load_file(tmp_path / "model.safetensors")
    back = tokens_to_hugging_face(FAMILIES[family], ours(tmp_path, family).state_dict())
    assert back.keys() == stored.keys()
    for name, tensor in back.items():
        assert torch.equal(tensor, stored[name]), name


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForSequenceClassification"])
@pytest.mark.parametrize("family", MODELS)
def test_the_start_from_any_checkpoint_is_its_encoder(family: str, head: str, tmp_path: Path) -> None:
    published(tmp_path, family, head)
    found = load_pretrained(tmp_path, Tokens)
    fresh = {name for name in outline(TokenTagger, found.encoder, 1).state_dict() if name not in found.state}
    assert fresh >= {"head.projection.weight", "head.projection.bias"}
    assert all(name.startswith("head.") for name in fresh)
    assert any("newly initialised: head." in note for note in found.notes), found.notes
    model = from_tensors(TokenTagger, found.encoder, TAGS, dict(found.state))
    assert all(tensor.isfinite().all() and not tensor.is_meta for tensor in model.state_dict().values())


def test_a_dropped_unread_row_is_noticed(tmp_path: Path) -> None:
    """The check of the check: logits of the rows beside the wanted ones differ."""
    theirs = published(tmp_path, "bert", "ForTokenClassification", num_labels=TAGS)
    model, ids = ours(tmp_path, "bert"), np.arange(5, 25)
    wanted = theirs(input_ids=torch.from_numpy(ids)[None]).logits[0]
    found = model(batch_of([ids], [3, 9]))
    assert (found - wanted[[3, 9]]).abs().max() < 1e-5 < (found - wanted[[4, 10]]).abs().max()
