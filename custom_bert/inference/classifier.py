"""A trained classifier: texts in, labels and probabilities out, in input order, in bounded memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from custom_bert.checkpoints.native import Checkpoint, load_checkpoint
from custom_bert.config import Precision
from custom_bert.data.labels import LabelIds
from custom_bert.data.unknown import OF_A_MODEL, UnknownText
from custom_bert.errors import did_you_mean, shown, warn_caller
from custom_bert.inference.in_order import compute, prepare_threads, windows
from custom_bert.inference.inputs import strings
from custom_bert.machine import choose_device
from custom_bert.metrics import ConfusionMatrix, Scores
from custom_bert.models.heads import SequenceClassifier
from custom_bert.openmp import one_thread
from custom_bert.precision import choose_precision, round_matrices, sound_precision


@dataclass(frozen=True)
class Prediction:
    """The most probable label of a text.

    Attributes:
        label: as it stood in the label file.
        probability: of that label.
    """

    label: str
    probability: float


class Classifier:
    """A model directory, ready to predict.

    Args:
        checkpoint: as loaded; use `Classifier.load` for a directory.
        device: where to run.
        precision: of matrix products. fp32 gives an exported model's labels; bf16 is faster where the
            processor computes it, and a label changes where two are within its rounding.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: Precision = "fp32") -> None:
        self.precision = precision
        self.labels = checkpoint.labels
        self.max_length, self.long_texts = checkpoint.max_length, checkpoint.long_texts
        self.tokenizer = checkpoint.tokenizer
        self.device = device
        self.model = checkpoint.model.to(device).eval()
        self._models: dict[Precision, SequenceClassifier] = {"fp32": self.model}
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
            RunError: if the directory is missing, incomplete or damaged.
            ConfigError: if the device is not there, or does not compute the precision; a CPU without bf16
                hardware computes bf16, but slowly.
        """
        where = choose_device(device)[0]
        with one_thread():
            return Classifier(load_checkpoint(directory), where, choose_precision(precision, where)[0])

    def predict(self, texts: Iterable[str]) -> list[Prediction]:
        """The most probable label of each text, in input order.

        Raises:
            TypeError: if `texts` is no collection of strings; names the first item that is none.
        """
        return list(self.stream(texts))

    def stream(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """As `predict`, one by one; the input is read up to 4,096 texts at a time, fewer for more than 4,096
        labels."""
        for probabilities_NC in self._windows(texts):
            best_N = probabilities_NC.argmax(axis=1)
            for label, probability in zip(
                best_N.tolist(), probabilities_NC.max(axis=1).tolist(), strict=True
            ):
                yield Prediction(self.labels[label], probability)

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """(N, C) fp32 probabilities; columns in the order of `labels`, as in scikit-learn."""
        windows = list(self._windows(texts))
        if not windows:
            return np.empty((0, len(self.labels)), dtype=np.float32)
        return np.concatenate(windows)

    def stream_proba(
        self, texts: Iterable[str], *, unknown: UnknownText | None = None
    ) -> Iterator[np.ndarray]:
        """(C,) probabilities of each text, one by one; the input is read as in `stream`.

        Args:
            texts: any number.
            unknown: collects counts of unknown text; this method then gives no warning.
        """
        for probabilities_NC in self._windows(texts, unknown):
            yield from probabilities_NC

    def evaluate(self, texts: Iterable[str], labels: Iterable[str]) -> Scores:
        """Metrics on labelled texts.

        Raises:
            TypeError: if `texts` or `labels` is no collection of strings.
            ValueError: if the counts differ or a label is unknown.
        """
        texts, labels = strings(texts), strings(labels, "label")
        true_ids = self._ids(labels)
        if isinstance(labels, list):  # what is wrong is told before anything is computed
            true_ids = iter(list(true_ids))
            if isinstance(texts, list):
                _check_counts(len(texts), len(labels))
        matrix = ConfusionMatrix(len(self.labels))
        for probabilities_NC in self._windows(texts):
            true_N = np.fromiter(itertools.islice(true_ids, len(probabilities_NC)), dtype=np.int64)
            _check_counts(len(probabilities_NC), len(true_N))
            matrix.add(true_N, probabilities_NC.argmax(axis=1))
        _check_counts(0, sum(1 for _ in itertools.islice(true_ids, 1)))
        return matrix.scores()

    def _ids(self, labels: Iterable[str]) -> Iterator[int]:
        """The class of each label."""
        known = LabelIds(self.labels)
        for i, label in enumerate(labels):
            found = known.get(label)
            if found is None:
                near = did_you_mean(label, self.labels)
                raise ValueError(f"label {i}: {shown(str(label))} is not one of this model's labels{near}")
            yield found

    def _windows(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """(n, C) probabilities of the texts of a window at a time."""
        counts = UnknownText() if unknown is None else unknown
        for window in windows(texts, len(self.labels)):
            model, precision = self._prepared()  # the caller's code may have run since the last one
            logits_NC = compute(
                model,
                self.tokenizer,
                window,
                max_length=self.max_length,
                long_texts=self.long_texts,
                device=self.device,
                precision=precision,
                unknown=counts,
            )
            yield torch.from_numpy(logits_NC).softmax(-1).numpy()
        if unknown is None and counts.spoils_predictions:
            warn_caller(f"{counts.message(lines=False)}: {OF_A_MODEL}")

    def _prepared(self) -> tuple[SequenceClassifier, Precision]:
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
