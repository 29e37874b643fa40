"""config.json of a published checkpoint: its family and its architecture, and what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from custom_bert.config_values import coerce
from custom_bert.errors import RunError
from custom_bert.model_files.families import FAMILIES
from custom_bert.model_files.tables import Family, Keys
from custom_bert.presets import EncoderConfig, check_encoder

HARMLESS = frozenset(
    (
        *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path"),
        *("initializer_range", "use_cache", "gradient_checkpointing", "tie_word_embeddings"),
        *("id2label", "label2id", "num_labels", "problem_type", "classifier_dropout"),
        *("thresholds", "label_separator", "text_pairs", "sentence_transformers"),
        *("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"),
    )
)
"""Keys of config.json that say nothing about an encoder's computation. They are not listed as unread."""


@dataclass(frozen=True)
class Architecture:
    """What config.json says of a published encoder.

    Attributes:
        family: its family.
        encoder: its architecture.
        unread: the keys that say something else than `HARMLESS` ones, and that nothing has read; sorted.
    """

    family: Family
    encoder: EncoderConfig
    unread: tuple[str, ...]


def read_architecture(directory: Path, values: dict[str, Any]) -> Architecture:
    """Reads an architecture.

    Args:
        directory: of the checkpoint, for messages.
        values: the content of its config.json.

    Raises:
        RunError: if the checkpoint comes with code, or if we do not compute its architecture.
    """
    if values.get("auto_map"):
        raise RunError(
            f"{directory / 'config.json'}: auto_map names code that comes with the checkpoint and computes "
            f"something of its own; code is never run"
        )
    family = FAMILIES.get(str(values.get("model_type")))
    if family is None:
        raise RunError(
            f"{directory / 'config.json'}: model_type is {values.get('model_type')!r}; "
            f"known are {', '.join(FAMILIES)}"
        )
    keys = Keys(values)
    try:
        encoder = _encoder(family.read(keys))
    except ValueError as error:
        raise RunError(f"{directory / 'config.json'}: {family.model_type}: {error}") from error
    return Architecture(family, encoder, tuple(key for key in keys.ignored() if key not in HARMLESS))


def _encoder(fields: dict[str, Any]) -> EncoderConfig:
    """Makes an architecture of its fields. Raises ValueError for a value of another type or out of range."""
    types = get_type_hints(EncoderConfig)
    config = EncoderConfig(**{name: coerce(value, types[name]) for name, value in fields.items()})
    faults = check_encoder(config)
    if faults:
        raise ValueError(faults[0])
    return config
