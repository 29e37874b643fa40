"""Pooling, heads, positions, initialisation and parameter counts."""

import dataclasses
import math
from typing import Literal

import numpy as np
import pytest
import torch

from custom_bert.batch import Batch, Targets
from custom_bert.config import Kernel, ModelConfig, Preset
from custom_bert.errors import ConfigError
from custom_bert.models.encoder import Encoder
from custom_bert.models.heads import SequenceClassifier, mean_pool
from custom_bert.models.layers import READ_MULTIPLE
from custom_bert.presets import EncoderConfig, encoder_config

PRESETS: tuple[Preset, ...] = ("legacy", "custom", "modern")


def config_of(preset: Preset, width: int = 32, depth: int = 2, **changes: object) -> EncoderConfig:
    return encoder_config(
        preset,
        ModelConfig(num_attention_heads=2, **changes),  # type: ignore[arg-type]
        vocab_size=60,
        pad_token_id=0,
        max_length=24,
        default_shape=(width, depth),
    )


def sequences(*lengths: int) -> list[np.ndarray]:
    generator = np.random.Generator(np.random.PCG64(0))
    return [generator.integers(5, 60, size=n) for n in lengths]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_stated_number_of_parameters_is_the_real_one(preset: Preset) -> None:
    for changes in ({}, {"mlp": "gated"}, {"bias": True}):
        config = config_of(preset, **changes)
        assert config.num_parameters(7) == sum(p.numel() for p in SequenceClassifier(config, 7).parameters())


@pytest.mark.parametrize("slot", [None, 9, 20])
def test_pooling_reads_real_tokens_only(slot: int | None) -> None:
    batch = Batch.build(sequences(9, 3, 1), slots=slot)
    hidden_TD = torch.randn(batch.num_rows, 4, generator=torch.Generator().manual_seed(0))
    hidden_TD[batch.layout.sequence_T == 3] = 1e6
    found_ND = mean_pool(hidden_TD, batch.layout)
    for i, (start, n) in enumerate(zip(batch.layout.first_N.tolist(), (9, 3, 1), strict=True)):
        assert torch.allclose(found_ND[i], hidden_TD[start : start + n].mean(0), atol=1e-6)


LAYOUTS = {
    "packed": dict(slots=None),
    "few blocks": dict(slots=np.array([9, 9, 9, 17])),
    "padded": dict(slots=24),
    "filler": dict(slots=24, rows=128),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", [None, "naive", "dense", "grouped"])
@pytest.mark.parametrize("read", ["first", "targets"])
@pytest.mark.parametrize("preset", PRESETS)
def test_leaving_out_what_only_unread_rows_need_changes_nothing(
    preset: Preset, read: Literal["first", "targets"], kernel: Kernel | None, layout: str
) -> None:
    torch.manual_seed(0)
    encoder = Encoder(config_of(preset, hidden_dropout=0.0, local_attention=4, global_attn_every_n_layers=3))
    encoder = encoder.double().train()
    encoder.set_kernel(kernel)
    batch = Batch.build(sequences(9, 3, 7, 17), **LAYOUTS[layout])  # type: ignore[arg-type]
    rows_M = batch.layout.first_N[1:] + 2
    batch = dataclasses.replace(batch, targets=Targets(rows_M, rows_M))
    found = {}
    for skip in (False, True):
        encoder.skip_unread = skip
        encoder.zero_grad()
        hidden_RD = encoder(batch, read)
        assert len(hidden_RD) == (4 if read == "first" else 3)
        hidden_RD.sin().sum().backward()
        grads = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
        found[skip] = hidden_RD.detach(), {n: g.clone() for n, g in grads.items()}
    all_TD = encoder(batch)
    wanted = all_TD[batch.layout.first_N if read == "first" else rows_M]
    assert (found[True][0] - wanted).abs().max() <= 1e-10
    assert found[True][1].keys() == found[False][1].keys()
    for name, gradient in found[True][1].items():
        assert (gradient - found[False][1][name]).norm() <= 1e-10 * gradient.norm().clamp(min=1e-6), name


def test_the_last_layer_works_on_read_rows_alone() -> None:
    encoder = Encoder(config_of("custom"))
    batch = Batch.build(sequences(9, 9, 9, 9))
    seen: list[int] = []
    for layer in encoder.layers:
        layer.mlp.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    encoder(batch, "first")
    assert seen == [36, READ_MULTIPLE]  # four, filled up
    encoder.skip_unread = False
    encoder(batch, "first")
    assert seen == [36, READ_MULTIPLE, 36, 36]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_layout_of_a_batch_changes_nothing(preset: Preset) -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(config_of(preset, local_attention=4), 3).double().eval()
    texts = sequences(9, 3, 17, 1)
    wanted = model(Batch.build(texts))
    for slot in (17, 24):
        assert (model(Batch.build(texts, slots=slot)) - wanted).abs().max() <= 1e-10
    order = [2, 0, 3, 1]
    assert (model(Batch.build([texts[i] for i in order])) - wanted[order]).abs().max() <= 1e-10


@pytest.mark.parametrize("preset", ["legacy", "custom"])
def test_a_sequence_longer_than_the_table_is_an_error(preset: Preset) -> None:
    with pytest.raises(ValueError, match="25 tokens exceeds the model's 24 positions"):
        SequenceClassifier(config_of(preset), 3)(Batch.build(sequences(25)))


@pytest.mark.parametrize("preset", PRESETS)
def test_weights_start_as_stated(preset: Preset) -> None:
    torch.manual_seed(0)
    model = SequenceClassifier(config_of(preset, width=128, depth=3), 3)
    state = model.state_dict()
    linear = 0.02 if preset == "legacy" else 128**-0.5
    written = linear if preset == "legacy" else linear / math.sqrt(6)
    cut = 0.88  # a normal cut off at two deviations keeps this share of its deviation
    for name, std in {
        "encoder.embeddings.token": 0.02,
        "encoder.layers.0.attn.qkv": linear,
        "encoder.layers.1.mlp.up": linear,
        "encoder.layers.2.attn.out": written,
        "encoder.layers.2.mlp.down": written,
        "head.dense": linear,
    }.items():
        weight = state[f"{name}.weight"]
        assert weight.std().item() == pytest.approx(cut * std, rel=0.1), name
        assert weight.abs().max().item() <= 2 * std + 1e-6
    for name, tensor in state.items():
        if name.endswith("bias"):
            assert (tensor == 0).all(), name
        elif "norm" in name:
            assert (tensor == 1).all(), name


def test_modern_alternates_local_and_global_layers_and_skips_the_first_norm() -> None:
    layers = SequenceClassifier(config_of("modern", depth=7, local_attention=8), 3).encoder.layers
    assert [layer.attn.window for layer in layers] == [-1, 4, 4, -1, 4, 4, -1]  # type: ignore[union-attr]
    assert isinstance(layers[0].attn_in_norm, torch.nn.Identity)
    assert isinstance(layers[1].attn_in_norm, torch.nn.LayerNorm)


def test_roberta_positions_start_after_the_padding_id() -> None:
    config = config_of("custom")
    assert config.position_offset == 1
    assert SequenceClassifier(config, 3).encoder.embeddings.position.weight.shape[0] == 25  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("preset", "changes", "words"),
    [
        ("legacy", {"hidden_dropout": 1.5}, "hidden_dropout is 1.5, not between 0 and 0.95"),
        ("custom", {"hidden_size": 33}, "not divisible"),
        ("modern", {"hidden_size": 34}, "even head width"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(preset: Preset, changes: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_of(preset, **changes)
