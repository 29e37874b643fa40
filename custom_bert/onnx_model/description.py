"""custom_bert.json of an ONNX directory: what the model computes, and what was measured of it.

Reading is strict: unknown and missing keys are refused with one line.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from custom_bert import files
from custom_bert.config import LongTexts
from custom_bert.config_values import coerce
from custom_bert.errors import RunError, did_you_mean, shown

NAME, MODEL = "custom_bert.json", "model.onnx"

FORMAT = "custom-bert-onnx/1"

OutputName = Literal["logits", "last_hidden_state"]
"""The output of a model that predicts for texts, and of an encoder for embeddings."""

LONGEST = 1 << 20
"""The most tokens that max_length may ask for, as in `data.max_length`."""

LARGEST_MODEL = 1 << 31
"""The most bytes that model.onnx may have; protocol buffers hold no more."""

KEYS = (
    "format",
    "task",
    "max_length",
    "long_texts",
    "pairs",
    "inputs",
    "output",
    "width",
    "int8",
    "model",
    "verified",
)
"""The keys that every custom_bert.json has. Those of the task, which are as in a run's config.json, and
`THRESHOLDS` come in addition."""

THRESHOLDS = "thresholds"
"""The key of the thresholds of a model that has some."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The inputs of a model. Only a model that gives types to the tokens of pairs has the last one."""

Int8 = Literal["none", "products", "products and token vectors"]
"""What of a model is computed in int8, or kept in it."""


@dataclass(frozen=True, kw_only=True)
class OnnxDescription:
    """What custom_bert.json says.

    Attributes:
        task: the name of what the model has learned.
        stored: the task's own keys, as a run's config.json has them.
        thresholds_C: (C,) float32, the probability from which on each class is given; None where there are
            no thresholds.
        max_length: the number of tokens that are kept of a text, or of each window.
        long_texts: how a text with more tokens is read.
        pairs: whether it reads pairs of texts.
        inputs: the names of the model's inputs.
        output: the name of its output.
        width: K, the number of outputs for a text or a token; of an encoder D, the width of its vectors.
        int8: what of it is computed in int8.
        size, sha256: the size of model.onnx in bytes, and its hash.
        verified: what was compared with the run: the figures, and `in_words` the line that was printed.
    """

    task: str
    stored: Mapping[str, Any]
    thresholds_C: np.ndarray | None
    max_length: int
    long_texts: LongTexts
    pairs: bool
    inputs: tuple[str, ...]
    output: OutputName
    width: int
    int8: Int8
    size: int
    sha256: str
    verified: Mapping[str, Any]

    def content(self) -> dict[str, Any]:
        """Returns what custom_bert.json holds."""
        thresholds_C = self.thresholds_C
        return {
            "format": FORMAT,
            "task": self.task,
            **self.stored,
            **({} if thresholds_C is None else {"thresholds": thresholds_C.tolist()}),
            "max_length": self.max_length,
            "long_texts": self.long_texts,
            "pairs": self.pairs,
            "inputs": list(self.inputs),
            "output": self.output,
            "width": self.width,
            "int8": self.int8,
            "model": {"size": self.size, "sha256": self.sha256},
            "verified": dict(self.verified),
        }


def is_onnx_directory(directory: str | Path) -> bool:
    """Returns whether a directory is one that `custom-bert export --format onnx` wrote."""
    return (Path(directory) / NAME).is_file()


def read_onnx_description(directory: Path) -> OnnxDescription:
    """Reads custom_bert.json.

    Raises:
        RunError: if it is missing or damaged.
    """
    path, value = directory / NAME, files.read_run_json(directory, NAME)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise RunError(f"{path}: not a description of the format {FORMAT}")
    for key in KEYS:
        if key not in value:
            raise RunError(f"{path}: the key {key!r} is missing")
    try:
        described = OnnxDescription(
            task=_get(value, "task", str),
            stored={key: one for key, one in value.items() if key not in (*KEYS, THRESHOLDS)},
            thresholds_C=_thresholds(value.get(THRESHOLDS)),
            max_length=_get(value, "max_length", int),
            long_texts=_get(value, "long_texts", LongTexts),
            pairs=_get(value, "pairs", bool),
            inputs=_get(value, "inputs", tuple[str, ...]),
            output=_get(value, "output", OutputName),
            width=_get(value, "width", int),
            int8=_get(value, "int8", Int8),
            **_file(value["model"]),
            verified=_object(value, "verified"),
        )
    except ValueError as error:
        raise RunError(f"{path}: {error}") from error
    if not 3 <= described.max_length <= LONGEST:
        raise RunError(f"{path}: max_length is {described.max_length}, not between 3 and {LONGEST}")
    if described.inputs not in (INPUTS[:2], INPUTS):
        raise RunError(f"{path}: inputs is {shown(value['inputs'])}; known are {', '.join(INPUTS)}")
    if not 1 <= described.width <= LONGEST:
        raise RunError(f"{path}: width is {described.width}, not between 1 and {LONGEST}")
    return described


def check_keys(path: Path, described: OnnxDescription, known: set[str]) -> None:
    """Raises RunError for a key that is not among those of the task.

    Args:
        path: of custom_bert.json, for messages.
        described: what was read.
        known: the task's own keys.
    """
    for name in sorted(described.stored.keys() - known):
        near = did_you_mean(name, sorted(known | {*KEYS, THRESHOLDS}))
        raise RunError(f"{path}: unknown key {name!r}{near}")


def read_model(directory: Path, described: OnnxDescription) -> bytes:
    """Reads model.onnx.

    Raises:
        RunError: if it is missing, or not what was written.
    """
    path = directory / MODEL
    try:
        content = files.read_regular(path, LARGEST_MODEL)
    except FileNotFoundError as error:
        raise RunError(f"{directory}: not a complete directory: it holds no {MODEL}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    if (len(content), hashlib.sha256(content).hexdigest()) != (described.size, described.sha256):
        raise RunError(f"{path}: damaged: its content is not what was written")
    return content


def _get(value: Mapping[str, Any], key: str, kind: Any) -> Any:
    try:
        return coerce(value[key], kind)
    except ValueError as error:
        raise ValueError(f"{key} is {shown(value[key])}: {error}") from error


def _object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(value[key], dict):
        raise ValueError(f"{key} is {shown(value[key])}, not an object")
    given: dict[str, Any] = value[key]
    return given


def _file(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != {"size", "sha256"}:
        raise ValueError(f"model is {shown(value)}, not a size and a hash")
    return {"size": _get(value, "size", int), "sha256": _get(value, "sha256", str)}


def _thresholds(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(
        type(one) in (int, float) and math.isfinite(one) for one in value
    ):
        raise ValueError(f"{THRESHOLDS} is {shown(value)}, not a list of finite numbers")
    return np.array(value, dtype=np.float32)
