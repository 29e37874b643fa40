"""The three presets, the named sizes, and the concrete architecture that the models are built from.

`config.ModelConfig` is what a user asks for, with None for "you decide". `EncoderConfig` is what a model is:
every field has a value, and config.json stores it beside the weights. Field names are Hugging Face's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, cast

from custom_bert.config import (
    Activation,
    Mlp,
    ModelConfig,
    Norm,
    Pooling,
    Position,
    Preset,
    Size,
)
from custom_bert.config_checks import RANGES
from custom_bert.errors import ConfigError

Head = Literal["bert", "roberta", "distilbert", "modernbert"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The architecture of an encoder and the form of its classification head."""

    preset: Preset
    """The preset that it came from, or that is nearest to it. `model_files.families` says what it exports
    to."""
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    """The most tokens of a sequence. A learned table has `position_offset` rows more."""
    position_offset: int
    """The table's row of position 0: pad_token_id + 1 in RoBERTa's families, 0 in the others."""
    pad_token_id: int
    type_vocab_size: int
    """The number of rows of the token-type table, whose row 0 is used; 0 for no table."""
    norm: Norm
    position: Position
    hidden_act: Activation
    mlp: Mlp
    bias: bool
    norm_eps: float
    first_attn_norm: bool
    """Whether layer 0 of a pre-norm encoder has an attention norm (ModernBERT's has none)."""
    local_attention: int
    """The width of the local window in tokens: |i - j| <= local_attention // 2; 0 for no window."""
    global_attn_every_n_layers: int
    """The distance from one global layer to the next. Layer 0 is global."""
    rope_theta: float
    """The rotary base of global layers."""
    local_rope_theta: float
    """The rotary base of local layers."""
    hidden_dropout: float
    attention_dropout: float
    head: Head
    """The form of the classification head, which is that of the family's Hugging Face class."""
    pooling: Pooling

    @property
    def head_dim(self) -> int:
        """K, the width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def is_local(self, layer: int) -> bool:
        """Whether a layer, counted from 0, attends inside the local window only."""
        return self.local_attention > 0 and layer % self.global_attn_every_n_layers != 0

    def num_parameters(self, num_labels: int) -> int:
        """Returns the number of weights of the encoder, with embeddings, and of a classification head."""
        d, f, bias = self.hidden_size, self.intermediate_size, int(self.bias)
        norm = d * (1 + bias)
        up = f * (2 if self.mlp == "gated" else 1)
        layer = 4 * d * d + d * up + d * f + bias * (4 * d + up + d) + 2 * norm
        tables = self.vocab_size + self.type_vocab_size
        if self.position == "learned":
            tables += self.max_position_embeddings + self.position_offset
        norms = norm * (2 if self.norm == "pre" else 1)
        norms -= norm if self.norm == "pre" and not self.first_attn_norm else 0
        extra = norm if self.head == "modernbert" else d  # a norm, or the dense layer's bias
        head = d * d + extra + d * num_labels + num_labels
        return tables * d + self.num_hidden_layers * layer + norms + head

    @property
    def bytes_per_row(self) -> int:
        """About the number of bytes that a training step keeps in fp32 for a row until its backward pass.

        Each layer keeps ten vectors and the MLP's two. Embeddings and heads keep a few more. Logits of hidden
        tokens do not count: they exist a chunk at a time (`ops.losses`).
        """
        up = self.intermediate_size * (2 if self.mlp == "gated" else 1)
        layers = self.num_hidden_layers * (10 * self.hidden_size + up + self.intermediate_size)
        return 4 * (layers + 6 * self.hidden_size)


ARCHITECTURE: dict[str, dict[str, Any]] = {
    # Devlin et al. 2018 (arXiv 1810.04805); opens in transformers as `bert`
    "legacy": dict(
        norm="post",
        position="learned",
        hidden_act="gelu",
        mlp="plain",
        bias=True,
        norm_eps=1e-12,
        first_attn_norm=True,
        type_vocab_size=2,
        head="bert",
        pooling="cls",
        hidden_dropout=0.1,
        local_attention=0,
        global_attn_every_n_layers=1,
        rope_theta=10_000.0,
        local_rope_theta=10_000.0,
    ),
    # Pre-norm BERT (Xiong et al. 2020, arXiv 2002.04745); opens as `roberta-prelayernorm`
    "custom": dict(
        norm="pre",
        position="learned",
        hidden_act="gelu",
        mlp="plain",
        bias=True,
        norm_eps=1e-12,
        first_attn_norm=True,
        type_vocab_size=1,
        head="roberta",
        pooling="cls",
        hidden_dropout=0.2,
        local_attention=0,
        global_attn_every_n_layers=1,
        rope_theta=10_000.0,
        local_rope_theta=10_000.0,
    ),
    # ModernBERT (Warner et al. 2024, arXiv 2412.13663); opens as `modernbert`
    "modern": dict(
        norm="pre",
        position="rope",
        hidden_act="gelu",
        mlp="gated",
        bias=False,
        norm_eps=1e-5,
        first_attn_norm=False,
        type_vocab_size=0,
        head="modernbert",
        pooling="mean",
        hidden_dropout=0.2,
        local_attention=128,
        global_attn_every_n_layers=3,
        rope_theta=160_000.0,
        local_rope_theta=10_000.0,
    ),
}
"""The default architecture of each preset."""

TRAINING: dict[str, dict[str, Any]] = {
    "legacy": {
        "data.max_length": 256,
        "batch.plan": "padded",
        "optim.weight_decay": 0.01,
        "optim.token_dropout": 0.0,
        "optim.embedding_init": "random",
        "optim.pretrain_epochs": 0,
        "optim.r_drop": 0.0,
        "optim.freeze_layers": 0,
        "runtime.attention": "naive",
        "runtime.precision": "fp32",
        "runtime.compile": False,
        "runtime.skip_unread": False,
    },
    "custom": {
        "data.max_length": 256,
        "batch.plan": "uniform_length",
        "runtime.skip_unread": True,
        "optim.weight_decay": 0.01,
        "optim.embedding_init": "ppmi",
    },
    "modern": {
        "data.max_length": 512,
        "batch.plan": "uniform_length",
        "runtime.skip_unread": True,
        "optim.weight_decay": 0.01,
        "optim.embedding_init": "ppmi",
    },
}
"""The default training settings of each preset, by dotted name. Rules choose the others."""

SIZES: dict[Size, tuple[int, int]] = {
    "tiny": (128, 2),
    "mini": (256, 4),
    "small": (512, 4),
    "medium": (512, 8),
    "base": (768, 12),
}
"""(hidden_size, num_hidden_layers) of each size: BERT's miniatures (Turc et al. 2019, arXiv 1908.08962)."""


def encoder_config(
    preset: Preset,
    model: ModelConfig,
    *,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    default_shape: tuple[int, int],
    pairs: bool = False,
) -> EncoderConfig:
    """Makes the architecture from what the user asks for. The preset and the sizes fill in the rest.

    Args:
        preset: the name of the preset.
        model: what the user asks for.
        vocab_size: the number of entries of the tokenizer.
        pad_token_id: the tokenizer's padding id.
        max_length: the most tokens of a sequence.
        default_shape: (hidden_size, num_hidden_layers), if the user names neither them nor a size.
        pairs: whether it reads pairs of texts. Then an architecture that has token types has one for each
            text.

    Raises:
        ConfigError: if the fields do not fit together.
    """
    wishes = {k: v for k, v in dataclasses.asdict(model).items() if v is not None}
    size = cast("Size | None", wishes.pop("size", None))
    for name in ("vocab_size", "init_from"):
        wishes.pop(name, None)
    width, depth = SIZES[size] if size else default_shape
    values = {**ARCHITECTURE[preset], **wishes}
    if pairs and values["type_vocab_size"]:
        values["type_vocab_size"] = 2
    values.setdefault("hidden_size", width)
    values.setdefault("num_hidden_layers", depth)
    width = values["hidden_size"]
    values.setdefault("num_attention_heads", max(1, width // 64))
    values.setdefault("intermediate_size", width * 5 // 2 if values["mlp"] == "gated" else 4 * width)
    config = EncoderConfig(
        preset=preset,
        vocab_size=vocab_size,
        pad_token_id=pad_token_id,
        max_position_embeddings=max_length,
        position_offset=pad_token_id + 1 if values["head"] == "roberta" else 0,
        **values,
    )
    faults = check_encoder(config)
    if faults:
        raise ConfigError([f"config: {fault}" for fault in faults])
    return config


_MORE_RANGES: dict[str, tuple[float, float]] = {
    "vocab_size": (1, 1 << 22),
    "max_position_embeddings": (1, 1 << 20),
    "position_offset": (0, 1 << 22),
    "type_vocab_size": (0, 1 << 16),
    "norm_eps": (0, 1),
    "hidden_size": (1, 1 << 16),
}
"""Ranges of fields that a user cannot set, or that may be wider in a published checkpoint."""


def check_encoder(config: EncoderConfig) -> list[str]:
    """Returns the faults of an architecture, one line each; none if it can be computed."""
    faults = []
    for name, value in vars(config).items():
        low, high = _MORE_RANGES.get(name) or RANGES.get(f"model.{name}", (0, 0, ""))[:2]
        if high and not low <= value <= high:
            faults.append(f"{name} is {value}, not between {low} and {high}")
    if not 0 <= config.pad_token_id < max(1, config.vocab_size):
        faults.append(f"pad_token_id {config.pad_token_id} is not in a vocabulary of {config.vocab_size}")
    if faults:
        return faults
    if config.hidden_size % config.num_attention_heads:
        faults.append(
            f"model.hidden_size {config.hidden_size} is not divisible by "
            f"model.num_attention_heads {config.num_attention_heads}"
        )
    elif config.pooling == "mean_layer" and config.norm != "post":
        faults.append("model.pooling mean_layer needs model.norm post, of whose layers it is one")
    elif config.position == "rope" and config.head_dim % 2:
        faults.append(f"model.position rope needs an even head width, got {config.head_dim}")
    return faults
