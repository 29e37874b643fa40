"""The family `roberta-prelayernorm`: RoBERTa with pre-norm layers and a final norm, as in
`RobertaPreLayerNormForSequenceClassification`."""

from __future__ import annotations

import dataclasses
from typing import Any

from custom_bert.model_files.bert import common_config, embedding_rows, layer_rows, read_common
from custom_bert.model_files.roberta import MASKED
from custom_bert.model_files.tables import Family, Keys, require
from custom_bert.presets import EncoderConfig

NAME = "roberta-prelayernorm"
PREFIX = "roberta_prelayernorm"


def _config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    require(
        config, NAME, norm="pre", position="learned", mlp="plain", bias=True, head="roberta", pooling="cls",
        local_attention=0, first_attn_norm=True, position_offset=config.pad_token_id + 1,
    )  # fmt: skip
    return {"model_type": NAME, **common_config(config, num_labels)}


def _read(keys: Keys) -> dict[str, Any]:
    return read_common(keys, pad_token_id=1, offset=True) | {
        "preset": "custom",
        "norm": "pre",
        "head": "roberta",
    }


FAMILY = Family(
    model_type=NAME,
    classifier="RobertaPreLayerNormForSequenceClassification",
    prefix=PREFIX,
    rows=(
        *embedding_rows(PREFIX),
        *layer_rows(PREFIX),
        ("encoder.layers.{i}.attn_in_norm", (f"{PREFIX}.encoder.layer.{{i}}.attention.LayerNorm",)),
        ("encoder.layers.{i}.mlp_in_norm", (f"{PREFIX}.encoder.layer.{{i}}.intermediate.LayerNorm",)),
        ("encoder.final_norm", (f"{PREFIX}.LayerNorm",)),
        ("head.dense", ("classifier.dense",)),
        ("head.projection", ("classifier.out_proj",)),
    ),
    config=_config,
    read=_read,
    dropped=(f"{PREFIX}.embeddings.position_ids", f"{PREFIX}.pooler.*", "lm_head.*", "qa_outputs.*"),
    masked=dataclasses.replace(MASKED, model="RobertaPreLayerNormForMaskedLM"),
)
