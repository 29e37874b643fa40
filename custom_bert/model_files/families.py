"""The Hugging Face families in whose form our encoders are stored."""

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
"""The families by the `model_type` of their config.json."""


def inexpressible(config: EncoderConfig, long_texts: LongTexts) -> str | None:
    """Says why transformers cannot express an architecture, or how it reads long texts. None if it can."""
    if long_texts != "head":
        return f"data.long_texts is {long_texts}, and its tokenizers keep the head of a long text"
    try:
        family_of(config).config(config, 1)
    except ValueError as error:
        return str(error)
    return None


def family_of(config: EncoderConfig) -> Family:
    """Returns the family whose class has the form of our head. RoBERTa has two, by the place of the norms."""
    if config.head == "roberta" and config.norm == "pre":
        return roberta_prelayernorm.FAMILY
    return FAMILIES[config.head]
