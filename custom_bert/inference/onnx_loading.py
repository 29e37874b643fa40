"""Loads a classifier, or an encoder for embeddings, from an ONNX directory; onnxruntime computes it.

Shapes: n texts of a chunk, K outputs of each text, D width of an encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from custom_bert.config import Precision, TaskName
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.decoding.decoder import Decoder
from custom_bert.decoding.registry import DECODERS
from custom_bert.decoding.spans import UnitOutputs, of_texts
from custom_bert.errors import ConfigError, NoPredictionsError, RunError, shown, warn_caller
from custom_bert.floor.ensemble import read_ensemble
from custom_bert.floor.storage import read_floor
from custom_bert.inference.chunks import chunks
from custom_bert.inference.loaded import Loaded
from custom_bert.inference.scores import WHOLE, BothScores, FloorScores, Parts, ScoreModel
from custom_bert.inference.vectors import VectorPooling
from custom_bert.onnx_model.description import NAME, OnnxDescription, check_keys, read_onnx_description
from custom_bert.onnx_model.model import OnnxModel, pooled

if TYPE_CHECKING:
    from custom_bert.tasks.task import Task


class OnnxScores:
    """The outputs of an ONNX directory's model.

    Args:
        model: the model.
    """

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    @property
    def thresholds(self) -> Mapping[str, np.ndarray | None]:
        """The thresholds of the model."""
        return {WHOLE: self._model.described.thresholds_C}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) outputs of the model, a chunk of texts at a time; (n,) `UnitOutputs` of a model that
        labels units."""
        counts = UnknownText() if unknown is None else unknown
        for chunk in chunks(texts, self._numbers()):
            yield self._outputs(chunk, counts)
        if unknown is None and counts.spoils_predictions:
            warn_caller(f"{counts.message(lines=False)}: {OF_A_MODEL}")

    def _numbers(self) -> int:
        """Returns the most numbers that the model computes for a text."""
        return self._model.described.width

    def _outputs(self, texts: Sequence[str], unknown: UnknownText) -> np.ndarray:
        most = self._model.described.max_length
        return self._model.rows(texts, most, unknown, lambda outputs_BK, _: outputs_BK)

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields the outputs of the model; they have no parts."""
        return ({WHOLE: outputs_NK} for outputs_NK in self.of(texts))


class OnnxUnits(OnnxScores):
    """The outputs of an ONNX directory's model for the units of texts."""

    def _numbers(self) -> int:
        described = self._model.described
        return described.width * described.max_length

    def _outputs(self, texts: Sequence[str], unknown: UnknownText) -> np.ndarray:
        found = self._model.units(texts, unknown)
        return of_texts([UnitOutputs(text, *own) for text, own in zip(texts, found, strict=True)])


class OnnxVectors:
    """The vectors of an encoder that was read from an ONNX directory; see `vectors.VectorModel`.

    Args:
        model: the encoder.
    """

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    @property
    def tokenizer(self) -> TextTokenizer:
        """The encoder's tokenizer."""
        return self._model.tokenizer

    @property
    def width(self) -> int:
        """D, the width of a vector."""
        return self._model.described.width

    @property
    def longest(self) -> int:
        """The largest number of tokens that the encoder reads."""
        return self._model.described.max_length

    def of(
        self, texts: Sequence[str], pooling: VectorPooling, max_length: int, unknown: UnknownText
    ) -> np.ndarray:
        """Returns (n, D) fp32 vectors."""
        return self._model.rows(
            texts, max_length, unknown, lambda hidden_BLD, given: pooled(hidden_BLD, given, pooling)
        )


def load_onnx(
    directory: Path, device: str | None, precision: Precision, *, floor: bool, encoder_only: bool
) -> Loaded:
    """Loads a classifier from a directory that `custom-bert export --format onnx` wrote; see
    `kinds.load_directory`.

    Raises:
        LibraryError: if onnxruntime is not installed.
        RunError: if the directory is incomplete or damaged, or holds an encoder for embeddings.
        ConfigError: if another device or another precision is asked for than it has.
    """
    _check_device(directory, device)
    if precision != "fp32":
        raise ConfigError(
            [f"--precision {precision}: {directory} computes as it was exported; leave the option out"]
        )
    described = read_onnx_description(directory)
    if described.output != "logits":
        raise NoPredictionsError(
            f"{directory}: an encoder for embeddings, which predicts nothing; Embedder.load reads it"
        )
    decoder = _decoder_of(directory, described)
    computed = OnnxUnits if decoder.labels_units else OnnxScores
    scores: ScoreModel = computed(OnnxModel.load(directory, described))
    if floor:
        sets = described.thresholds_C is not None
        both = read_floor(directory, decoder.num_outputs, sets=sets)
        ensemble = read_ensemble(directory, decoder.num_outputs, sets=sets)
        scores = BothScores(scores, FloorScores(both), ensemble)
    decoder = type(decoder).restored(directory, described.stored, scores.thresholds[WHOLE])
    return Loaded(
        decoder=decoder, scores=scores, task=lambda: _task_of(directory, described), pairs=described.pairs
    )


def load_onnx_vectors(directory: Path, device: str | None) -> OnnxVectors:
    """Loads an encoder for embeddings from a directory that `custom-bert export --format onnx` wrote.

    Raises:
        LibraryError: if onnxruntime is not installed.
        RunError: if the directory is incomplete or damaged, or holds a classifier.
        ConfigError: if another device is asked for than the CPU.
    """
    _check_device(directory, device)
    described = read_onnx_description(directory)
    if described.output != "last_hidden_state":
        raise RunError(
            f"{directory}: a classifier, which has no vectors of texts; export a run that pretrain wrote"
        )
    check_keys(directory / NAME, described, set())
    return OnnxVectors(OnnxModel.load(directory, described))


def _check_device(directory: Path, device: str | None) -> None:
    if device not in (None, "cpu"):
        raise ConfigError([f"runtime.device: {directory} computes on the cpu, and {device} was asked for"])


def _decoder_of(directory: Path, described: OnnxDescription) -> Decoder:
    """Returns the decoder of the encoder alone.

    Raises:
        RunError: if the description or labels.json is damaged.
    """
    path, kind = directory / NAME, DECODERS.get(cast(TaskName, described.task))
    if kind is None:
        raise RunError(f"{path}: task is {shown(described.task)}; known are {', '.join(DECODERS)}")
    decoder = kind.restored(directory, described.stored, described.thresholds_C)
    check_keys(path, described, set(decoder.stored()))
    if decoder.num_outputs != described.width:
        raise RunError(f"{path}: width is {described.width:,}, and there are {decoder.num_outputs:,} outputs")
    return decoder


def _task_of(directory: Path, described: OnnxDescription) -> Task:
    """Returns the task, which measures. It needs torch."""
    from custom_bert.tasks.registry import TASKS

    return TASKS[cast(TaskName, described.task)].restored(directory, described.stored)
