"""The native model directory: what training writes and everything else reads. Data only, no pickle.

    config.json         architecture, task, max_length
    model.safetensors   weights
    tokenizer.json      of the `tokenizers` library
    labels.json         the label strings, in the order of the logits, of a task that has labels

Loading is strict: tensors of another name or shape, and values that are not finite, are refused with one
line, and so is what `description` refuses in config.json.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from custom_bert import files
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import read_run_tokenizer
from custom_bert.errors import RunError
from custom_bert.model_files.description import Description, read_description
from custom_bert.model_files.published_files import WEIGHTS
from custom_bert.model_files.tensor_files import parse_tensors, write_tensors
from custom_bert.presets import EncoderConfig
from custom_bert.tasks.parts import EncoderModel
from custom_bert.tasks.task import Task

STABLE = "stable"
"""The directory in a run directory that keeps the encoder from before the learning rate fell."""

MOMENTS, MOMENTS_RATE = "optimizer.safetensors", "optimizer.json"
"""The files of AdamW's moments and of the peak learning rate, where training may go on from it."""


@dataclass(frozen=True)
class TrainedModel:
    """A model that was read from a directory.

    Attributes:
        model: the model in fp32, on the CPU, in evaluation mode.
        tokenizer: the tokenizer of its texts.
        described: its architecture and its task.
    """

    model: EncoderModel
    tokenizer: TextTokenizer
    described: Description

    @property
    def task(self) -> Task:
        """What the model has learned."""
        return self.described.task


def write_weights(directory: Path, state: dict[str, Tensor]) -> tuple[int, str]:
    """Writes model.safetensors without a second copy of the tensors in memory.

    Returns:
        The size of the file in bytes, and its sha256.

    Raises:
        WriteError: if the system refuses.
    """
    with files.writing(directory / WEIGHTS) as sink:
        write_tensors(sink, state)
    return sink.size, sink.sha256


def has_weights(directory: str | Path) -> bool:
    """Returns whether a run directory has weights. It has none before its first evaluation."""
    return (Path(directory) / WEIGHTS).exists()


def read_run_weights(
    directory: Path, *, limit: int = 1 << 40, written: tuple[Any, Any] | None = None
) -> dict[str, Tensor]:
    """Reads the tensors of model.safetensors.

    Args:
        directory: of the run.
        limit: the most bytes that the file may have.
        written: the size and the sha256 that the file must have.

    Raises:
        RunError: if there is no such file yet, or it is damaged.
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


def load_model(directory: str | Path) -> TrainedModel:
    """Reads a model from its directory.

    Raises:
        RunError: if it is missing, incomplete, of another format, or damaged.
    """
    directory = Path(directory)
    described = read_description(directory)
    record = _record(directory)
    tokenizer = _tokenizer_of(directory, described, record)
    tensors = _tensors_of(directory, described, record)
    model = cast(EncoderModel, described.task.model(described.encoder, tensors))
    return TrainedModel(model.eval(), tokenizer, described)


def _record(directory: Path) -> dict[str, Any]:
    """Returns run.json, which has hashes of the files beside it. It is empty if there is none that can be
    read, because a model also works without it, as in `stable/`."""
    try:
        record = files.read_run_json(directory, "run.json")
    except RunError:
        return {}
    return record if isinstance(record, dict) else {}


def _tokenizer_of(directory: Path, described: Description, record: dict[str, Any]) -> TextTokenizer:
    """Reads the tokenizer, and requires that it is the recorded one and that the model has vectors for it."""
    tokenizer = read_run_tokenizer(directory / "tokenizer.json", pairs=described.pairs)
    config = described.encoder
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


def _tensors_of(directory: Path, described: Description, record: dict[str, Any]) -> dict[str, Tensor]:
    """Reads the weights, and requires exactly the tensors of the described model."""
    config, outputs = described.encoder, described.task.num_outputs
    # with the bias of a prediction head
    wanted = 4 * (config.num_parameters(outputs) + config.vocab_size)
    recorded = record.get("weights")
    written = (recorded.get("size"), recorded.get("sha256")) if isinstance(recorded, dict) else None
    tensors = read_run_weights(directory, limit=2 * wanted + (1 << 20), written=written)
    held = sum(tensor.nbytes for tensor in tensors.values())
    rows, width = config.max_position_embeddings + config.position_offset, config.hidden_size
    check_size(directory, config, outputs, held + 4 * rows * width * len(described.computed))
    model = described.task.outline(config).state_dict()
    stored = {name: tensor for name, tensor in model.items() if name not in described.computed}
    _check_tensors(directory / WEIGHTS, tensors, stored)
    for name in described.computed:  # only now, when the weights have confirmed the width
        tensors[name] = sinusoids(rows, width, config.position_offset)
    return tensors


def sinusoids(rows: int, width: int, offset: int = 0) -> Tensor:
    """(rows, width) sines in even columns and cosines in odd ones (Vaswani et al. 2017, section 3.5).

    Args:
        rows: of the table.
        width: D.
        offset: the row of position 0; the rows before it are zeros, and nothing reads them.
    """
    positions = torch.arange(rows - offset, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    table = torch.zeros(rows, width)
    table[offset:, 0::2], table[offset:, 1::2] = (positions * rates).sin(), (positions * rates).cos()
    return table


def check_size(directory: Path, config: EncoderConfig, num_labels: int, held: int) -> None:
    """Refuses an architecture that needs far more weights than there are, before memory is taken for it.

    Args:
        directory: of the model, for messages.
        config: the architecture.
        num_labels: the number of outputs of its head.
        held: the number of bytes of the weights that there are.

    Raises:
        RunError: naming both sizes.
    """
    wanted = 4 * config.num_parameters(num_labels)
    if wanted > 4 * held + (1 << 20):
        raise RunError(
            f"{directory / 'config.json'}: describes {wanted:,} bytes of weights, but model.safetensors "
            f"has {held:,}"
        )


def _check_tensors(path: Path, tensors: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Refuses other names, shapes and types than the wanted ones, and values that are not finite."""
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
