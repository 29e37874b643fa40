"""ModernBERT: pre-norm, rotary positions with two bases, gated MLP, local and global layers, no biases.

Its window reaches |i - j| <= local_attention // 2; layer 0 has no attention norm, because the embedding norm
has just been applied.
"""

from __future__ import annotations

from typing import Any

from custom_bert.checkpoints.tables import ACTIVATIONS, Family, require
from custom_bert.presets import EncoderConfig


def _config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    require(
        config, "modernbert", norm="pre", position="rope", mlp="gated", bias=False, head="modernbert",
        first_attn_norm=False, type_vocab_size=0,
    )  # fmt: skip
    local = [config.is_local(layer) for layer in range(config.num_hidden_layers)]
    return {
        "model_type": "modernbert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_activation": ACTIVATIONS[config.hidden_act],
        "max_position_embeddings": config.max_position_embeddings,
        "norm_eps": config.norm_eps,
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "classifier_bias": False,
        "classifier_activation": "gelu",
        "classifier_pooling": config.pooling,
        "classifier_dropout": config.hidden_dropout,
        "embedding_dropout": config.hidden_dropout,
        "mlp_dropout": config.hidden_dropout,
        "attention_dropout": config.attention_dropout,
        "local_attention": config.local_attention or 2 * config.max_position_embeddings,
        "layer_types": ["sliding_attention" if is_local else "full_attention" for is_local in local],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": config.rope_theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": config.local_rope_theta},
        },
        "pad_token_id": config.pad_token_id,
        "num_labels": num_labels,
    }


FAMILY = Family(
    model_type="modernbert",
    classifier="ModernBertForSequenceClassification",
    rows=(
        ("encoder.embeddings.token", ("model.embeddings.tok_embeddings",)),
        ("encoder.embeddings.norm", ("model.embeddings.norm",)),
        ("encoder.layers.{i}.attn_in_norm", ("model.layers.{i}.attn_norm",)),
        ("encoder.layers.{i}.attn.qkv", ("model.layers.{i}.attn.Wqkv",)),
        ("encoder.layers.{i}.attn.out", ("model.layers.{i}.attn.Wo",)),
        ("encoder.layers.{i}.mlp_in_norm", ("model.layers.{i}.mlp_norm",)),
        ("encoder.layers.{i}.mlp.up", ("model.layers.{i}.mlp.Wi",)),
        ("encoder.layers.{i}.mlp.down", ("model.layers.{i}.mlp.Wo",)),
        ("encoder.final_norm", ("model.final_norm",)),
        ("head.dense", ("head.dense",)),
        ("head.norm", ("head.norm",)),
        ("head.projection", ("classifier",)),
    ),
    config=_config,
)
