"""The outputs of a trained model for texts, computed by torch.

Shapes: n texts of a chunk, K outputs of each text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from custom_bert.config import Precision
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.errors import warn_caller
from custom_bert.inference.chunks import chunks
from custom_bert.inference.in_order import begin, prepare_threads
from custom_bert.inference.scores import WHOLE, Parts
from custom_bert.inference.units_in_order import begin_units
from custom_bert.model_files.native import TrainedModel
from custom_bert.models.heads import thresholds_of
from custom_bert.precision import round_matrices, sound_precision


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
    def model(self) -> nn.Module:
        """The module that computes."""
        return self._model

    @property
    def thresholds(self) -> Mapping[str, np.ndarray | None]:
        """The thresholds of the model."""
        return {WHOLE: thresholds_of(self._model)}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) outputs of the model, a chunk of texts at a time; (n,) `UnitOutputs` of a model that
        labels units.

        While a GPU computes a chunk, the next one is read, tokenised and built into batches.
        """
        counts = UnknownText() if unknown is None else unknown
        described = self._trained.described
        computing: Callable[[], np.ndarray] | None = None
        # of a text that is labelled unit by unit, every token may have outputs
        units = described.task.labels_units
        outputs = described.task.num_outputs * (described.max_length if units else 1)
        begin_chunk = begin_units if units else begin
        for chunk in chunks(texts, outputs):
            # between two chunks the caller's code runs, which may have forked or set OpenMP's limits
            model, precision = self._prepared()
            begun = begin_chunk(
                model,
                self._trained.tokenizer,
                chunk,
                max_length=described.max_length,
                long_texts=described.long_texts,
                device=self._device,
                precision=precision,
                unknown=counts,
            )
            if computing is not None:
                yield computing()
            if self._device.type == "cuda":
                computing = begun
            else:
                yield begun()
        if computing is not None:
            yield computing()
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
