"""Our encoder and heads equal transformers' BERT, RoBERTa-PreLayerNorm and ModernBERT in fp32:
outputs to 1e-5, every gradient to 1e-4 of its largest element, with every parameter random."""

import dataclasses

import pytest
import torch

from custom_bert.config import Kernel, Preset
from custom_bert.model_files.tables import from_hugging_face, to_hugging_face
from custom_bert.models.heads import SequenceClassifier

pytest.importorskip("transformers", reason="transformers is not installed: parity is not tested")

from parity.comparison import FAMILIES, LABELS, WINDOW, compare, randomise, reference, tiny

PRESETS: tuple[Preset, ...] = ("legacy", "custom", "modern")


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("random", [True, False], ids=["random weights", "fresh weights"])
@pytest.mark.parametrize("preset", PRESETS)
def test_outputs_and_gradients_agree(preset: Preset, random: bool, training: bool) -> None:
    found = compare(preset, random=random, training=training)
    assert found.agree, found


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("preset", PRESETS)
def test_both_of_their_attention_implementations_agree(preset: Preset, implementation: str) -> None:
    found = compare(preset, implementation=implementation)
    assert found.agree, found


@pytest.mark.parametrize(
    ("kernel", "layout"),
    [
        ("naive", "packed"),
        ("naive", "padded"),
        ("dense", "longest"),
        ("dense", "padded"),
        ("grouped", "packed"),
        ("grouped", "longest"),
    ],
)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_kernel_and_layout_agrees(preset: Preset, kernel: Kernel, layout: str) -> None:
    found = compare(preset, kernel=kernel, layout=layout)
    assert found.agree, found


@pytest.mark.parametrize("preset", PRESETS)
def test_sequences_longer_than_the_window_and_of_one_token_agree(preset: Preset) -> None:
    assert WINDOW < 60
    found = compare(preset, lengths=(60, 1, 33, 2))
    assert found.agree, found


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_are_the_identity_byte_for_byte_there_and_back(preset: Preset) -> None:
    theirs = reference(preset, tiny(preset), "eager")
    randomise(theirs)
    ours = SequenceClassifier(tiny(preset), LABELS)
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    state = theirs.state_dict()
    back = to_hugging_face(FAMILIES[preset], from_hugging_face(FAMILIES[preset], state, shapes))
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_refuse_missing_and_left_over_tensors(preset: Preset) -> None:
    shapes = {n: t.shape for n, t in SequenceClassifier(tiny(preset), LABELS).state_dict().items()}
    state = dict(reference(preset, tiny(preset), "eager").state_dict())
    state["surprise.weight"] = torch.zeros(1)
    del state["classifier.bias" if preset != "custom" else "classifier.out_proj.bias"]
    with pytest.raises(ValueError, match=r"no place for the tensors surprise.weight"):
        from_hugging_face(FAMILIES[preset], state, shapes)
    with pytest.raises(ValueError, match=r"has no place for surprise\.weight"):
        to_hugging_face(FAMILIES[preset], {"surprise.weight": torch.zeros(1)})


def test_constants_arrive_as_they_are() -> None:
    legacy = reference("legacy", tiny("legacy"), "eager").config
    assert (legacy.layer_norm_eps, legacy.hidden_act, legacy.type_vocab_size) == (1e-12, "gelu", 2)
    custom = reference("custom", tiny("custom"), "eager").config
    assert (custom.max_position_embeddings, custom.pad_token_id, custom.type_vocab_size) == (65, 0, 1)
    modern = reference("modern", tiny("modern"), "eager").config
    assert (modern.norm_eps, modern.local_attention) == (1e-5, WINDOW)
    assert modern.layer_types[:4] == [
        "full_attention",
        "sliding_attention",
        "sliding_attention",
        "full_attention",
    ]
    assert modern.rope_parameters["full_attention"]["rope_theta"] == 160_000.0
    assert modern.rope_parameters["sliding_attention"]["rope_theta"] == 10_000.0
    layers = SequenceClassifier(tiny("modern"), LABELS).encoder.layers
    assert [layer.attn.window for layer in layers] == [-1, 4, 4, -1, 4]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("legacy", {"position": "sinusoidal"}),
        ("legacy", {"mlp": "gated"}),
        ("custom", {"pooling": "mean"}),
        ("custom", {"norm": "post"}),
        ("modern", {"bias": True}),
    ],
)
def test_what_a_family_cannot_express_is_named(preset: Preset, changes: dict) -> None:
    config = dataclasses.replace(tiny(preset), **changes)
    with pytest.raises(ValueError, match=next(iter(changes))):
        FAMILIES[preset].config(config, LABELS)
