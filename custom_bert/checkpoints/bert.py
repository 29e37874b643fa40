"""BERT: post-norm, `BertForSequenceClassification`."""

from __future__ import annotations

from typing import Any

from custom_bert.checkpoints.tables import ACTIVATIONS, Family, Row, require
from custom_bert.presets import EncoderConfig


def embedding_rows(prefix: str) -> tuple[Row, ...]:
    """The embedding tables and their norm, alike in BERT and RoBERTa."""
    theirs = f"{prefix}.embeddings"
    return (
        ("encoder.embeddings.token", (f"{theirs}.word_embeddings",)),
        ("encoder.embeddings.position", (f"{theirs}.position_embeddings",)),
        ("encoder.embeddings.token_type", (f"{theirs}.token_type_embeddings",)),
        ("encoder.embeddings.norm", (f"{theirs}.LayerNorm",)),
    )


def layer_rows(prefix: str) -> tuple[Row, ...]:
    """The projections of a layer, alike in BERT and RoBERTa; the norms differ."""
    ours, theirs = "encoder.layers.{i}", f"{prefix}.encoder.layer.{{i}}"
    attention = f"{theirs}.attention"
    return (
        (f"{ours}.attn.qkv", tuple(f"{attention}.self.{name}" for name in ("query", "key", "value"))),
        (f"{ours}.attn.out", (f"{attention}.output.dense",)),
        (f"{ours}.mlp.up", (f"{theirs}.intermediate.dense",)),
        (f"{ours}.mlp.down", (f"{theirs}.output.dense",)),
    )


def common_config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    """The keys of config.json that BERT and RoBERTa share."""
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": ACTIVATIONS[config.hidden_act],
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "classifier_dropout": config.hidden_dropout,
        "max_position_embeddings": config.max_position_embeddings + config.position_offset,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.norm_eps,
        "pad_token_id": config.pad_token_id,
        "num_labels": num_labels,
    }


def _config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    require(
        config, "bert", norm="post", position="learned", mlp="plain", bias=True, head="bert", pooling="cls",
        local_attention=0, position_offset=0,
    )  # fmt: skip
    return {"model_type": "bert", **common_config(config, num_labels)}


FAMILY = Family(
    model_type="bert",
    classifier="BertForSequenceClassification",
    rows=(
        *embedding_rows("bert"),
        *layer_rows("bert"),
        ("encoder.layers.{i}.attn_out_norm", ("bert.encoder.layer.{i}.attention.output.LayerNorm",)),
        ("encoder.layers.{i}.mlp_out_norm", ("bert.encoder.layer.{i}.output.LayerNorm",)),
        ("head.dense", ("bert.pooler.dense",)),
        ("head.projection", ("classifier",)),
    ),
    config=_config,
)
