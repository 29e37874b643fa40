"""A trained classifier: texts in, labels and probabilities out, in input order, in bounded memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from custom_bert.batch import Targets
from custom_bert.config import Precision
from custom_bert.data.given import strings
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.errors import RunError, did_you_mean, shown, warn_caller
from custom_bert.inference.in_order import chunks, compute, prepare_threads
from custom_bert.label_metrics import LabelScores
from custom_bert.machine import choose_device
from custom_bert.metrics import Scores
from custom_bert.model_files.native import TrainedModel, load_model
from custom_bert.openmp import one_thread
from custom_bert.precision import choose_precision, round_matrices, sound_precision
from custom_bert.tasks.task import Measured, Prediction, UnknownLabelError


class Classifier:
    """A model directory, ready to predict.

    Args:
        trained: as loaded; use `Classifier.load` for a directory.
        device: where to run.
        precision: of matrix products. fp32 gives an exported model's labels; bf16 is faster where the
            processor computes it, and a label changes where two are within its rounding.
    """

    def __init__(self, trained: TrainedModel, device: torch.device, precision: Precision = "fp32") -> None:
        self.precision = precision
        self.task = trained.task
        self.labels = trained.task.output_names
        self.max_length, self.long_texts = trained.described.max_length, trained.described.long_texts
        self.tokenizer = trained.tokenizer
        self.device = device
        self.model = trained.model.to(device).eval()
        self._models: dict[Precision, nn.Module] = {"fp32": self.model}
        self._used, self._told = False, ""

    @staticmethod
    def load(
        directory: str | Path, *, device: str | None = None, precision: Precision = "fp32"
    ) -> Classifier:
        """Loads what `custom-bert train` wrote. No thread is started, so that a process may load a model and
        then fork. Do not fork a process that has already predicted.

        Args:
            directory: the run directory.
            device: "cpu" or "cuda"; None takes cuda if there is one.
            precision: see `Classifier`.

        Raises:
            RunError: if the directory is missing, incomplete or damaged, or holds a model that says nothing
                about texts.
            ConfigError: if the device is not there, or does not compute the precision; a CPU without bf16
                hardware computes bf16, but slowly.
        """
        where = choose_device(device)[0]
        with one_thread():
            trained = load_model(directory)
            if not trained.task.output_names:
                raise RunError(f"{directory}: {trained.task.silence.format(directory=directory)}")
            return Classifier(trained, where, choose_precision(precision, where)[0])

    def predict(self, texts: Iterable[str]) -> list[Prediction]:
        """What the model says of each text, in input order: of a classifier `Prediction`, the most probable
        label; of a multi-label classifier `LabelsPrediction`, the labels above their thresholds.

        Raises:
            TypeError: if `texts` is no collection of strings; names the first item that is none.
        """
        return list(self.stream(texts))

    def stream(
        self, texts: Iterable[str], *, every: bool = False, unknown: UnknownText | None = None
    ) -> Iterator[Prediction]:
        """As `predict`, one by one; the input is read up to 4,096 texts at a time, fewer for more than 4,096
        labels.

        Args:
            texts: any number.
            every: whether a prediction holds the probabilities of all labels, too.
            unknown: collects counts of unknown text; this method then gives no warning.
        """
        for probabilities_NC in self._chunks(texts, unknown):
            yield from self.task.predictions(probabilities_NC, self.model, every=every)

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """(N, C) fp32 probabilities; columns in the order of `labels`, as in scikit-learn."""
        lists = list(self._chunks(texts))
        if not lists:
            return np.empty((0, len(self.labels)), dtype=np.float32)
        return np.concatenate(lists)

    def stream_proba(
        self, texts: Iterable[str], *, unknown: UnknownText | None = None
    ) -> Iterator[np.ndarray]:
        """(C,) probabilities of each text, one by one; the input is read as in `stream`.

        Args:
            texts: any number.
            unknown: collects counts of unknown text; this method then gives no warning.
        """
        for probabilities_NC in self._chunks(texts, unknown):
            yield from probabilities_NC

    def evaluate(self, texts: Iterable[str], labels: Iterable[str]) -> Scores | LabelScores:
        """Scores on labelled texts: `Scores` of a classifier, `LabelScores` of a multi-label classifier.

        Args:
            texts: any number.
            labels: as they stand in a label file, one line for each text.

        Raises:
            TypeError: if `texts` or `labels` is no collection of strings.
            ValueError: if the counts differ or a label is unknown.
        """
        scores: Scores | LabelScores = self.measure(texts, labels).scores
        return scores

    def measure(self, texts: Iterable[str], labels: Iterable[str]) -> Measured:
        """As `evaluate`, with the loss, and in the form that every task has.

        Args:
            texts: any number.
            labels: as they stand in a label file, one for each text.

        Raises:
            TypeError: if `texts` or `labels` is no collection of strings.
            ValueError: if the counts differ or a label is unknown.
        """
        texts, labels = strings(texts), strings(labels, "label")
        values = self._values(labels)
        if isinstance(labels, list):  # what is wrong is told before anything is computed
            values = iter(list(values))
            if isinstance(texts, list):
                _check_counts(len(texts), len(labels))
        scorer = self.task.scorer(self.model)
        for outputs_NK in self._outputs(texts):
            wanted = list(itertools.islice(values, len(outputs_NK)))
            _check_counts(len(outputs_NK), len(wanted))
            scorer.add(torch.from_numpy(outputs_NK), Targets(torch.from_numpy(np.stack(wanted))))
        _check_counts(0, sum(1 for _ in itertools.islice(values, 1)))
        return scorer.measured()

    def _values(self, labels: Iterable[str]) -> Iterator[np.ndarray]:
        """What each line of labels asks for."""
        try:
            yield from self.task.targets_of(labels)
        except UnknownLabelError as error:
            label, near = shown(str(error.label)), did_you_mean(error.label, self.labels)
            raise ValueError(
                f"label {error.index}: {label} is not one of this model's labels{near}"
            ) from None

    def _chunks(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """(n, C) probabilities of the texts of a chunk at a time."""
        for outputs_NK in self._outputs(texts, unknown):
            yield self.task.probabilities(outputs_NK)

    def _outputs(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """(n, K) outputs of the model for the texts of a chunk at a time."""
        counts = UnknownText() if unknown is None else unknown
        for chunk in chunks(texts, len(self.labels)):
            model, precision = self._prepared()  # the caller's code may have run since the last one
            outputs_NK = compute(
                model,
                self.tokenizer,
                chunk,
                max_length=self.max_length,
                long_texts=self.long_texts,
                device=self.device,
                precision=precision,
                unknown=counts,
            )
            yield outputs_NK
        if unknown is None and counts.spoils_predictions:
            warn_caller(f"{counts.message(lines=False)}: {OF_A_MODEL}")

    def _prepared(self) -> tuple[nn.Module, Precision]:
        """A model with matrices for the precision that is right at this moment, and that precision.

        A model is never changed once it exists, since other threads may be computing with it, and one thread
        may be given bf16 while OpenMP withholds it from another. Of the fp32 weights nothing is kept after
        bf16 was used, which halves the memory: fp32 computes with the rounded ones then.
        """
        prepare_threads()
        precision, fault = sound_precision(self.precision, self.device)
        if fault and fault != self._told:
            self._told = fault
            warn_caller(fault)
        model = self._models.get(precision)
        if model is None:
            model = copy.deepcopy(self.model)
            round_matrices(model, precision)
            self._models = {**(self._models if self._used else {}), precision: model}
            self.model = model
        self._used = True
        return model, precision


def _check_counts(texts: int, labels: int) -> None:
    if labels != texts:
        raise ValueError(f"there are {'fewer' if labels < texts else 'more'} labels than texts")
