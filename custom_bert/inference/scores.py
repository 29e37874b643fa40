"""What computes the scores of texts for a `Classifier`: a trained encoder, the floor of a run, or both.

Shapes: N texts, n texts of a chunk, K scores of each text.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import nn

from custom_bert.config import Precision
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.errors import warn_caller
from custom_bert.floor.ensemble import Ensemble
from custom_bert.inference.in_order import chunks, compute, prepare_threads
from custom_bert.model_files.native import TrainedModel
from custom_bert.precision import round_matrices, sound_precision
from custom_bert.tasks.floors import EnsembleModel, FloorModel

Parts = dict[str, np.ndarray]
"""(n, K) fp32 scores of some texts by the name of what computed them."""

WHOLE, ENCODER, FLOOR = "whole", "encoder", "floor"
"""The names among `Parts`: of the scores that predict and, if the floor is loaded too, of each side alone."""


class ScoreModel(Protocol):
    """Computes the scores of texts."""

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The modules in which a task finds what it needs beside the scores, such as thresholds: one for each
        name of `parts`."""

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) fp32 scores, a chunk of texts at a time, in input order.

        Args:
            texts: any number of texts or pairs, as `data.given_pairs.texts_or_pairs` returns them.
            unknown: counts the text that the vocabulary does not know. With it, the caller warns of unknown
                text; without it, this method does.
        """

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields what `of` yields under the name `WHOLE`, and what it is made of under other names."""


class EncoderScores:
    """The outputs of a trained model.

    Args:
        trained: the model.
        device: where to compute.
        precision: the number format of matrix products.
    """

    def __init__(self, trained: TrainedModel, device: torch.device, precision: Precision) -> None:
        self._model: nn.Module = trained.model.to(device).eval()
        self._trained, self._device, self._precision = trained, device, precision
        self._models: dict[Precision, nn.Module] = {"fp32": self._model}
        self._used, self._last_fault = False, ""

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The model."""
        return {WHOLE: self._model}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) outputs of the model, a chunk of texts at a time."""
        counts = UnknownText() if unknown is None else unknown
        described = self._trained.described
        for chunk in chunks(texts, described.task.num_outputs):
            # between two chunks the caller's code runs, which may have forked or set OpenMP's limits
            model, precision = self._prepared()
            outputs_NK = compute(
                model,
                self._trained.tokenizer,
                chunk,
                max_length=described.max_length,
                long_texts=described.long_texts,
                device=self._device,
                precision=precision,
                unknown=counts,
            )
            yield outputs_NK
        if unknown is None and counts.spoils_predictions:
            warn_caller(f"{counts.message(lines=False)}: {OF_A_MODEL}")

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields the outputs of the model; they have no parts."""
        return ({WHOLE: outputs_NK} for outputs_NK in self.of(texts))

    def _prepared(self) -> tuple[nn.Module, Precision]:
        """Returns the model for the precision that computes right at this moment, and that precision.

        Whether bf16 computes right depends on the threads that OpenMP gives, and so on the thread that calls.
        A model whose matrices are rounded to the precision is a copy: other threads may be computing with the
        one that exists, so it is never changed. If the first prediction is in bf16, the weights in fp32 are
        not kept, which halves the memory; fp32 later computes with the rounded weights.
        """
        prepare_threads()
        precision, fault = sound_precision(self._precision, self._device)
        if fault and fault != self._last_fault:
            self._last_fault = fault
            warn_caller(fault)
        model = self._models.get(precision)
        if model is None:
            model = copy.deepcopy(self._model)
            round_matrices(model, precision)
            self._models = {**(self._models if self._used else {}), precision: model}
            self._model = model
        self._used = True
        return model, precision


class FloorScores:
    """The scores of a run's floor, which predicts while its encoder has no weights.

    Args:
        floor: the floor.
    """

    def __init__(self, floor: FloorModel) -> None:
        self._floor = floor

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The floor."""
        return {WHOLE: self._floor}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) scores, a chunk of texts at a time. The floor has no vocabulary, and counts
        nothing."""
        return self._floor.scored(texts)

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields the scores of the floor; they have no parts."""
        return ({WHOLE: scores_NK} for scores_NK in self.of(texts))


class BothScores:
    """The scores of a trained encoder beside those of its floor, for the same texts.

    Args:
        encoder: the encoder.
        floor: the floor.
        ensemble: the factors with which both predict. None if the encoder predicts alone; then the floor is
            only computed for `parts`.
    """

    def __init__(self, encoder: EncoderScores, floor: FloorScores, ensemble: Ensemble | None) -> None:
        self._encoder, self._floor, self._ensemble = encoder, floor, ensemble
        self._whole = None if ensemble is None else EnsembleModel(ensemble)

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The encoder's model, the floor, and the ensemble or, without one, the encoder's model again."""
        encoder, floor = self._encoder.models[WHOLE], self._floor.models[WHOLE]
        return {WHOLE: self._whole or encoder, ENCODER: encoder, FLOOR: floor}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) scores, a chunk of texts at a time. A side that does not count is not computed."""
        if self._ensemble is None:
            return self._encoder.of(texts, unknown)
        if not self._ensemble.encoder:
            factor = np.float32(self._ensemble.floor)
            return (factor * floor_NK for floor_NK in self._floor.of(texts))
        return (parts[WHOLE] for parts in self._parts(texts, unknown))

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields the scores of both sides and, if they predict together, of the ensemble."""
        return self._parts(texts, None)

    def _parts(self, texts: Iterable[str], unknown: UnknownText | None) -> Iterator[Parts]:
        # the encoder reads a chunk of texts and yields their scores; the floor scores the texts that it read
        read: list[str] = []
        for encoder_NK in self._encoder.of(_noted(texts, read), unknown):
            floor_NK = np.concatenate(list(self._floor.of(read)))
            read.clear()
            if self._ensemble is None:
                yield {WHOLE: encoder_NK, FLOOR: floor_NK}
            else:
                whole_NK = self._ensemble.scores(encoder_NK, floor_NK)
                yield {WHOLE: whole_NK, ENCODER: encoder_NK, FLOOR: floor_NK}


def _noted(texts: Iterable[str], read: list[str]) -> Iterator[str]:
    """Yields the texts, and notes each in a list."""
    for text in texts:
        read.append(text)
        yield text
