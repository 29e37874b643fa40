"""The family `modernbert`: pre-norm, rotary positions with two bases, gated MLP, local and global
layers, no biases.

A token of a local layer attends to |i - j| <= local_attention // 2. Layer 0 has no attention norm, because
the norm of the embeddings has just been applied.
"""

from __future__ import annotations

from typing import Any

from custom_bert.model_files.tables import ACTIVATIONS, Family, Keys, MaskedHead, require
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
        # without local layers the window has to reach every token
        "local_attention": config.local_attention or 2 * config.max_position_embeddings,
        # transformers 4 reads these three instead of the two below
        "global_attn_every_n_layers": config.global_attn_every_n_layers if config.local_attention else 1,
        "global_rope_theta": config.rope_theta,
        "local_rope_theta": config.local_rope_theta,
        "layer_types": ["sliding_attention" if is_local else "full_attention" for is_local in local],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": config.rope_theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": config.local_rope_theta},
        },
        "pad_token_id": config.pad_token_id,
        "num_labels": num_labels,
    }


def _read(keys: Keys) -> dict[str, Any]:
    keys.refuse(
        norm_bias=(False,),
        attention_bias=(False,),
        mlp_bias=(False,),
        classifier_bias=(False,),
        classifier_activation=("gelu",),
        rope_scaling=(),
    )
    layers = keys.get("num_hidden_layers", int, 22)
    every, theta, local_theta = _rotation_and_layers(keys, layers)
    return {
        "preset": "modern",
        "vocab_size": keys.get("vocab_size", int),
        "hidden_size": keys.get("hidden_size", int),
        "num_hidden_layers": layers,
        "num_attention_heads": keys.get("num_attention_heads", int),
        "intermediate_size": keys.get("intermediate_size", int),
        "max_position_embeddings": keys.get("max_position_embeddings", int, 8192),
        "position_offset": 0,
        "pad_token_id": keys.get("pad_token_id", int, 50283),
        "type_vocab_size": 0,
        "norm": "pre",
        "position": "rope",
        "hidden_act": keys.activation("hidden_activation"),
        "mlp": "gated",
        "bias": False,
        "norm_eps": keys.get("norm_eps", float, 1e-5),
        "first_attn_norm": False,
        "local_attention": keys.get("local_attention", int, 128),
        "global_attn_every_n_layers": every,
        "rope_theta": theta,
        "local_rope_theta": local_theta,
        "hidden_dropout": keys.get("mlp_dropout", float, 0.0),
        "attention_dropout": keys.get("attention_dropout", float, 0.0),
        "head": "modernbert",
        "pooling": keys.get("classifier_pooling", str, "cls"),
    }


def _rotation_and_layers(keys: Keys, layers: int) -> tuple[int, float, float]:
    """Reads (distance from one global layer to the next, rotary base of global layers, that of local layers).

    transformers 4 publishes them as three numbers, and transformers 5 as a list of layer types and a table.
    """
    rope, bases = keys.get("rope_parameters", dict, {}), []
    strange = sorted(rope.keys() - {"full_attention", "sliding_attention"})
    if strange:
        raise ValueError(f"rope_parameters.{strange[0]}: known are full_attention and sliding_attention")
    for kind, older, default in (
        ("full_attention", "global_rope_theta", 160_000.0),
        ("sliding_attention", "local_rope_theta", 10_000.0),
    ):
        one = Keys({} if rope.get(kind) is None else keys.part("rope_parameters", kind))
        rotation = one.get("rope_type", str, "default")
        if rotation != "default":
            raise ValueError(f"rope_parameters.{kind}.rope_type is {rotation!r}; known is 'default'")
        bases.append(one.get("rope_theta", float, keys.get(older, float, default)))
    kinds = keys.get("layer_types", list, [])
    if not kinds:
        return keys.get("global_attn_every_n_layers", int, 3), bases[0], bases[1]
    keys.get("global_attn_every_n_layers", int, 3)  # read, so that it is not listed as ignored
    if len(kinds) != layers:
        raise ValueError(f"layer_types has {len(kinds)} entries for {layers} layers")
    whole = [i for i, kind in enumerate(kinds) if kind == "full_attention"]
    every = whole[1] - whole[0] if len(whole) > 1 else max(1, len(kinds))
    wanted = ["sliding_attention" if i % every else "full_attention" for i in range(layers)]
    if kinds != wanted:
        raise ValueError(f"layer_types {kinds} is no regular alternation of {layers} layers")
    return every, bases[0], bases[1]


FAMILY = Family(
    model_type="modernbert",
    classifier="ModernBertForSequenceClassification",
    prefix="model",
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
    read=_read,
    dropped=("decoder.*", "qa_outputs.*"),
    masked=MaskedHead(
        "ModernBertForMaskedLM",
        dense="head.dense",
        norm="head.norm",
        bias="decoder.bias",
        tied=("decoder.weight",),
    ),
)
