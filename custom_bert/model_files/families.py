"""The Hugging Face families that our encoders are."""

from __future__ import annotations

from custom_bert.config import LongTexts
from custom_bert.model_files import bert, distilbert, modernbert, roberta, roberta_prelayernorm
from custom_bert.model_files.tables import Family
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


def inexpressible(config: EncoderConfig, long_texts: LongTexts) -> str | None:
    """What transformers cannot express of an architecture and of how long texts are cut, or None."""
    if long_texts != "head":
        return f"data.long_texts is {long_texts}, and its tokenizers keep the head of a long text"
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
