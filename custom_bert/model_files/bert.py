"""The family `bert`: post-norm layers, as in `BertForSequenceClassification`."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from custom_bert.model_files.tables import ACTIVATIONS, Family, Keys, MaskedHead, Row, require
from custom_bert.models.heads import MEAN_WEIGHT
from custom_bert.presets import EncoderConfig


def embedding_rows(prefix: str) -> tuple[Row, ...]:
    """Returns the rows of the embedding tables and their norm, which BERT and RoBERTa share."""
    theirs = f"{prefix}.embeddings"
    return (
        ("encoder.embeddings.token", (f"{theirs}.word_embeddings",)),
        ("encoder.embeddings.position", (f"{theirs}.position_embeddings",)),
        ("encoder.embeddings.token_type", (f"{theirs}.token_type_embeddings",)),
        ("encoder.embeddings.norm", (f"{theirs}.LayerNorm",)),
    )


def layer_rows(prefix: str) -> tuple[Row, ...]:
    """Returns the rows of a layer's projections, which BERT and RoBERTa share; see `post_norm_rows`."""
    ours, theirs = "encoder.layers.{i}", f"{prefix}.encoder.layer.{{i}}"
    attention = f"{theirs}.attention"
    return (
        (f"{ours}.attn.qkv", tuple(f"{attention}.self.{name}" for name in ("query", "key", "value"))),
        (f"{ours}.attn.out", (f"{attention}.output.dense",)),
        (f"{ours}.mlp.up", (f"{theirs}.intermediate.dense",)),
        (f"{ours}.mlp.down", (f"{theirs}.output.dense",)),
    )


def common_config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    """Returns the keys of config.json that BERT and RoBERTa share."""
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


def post_norm_rows(prefix: str) -> tuple[Row, ...]:
    """Returns the rows of a post-norm layer's norms, which BERT and RoBERTa share."""
    ours, theirs = "encoder.layers.{i}", f"{prefix}.encoder.layer.{{i}}"
    return (
        (f"{ours}.attn_out_norm", (f"{theirs}.attention.output.LayerNorm",)),
        (f"{ours}.mlp_out_norm", (f"{theirs}.output.LayerNorm",)),
    )


def read_common(keys: Keys, *, pad_token_id: int, offset: bool) -> dict[str, Any]:
    """Reads fields of `EncoderConfig` from the keys that BERT and RoBERTa share.

    Args:
        keys: the published config.json.
        pad_token_id: the default of the family's class.
        offset: whether position 0 has the table row pad_token_id + 1, as in RoBERTa, instead of row 0.
    """
    keys.refuse(is_decoder=(False,), add_cross_attention=(False,), position_embedding_type=("absolute",))
    pad = keys.get("pad_token_id", int, pad_token_id)
    first = pad + 1 if offset else 0
    return {
        "vocab_size": keys.get("vocab_size", int),
        "hidden_size": keys.get("hidden_size", int),
        "num_hidden_layers": keys.get("num_hidden_layers", int),
        "num_attention_heads": keys.get("num_attention_heads", int),
        "intermediate_size": keys.get("intermediate_size", int),
        "hidden_act": keys.activation("hidden_act"),
        "hidden_dropout": keys.get("hidden_dropout_prob", float, 0.1),
        "attention_dropout": keys.get("attention_probs_dropout_prob", float, 0.1),
        "max_position_embeddings": keys.get("max_position_embeddings", int, 512) - first,
        "position_offset": first,
        "pad_token_id": pad,
        "type_vocab_size": keys.get("type_vocab_size", int, 2),
        "norm_eps": keys.get("layer_norm_eps", float, 1e-12),
        **LEARNED_POSITIONS,
    }


LEARNED_POSITIONS: dict[str, Any] = {
    "position": "learned",
    "mlp": "plain",
    "bias": True,
    "first_attn_norm": True,
    "local_attention": 0,
    "global_attn_every_n_layers": 1,
    "rope_theta": 10_000.0,
    "local_rope_theta": 10_000.0,
    "pooling": "cls",
}
"""Fields of `EncoderConfig` that are equal in BERT, RoBERTa and DistilBERT."""


def mean_layer(prefix: str, config: EncoderConfig) -> dict[str, Tensor]:
    """Returns the tensors of the layer that computes the pooling `mean_layer`, under BERT's and RoBERTa's
    names. It follows the encoder's own layers.

    Queries and keys are zero, so that the attention gives every token the same weight. Values and the output
    are the identity, times `MEAN_WEIGHT`. The MLP is zero, and both norms leave their input as it is but for
    its mean and size; so the second one changes nothing.
    """
    d, f = config.hidden_size, config.intermediate_size
    one, layer = torch.eye(d), f"{prefix}.encoder.layer.{config.num_hidden_layers}"
    matrices = {
        "attention.self.query": torch.zeros(d, d),
        "attention.self.key": torch.zeros(d, d),
        "attention.self.value": one,
        "attention.output.dense": MEAN_WEIGHT * one,
        "intermediate.dense": torch.zeros(f, d),
        "output.dense": torch.zeros(d, f),
    }
    tensors = {f"{layer}.{name}.weight": matrix for name, matrix in matrices.items()}
    tensors |= {f"{layer}.{name}.bias": torch.zeros(len(matrix)) for name, matrix in matrices.items()}
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        tensors |= {f"{layer}.{name}.weight": torch.ones(d), f"{layer}.{name}.bias": torch.zeros(d)}
    return tensors


def pooled_config(config: EncoderConfig, keys: dict[str, Any]) -> dict[str, Any]:
    """Returns keys of config.json with one more layer, if that computes the pooling; see `mean_layer`."""
    more = config.pooling == "mean_layer"
    return {**keys, "num_hidden_layers": keys["num_hidden_layers"] + more}


def _read(keys: Keys) -> dict[str, Any]:
    return read_common(keys, pad_token_id=0, offset=False) | {
        "preset": "legacy",
        "norm": "post",
        "head": "bert",
    }


def _config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    require(
        config, "bert", norm="post", position="learned", mlp="plain", bias=True, head="bert",
        pooling=("cls", "mean_layer"), local_attention=0, position_offset=0,
    )  # fmt: skip
    return {"model_type": "bert", **pooled_config(config, common_config(config, num_labels))}


FAMILY = Family(
    model_type="bert",
    classifier="BertForSequenceClassification",
    prefix="bert",
    rows=(
        *embedding_rows("bert"),
        *layer_rows("bert"),
        *post_norm_rows("bert"),
        ("head.dense", ("bert.pooler.dense",)),
        ("head.projection", ("classifier",)),
    ),
    config=_config,
    read=_read,
    pooling_layer=partial(mean_layer, "bert"),
    dropped=("bert.embeddings.position_ids", "cls.*", "qa_outputs.*"),
    masked=MaskedHead(
        "BertForMaskedLM",
        dense="cls.predictions.transform.dense",
        norm="cls.predictions.transform.LayerNorm",
        bias="cls.predictions.bias",
        tied=("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
    ),
)
