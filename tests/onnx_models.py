"""Small models with random weights, of every family and every task, as run directories without a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from custom_bert.config import Preset
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import SPECIAL_TOKENS, from_vocab
from custom_bert.model_files.description import Description, write_description
from custom_bert.model_files.native import write_weights
from custom_bert.presets import ARCHITECTURE, EncoderConfig
from custom_bert.tasks.classification import Classification
from custom_bert.tasks.masked_lm import MaskedLanguageModelling
from custom_bert.tasks.multi_label import MultiLabel
from custom_bert.tasks.ordinal import Ordinal
from custom_bert.tasks.regression import Regression
from custom_bert.tasks.soft_labels import SoftLabels
from custom_bert.tasks.task import Task
from custom_bert.tasks.tokens import Tokens

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]

LONGEST = 40
"""The number of tokens that the models read."""

FAMILIES: dict[str, tuple[Preset, dict[str, Any]]] = {
    "bert": ("legacy", {}),
    "bert with gelu_tanh and the mean as a layer": (
        "legacy",
        {"hidden_act": "gelu_tanh", "pooling": "mean_layer"},
    ),
    "roberta": ("legacy", {"head": "roberta", "position_offset": 1, "type_vocab_size": 1}),
    "distilbert": ("legacy", {"head": "distilbert", "type_vocab_size": 0}),
    "custom": ("custom", {"position_offset": 1, "pooling": "cls"}),
    "custom with the mean": ("custom", {"position_offset": 1, "pooling": "mean"}),
    "modern": ("modern", {"local_attention": 6, "global_attn_every_n_layers": 2, "pooling": "cls"}),
    "modern with the mean": (
        "modern",
        {"local_attention": 8, "global_attn_every_n_layers": 3, "pooling": "mean"},
    ),
}
"""The preset of each family, and what is changed in its architecture."""

TASKS: dict[str, Task] = {
    "classification": Classification(("a", "b", "c")),
    "multi_label": MultiLabel(("a", "b", "c", "d")),
    "soft_labels": SoftLabels(("a", "b", "c")),
    "regression": Regression((30.0, -2.0), (7.0, 0.5)),
    "ordinal": Ordinal(("low", "middle", "high", "highest")),
    "ordinal with two ranks": Ordinal(("low", "high")),
    "tokens": Tokens(("LOC", "PER")),
    "masked_lm": MaskedLanguageModelling(),
}


def tokenizer() -> TextTokenizer:
    return from_vocab([*SPECIAL_TOKENS, *WORDS], lowercase=True)


def encoder_of(family: str, **changes: Any) -> EncoderConfig:
    """A tiny architecture of a family, whose layers are of every kind that the family has."""
    preset, own = FAMILIES[family]
    shape = {
        "vocab_size": len(SPECIAL_TOKENS) + len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 4 if preset == "modern" else 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": LONGEST,
        "position_offset": 0,
        "pad_token_id": 0,
        "attention_dropout": 0.0,
    }
    return EncoderConfig(preset=preset, **{**ARCHITECTURE[preset], **shape, **own, **changes})


def randomise(model: nn.Module, seed: int = 7) -> None:
    """Gives every parameter and every buffer a value of its own, so that nothing is lost without a trace."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.dim() < 2 else 0.25
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(noise + (1.0 if "norm.weight" in name else 0.0))
        for buffer in model.buffers():
            buffer.copy_(torch.rand(buffer.shape, generator=generator) * 0.4 + 0.3)


def random_model(task: Task, encoder: EncoderConfig) -> nn.Module:
    model = task.model(encoder)
    randomise(model)
    return model.eval()


def write_run(
    folder: Path,
    task: Task,
    encoder: EncoderConfig,
    *,
    pairs: bool = False,
    max_length: int = LONGEST,
    **described: Any,
) -> Path:
    """Writes a run directory as training does, without a record."""
    folder.mkdir(parents=True)
    said = Description(encoder, task, max_length, pairs=pairs, **described)
    write_description(folder, said, tokenizer().reading(pairs=pairs))
    write_weights(folder, random_model(task, encoder).state_dict())
    return folder


def texts(count: int, seed: int = 0, longest: int = LONGEST + 20) -> list[str]:
    """Texts of many lengths: none, one word, unknown words, exactly as much as is read, and more."""
    draw = np.random.default_rng(seed)
    lengths = [
        0,
        1,
        2,
        LONGEST - 2,
        LONGEST - 1,
        longest,
        *draw.integers(1, longest, size=count - 6).tolist(),
    ]
    made = [" ".join(draw.choice(WORDS, length)) for length in lengths]
    return [*made, "Ünknown wörds 漢字"]


def changed(encoder: EncoderConfig, changes: Mapping[str, Any]) -> EncoderConfig:
    return dataclasses.replace(encoder, **changes)
