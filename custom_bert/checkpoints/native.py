"""The native model directory: what training writes and everything else reads. Data only, no pickle.

    config.json         architecture, max_length and number of labels
    model.safetensors   weights
    tokenizer.json      of the `tokenizers` library
    labels.json         the label strings, in the order of the logits; a pretrained encoder has none

Loading is strict: unknown or missing keys, tensors of another name or shape, and values that are not finite
are refused with one line.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from custom_bert import files
from custom_bert.checkpoints.published_files import WEIGHTS
from custom_bert.checkpoints.tensor_files import parse_tensors, write_tensors
from custom_bert.config import LongTexts, coerce
from custom_bert.data.labels import is_label, short_label
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import LARGEST_FILE, parse_tokenizer
from custom_bert.errors import DataError, RunError, did_you_mean
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.models.outline import from_tensors, language_model_from, language_model_outline, outline
from custom_bert.presets import EncoderConfig, check_encoder

FORMAT = "custom-bert/2"
"""Of a directory that is written. Since 2, tokenizers of trained vocabularies split at unknown characters,
and labels that are numbers have ids in their order."""

FORMATS = ("custom-bert/1", FORMAT)
"""Of directories that are read; the older one is read as it was written."""

MOMENTS, MOMENTS_RATE = "optimizer.safetensors", "optimizer.json"
"""AdamW's moments, and the peak learning rate, beside the weights that training may go on from."""

MASKED = "masked_lm"
"""Objective of a directory that holds a pretrained encoder."""

LONGEST = 1 << 20
"""Positions that a configuration may ask for, as in `data.max_length`."""


@dataclass(frozen=True)
class Checkpoint:
    """A classifier as it stands in a directory.

    Attributes:
        model: in fp32, on the CPU, in evaluation mode.
        tokenizer: its tokenizer.
        labels: names of the C logits.
        max_length: tokens kept of a text, or of each window.
        long_texts: what becomes of a longer text.
    """

    model: SequenceClassifier
    tokenizer: TextTokenizer
    labels: tuple[str, ...]
    max_length: int
    long_texts: LongTexts = "head"


@dataclass(frozen=True)
class EncoderCheckpoint:
    """A pretrained encoder as it stands in a directory.

    Attributes:
        model: with its prediction head, in fp32, on the CPU, in evaluation mode.
        tokenizer: its tokenizer.
        max_length: tokens of a sequence that it was trained on.
    """

    model: MaskedLanguageModel
    tokenizer: TextTokenizer
    max_length: int


def write_description(
    directory: Path,
    config: EncoderConfig,
    tokenizer: TextTokenizer,
    labels: tuple[str, ...] | None,
    max_length: int,
    long_texts: LongTexts = "head",
) -> None:
    """Writes config.json, tokenizer.json and labels.json, all but the weights; without labels, those of a
    pretrained encoder."""
    kind = {"objective": MASKED} if labels is None else {"num_labels": len(labels), "long_texts": long_texts}
    described = {"format": FORMAT, **kind, "max_length": max_length, "encoder": dataclasses.asdict(config)}
    files.write_json(directory / "config.json", described)
    files.write_text(directory / "tokenizer.json", tokenizer.to_json())
    if labels is not None:
        files.write_json(directory / "labels.json", list(labels))


def write_weights(directory: Path, state: dict[str, Tensor]) -> tuple[int, str]:
    """Writes model.safetensors from the tensors where they are, without a second copy in memory.

    Returns:
        Its size and sha256.

    Raises:
        WriteError: if the system refuses.
    """
    with files.writing(directory / WEIGHTS) as sink:
        write_tensors(sink, state)
    return sink.size, sink.sha256


def read_run_weights(
    directory: Path, *, limit: int = 1 << 40, written: tuple[Any, Any] | None = None
) -> dict[str, Tensor]:
    """The tensors of model.safetensors.

    Args:
        directory: of the run.
        limit: bytes that it may have at most.
        written: size and sha256 that it has to have.

    Raises:
        RunError: if there is none yet, or it is damaged.
    """
    path = directory / WEIGHTS
    try:
        content = files.read_regular(path, limit)
        if written and written != (len(content), hashlib.sha256(content).hexdigest()):
            raise RunError(f"{path}: damaged: its content is not what was written")
        return parse_tensors(path, content)
    except FileNotFoundError as error:
        raise RunError(f"{directory}: no {WEIGHTS}; the run has not been evaluated yet") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error


def load_checkpoint(directory: str | Path) -> Checkpoint:
    """Reads the directory of a classifier.

    Raises:
        RunError: if it is missing, incomplete, of another format, or damaged.
    """
    directory = Path(directory)
    described = _read_config(directory)
    if described.num_labels is None:
        raise RunError(
            f"{directory}: a pretrained encoder, which knows no labels; custom-bert train DATA "
            f"--model.init-from {directory} trains a classifier from it"
        )
    labels, num_labels = files.read_run_json(directory, "labels.json"), described.num_labels
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise RunError(f"{directory / 'labels.json'}: expected a list of strings")
    for label in labels:
        if not is_label(label):
            raise RunError(f"{directory / 'labels.json'}: {short_label(label)} cannot be a label")
    if len(labels) != num_labels:
        raise RunError(f"{directory / 'labels.json'}: expected {num_labels} labels, got {len(labels)}")
    if len(set(labels)) != num_labels:
        twice = Counter(labels).most_common(1)[0][0]
        raise RunError(f"{directory / 'labels.json'}: the label {short_label(twice)} stands there twice")
    config, record = described.encoder, _record(directory)
    tokenizer = _tokenizer_of(directory, config, record)
    tensors = _tensors_of(directory, config, num_labels, outline(config, num_labels), record)
    model = from_tensors(config, num_labels, tensors)
    return Checkpoint(model.eval(), tokenizer, tuple(labels), described.max_length, described.long_texts)


def load_encoder(directory: str | Path) -> EncoderCheckpoint:
    """Reads the directory of a pretrained encoder.

    Raises:
        RunError: if it is missing, incomplete, of another format, or damaged.
    """
    directory = Path(directory)
    described = _read_config(directory)
    if described.num_labels is not None:
        raise RunError(f"{directory}: holds a classifier, not a pretrained encoder")
    config, record = described.encoder, _record(directory)
    tokenizer = _tokenizer_of(directory, config, record)
    tensors = _tensors_of(directory, config, 0, language_model_outline(config), record)
    return EncoderCheckpoint(language_model_from(config, tensors).eval(), tokenizer, described.max_length)


def load_run(directory: Path) -> Checkpoint | EncoderCheckpoint:
    """Reads the directory of a classifier or of a pretrained encoder, whichever it describes.

    Raises:
        RunError: if it is missing, incomplete, of another format, or damaged.
    """
    holds_encoder = _read_config(directory).num_labels is None
    return load_encoder(directory) if holds_encoder else load_checkpoint(directory)


def _record(directory: Path) -> dict[str, Any]:
    """What run.json tells of the files beside it; nothing where there is none to be read."""
    try:
        found = files.read_run_json(directory, "run.json")
    except RunError:
        return {}
    return found if isinstance(found, dict) else {}


def _tokenizer_of(directory: Path, config: EncoderConfig, record: dict[str, Any]) -> TextTokenizer:
    tokenizer = _read_tokenizer(directory / "tokenizer.json")
    identity = record.get("identity")
    data = identity.get("data") if isinstance(identity, dict) else None
    if isinstance(data, dict) and data.get("tokenizer") not in (None, tokenizer.sha256):
        raise RunError(
            f"{directory / 'tokenizer.json'}: damaged: not the tokenizer that the run trained with"
        )
    if tokenizer.vocab_size > config.vocab_size:
        raise RunError(
            f"{directory / 'tokenizer.json'}: {tokenizer.vocab_size} entries, "
            f"but the model has vectors for {config.vocab_size}"
        )
    return tokenizer


def _tensors_of(
    directory: Path, config: EncoderConfig, num_labels: int, model: nn.Module, record: dict[str, Any]
) -> dict[str, Tensor]:
    """Exactly those of a model."""
    wanted = 4 * (config.num_parameters(num_labels) + config.vocab_size)
    kept = record.get("weights")
    written = (kept.get("size"), kept.get("sha256")) if isinstance(kept, dict) else None
    tensors = read_run_weights(directory, limit=2 * wanted + (1 << 20), written=written)
    check_size(directory, config, num_labels, sum(tensor.nbytes for tensor in tensors.values()))
    _check_tensors(directory / WEIGHTS, tensors, model)
    return tensors


def _read_tokenizer(path: Path) -> TextTokenizer:
    try:
        return parse_tokenizer(path, files.read_regular(path, LARGEST_FILE))
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such tokenizer file") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    except DataError as error:
        raise RunError(str(error)) from error


def check_size(directory: Path, config: EncoderConfig, num_labels: int, held: int) -> None:
    """Refuses an architecture far beyond the weights, before anything of its size is made.

    Args:
        directory: for messages.
        config: the architecture.
        num_labels: of its head.
        held: bytes of the weights that there are.

    Raises:
        RunError: naming both sizes.
    """
    wanted = 4 * config.num_parameters(num_labels)
    if wanted > 4 * held + (1 << 20):
        raise RunError(
            f"{directory / 'config.json'}: describes {wanted:,} bytes of weights, but model.safetensors "
            f"has {held:,}"
        )


@dataclass(frozen=True)
class _Described:
    """What config.json says; a pretrained encoder has no labels."""

    encoder: EncoderConfig
    num_labels: int | None
    max_length: int
    long_texts: LongTexts


def _read_config(directory: Path) -> _Described:
    path, value = directory / "config.json", files.read_run_json(directory, "config.json", 1 << 20)
    if not isinstance(value, dict) or value.get("format") not in FORMATS:
        raise RunError(f"{path}: not a configuration of the format {' or '.join(FORMATS)}")
    kind = "objective" if "objective" in value else "num_labels"
    outer = {"format", kind, "max_length", "encoder"}
    if value.keys() - {"long_texts"} != outer or not isinstance(value["encoder"], dict):
        raise RunError(f"{path}: expected exactly the keys {', '.join(sorted(outer))}")
    types = get_type_hints(EncoderConfig)
    given = value["encoder"]
    for key in sorted(given.keys() - types.keys()):
        raise RunError(f"{path}: unknown key {key!r}{did_you_mean(key, list(types))}")
    for key in sorted(types.keys() - given.keys()):
        raise RunError(f"{path}: the key {key!r} is missing")
    try:
        fields = {key: coerce(given[key], types[key]) for key in types}
        num_labels = coerce(value["num_labels"], int) if kind == "num_labels" else None
        max_length = coerce(value["max_length"], int)
        long_texts: LongTexts = coerce(value.get("long_texts", "head"), LongTexts)  # older runs have none
    except ValueError as error:
        raise RunError(f"{path}: {error}") from error
    config = EncoderConfig(**fields)
    faults = check_encoder(config)
    if num_labels is not None and not 1 <= num_labels <= 1 << 24:
        faults.append(f"num_labels is {num_labels}")
    if num_labels is None and value["objective"] != MASKED:
        faults.append(f"objective is {value['objective']!r}; known is {MASKED!r}")
    if not 3 <= max_length <= LONGEST:
        faults.append(f"max_length is {max_length}, not between 3 and {LONGEST}")
    if faults:
        raise RunError(f"{path}: {faults[0]}")
    return _Described(config, num_labels, max_length, long_texts)


def _check_tensors(path: Path, tensors: dict[str, Tensor], model: nn.Module) -> None:
    wanted = model.state_dict()
    for name in sorted(wanted.keys() - tensors.keys()):
        raise RunError(f"{path}: the tensor {name} is missing")
    for name in sorted(tensors.keys() - wanted.keys()):
        raise RunError(f"{path}: unknown tensor {name}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != torch.float32:
            raise RunError(
                f"{path}: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"expected float32 {tuple(wanted[name].shape)}"
            )
        if not bool(tensor.isfinite().all()):
            raise RunError(f"{path}: {name} holds values that are not finite")
