"""The family `distilbert`: BERT's post-norm layers without token types, as in
`DistilBertForSequenceClassification`."""

from __future__ import annotations

from typing import Any

from custom_bert.model_files.bert import LEARNED_POSITIONS
from custom_bert.model_files.tables import ACTIVATIONS, Family, Keys, MaskedHead, require
from custom_bert.presets import EncoderConfig

LAYER = "distilbert.transformer.layer.{i}"


def _config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    require(
        config, "distilbert", norm="post", position="learned", mlp="plain", bias=True, head="distilbert",
        pooling="cls", local_attention=0, position_offset=0, type_vocab_size=0, norm_eps=1e-12,
    )  # fmt: skip
    return {
        "model_type": "distilbert",
        "vocab_size": config.vocab_size,
        "dim": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "hidden_dim": config.intermediate_size,
        "activation": ACTIVATIONS[config.hidden_act],
        "dropout": config.hidden_dropout,
        "attention_dropout": config.attention_dropout,
        "seq_classif_dropout": config.hidden_dropout,
        "max_position_embeddings": config.max_position_embeddings,
        "sinusoidal_pos_embds": False,
        "pad_token_id": config.pad_token_id,
        "num_labels": num_labels,
    }


def _read(keys: Keys) -> dict[str, Any]:
    return {
        **LEARNED_POSITIONS,
        "preset": "legacy",
        "norm": "post",
        "head": "distilbert",
        "vocab_size": keys.get("vocab_size", int),
        "hidden_size": keys.get("dim", int),
        "num_hidden_layers": keys.get("n_layers", int),
        "num_attention_heads": keys.get("n_heads", int),
        "intermediate_size": keys.get("hidden_dim", int),
        "hidden_act": keys.activation("activation"),
        "hidden_dropout": keys.get("dropout", float, 0.1),
        "attention_dropout": keys.get("attention_dropout", float, 0.1),
        "max_position_embeddings": keys.get("max_position_embeddings", int, 512),
        "position_offset": 0,
        "pad_token_id": keys.get("pad_token_id", int, 0),
        "type_vocab_size": 0,
        "norm_eps": 1e-12,  # the class has no key for it
    }


FAMILY = Family(
    model_type="distilbert",
    classifier="DistilBertForSequenceClassification",
    prefix="distilbert",
    rows=(
        ("encoder.embeddings.token", ("distilbert.embeddings.word_embeddings",)),
        ("encoder.embeddings.position", ("distilbert.embeddings.position_embeddings",)),
        ("encoder.embeddings.norm", ("distilbert.embeddings.LayerNorm",)),
        (
            "encoder.layers.{i}.attn.qkv",
            tuple(f"{LAYER}.attention.{name}" for name in ("q_lin", "k_lin", "v_lin")),
        ),
        ("encoder.layers.{i}.attn.out", (f"{LAYER}.attention.out_lin",)),
        ("encoder.layers.{i}.attn_out_norm", (f"{LAYER}.sa_layer_norm",)),
        ("encoder.layers.{i}.mlp.up", (f"{LAYER}.ffn.lin1",)),
        ("encoder.layers.{i}.mlp.down", (f"{LAYER}.ffn.lin2",)),
        ("encoder.layers.{i}.mlp_out_norm", (f"{LAYER}.output_layer_norm",)),
        ("head.dense", ("pre_classifier",)),
        ("head.projection", ("classifier",)),
    ),
    config=_config,
    read=_read,
    dropped=(
        "distilbert.embeddings.position_ids",
        "vocab_transform.*",
        "vocab_layer_norm.*",
        "vocab_projector.*",
        "qa_outputs.*",
    ),
    masked=MaskedHead(
        "DistilBertForMaskedLM",
        dense="vocab_transform",
        norm="vocab_layer_norm",
        bias="vocab_projector.bias",
        tied=("vocab_projector.weight",),
    ),
)
