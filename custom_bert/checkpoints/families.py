"""The Hugging Face families that our encoders are, by the form of their classification head."""

from __future__ import annotations

from custom_bert.checkpoints import bert, modernbert, roberta_prelayernorm
from custom_bert.checkpoints.tables import Family
from custom_bert.presets import Head

FAMILIES: dict[Head, Family] = {
    "bert": bert.FAMILY,
    "roberta": roberta_prelayernorm.FAMILY,
    "modernbert": modernbert.FAMILY,
}
