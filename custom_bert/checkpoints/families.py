"""The Hugging Face families that our encoders are."""

from __future__ import annotations

from custom_bert.checkpoints import bert, distilbert, modernbert, roberta, roberta_prelayernorm
from custom_bert.checkpoints.tables import Family
from custom_bert.presets import EncoderConfig

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        bert.FAMILY,
        roberta.FAMILY,
        distilbert.FAMILY,
        roberta_prelayernorm.FAMILY,
        modernbert.FAMILY,
    )
}
"""By `model_type` of config.json."""


def inexpressible(config: EncoderConfig) -> str | None:
    """What of an architecture its family's class in transformers cannot express, or None."""
    try:
        family_of(config).config(config, 1)
    except ValueError as error:
        return str(error)
    return None


def family_of(config: EncoderConfig) -> Family:
    """The family whose class has the form of our head; RoBERTa's two differ by where the norms stand."""
    if config.head == "roberta" and config.norm == "pre":
        return roberta_prelayernorm.FAMILY
    return FAMILIES[config.head]
