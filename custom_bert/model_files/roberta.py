"""The family `roberta`: BERT's post-norm layers with positions from pad_token_id + 1, as in
`RobertaForSequenceClassification`."""

from __future__ import annotations

from functools import partial
from typing import Any

from custom_bert.model_files.bert import (
    common_config,
    embedding_rows,
    layer_rows,
    mean_layer,
    pooled_config,
    post_norm_rows,
    read_common,
)
from custom_bert.model_files.tables import Family, Keys, MaskedHead, require
from custom_bert.presets import EncoderConfig


def _config(config: EncoderConfig, num_labels: int) -> dict[str, Any]:
    require(
        config, "roberta", norm="post", position="learned", mlp="plain", bias=True, head="roberta",
        pooling=("cls", "mean_layer"), local_attention=0, position_offset=config.pad_token_id + 1,
    )  # fmt: skip
    return {"model_type": "roberta", **pooled_config(config, common_config(config, num_labels))}


def _read(keys: Keys) -> dict[str, Any]:
    return read_common(keys, pad_token_id=1, offset=True) | {
        "preset": "legacy",
        "norm": "post",
        "head": "roberta",
    }


MASKED = MaskedHead(
    "RobertaForMaskedLM",
    dense="lm_head.dense",
    norm="lm_head.layer_norm",
    bias="lm_head.bias",
    tied=("lm_head.decoder.weight", "lm_head.decoder.bias"),
)
"""The prediction head, which RoBERTa and its pre-norm form share."""

FAMILY = Family(
    model_type="roberta",
    classifier="RobertaForSequenceClassification",
    prefix="roberta",
    rows=(
        *embedding_rows("roberta"),
        *layer_rows("roberta"),
        *post_norm_rows("roberta"),
        ("head.dense", ("classifier.dense",)),
        ("head.projection", ("classifier.out_proj",)),
    ),
    config=_config,
    read=_read,
    pooling_layer=partial(mean_layer, "roberta"),
    dropped=("roberta.embeddings.position_ids", "roberta.pooler.*", "lm_head.*", "qa_outputs.*"),
    masked=MASKED,
)
