"""A trained model that predicts for texts: their labels and probabilities, in input order.

Any number of texts can be streamed; memory holds one chunk of them at a time.

Shapes: N texts, n texts of a chunk, K outputs of the model. Where there are classes, K is their number C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from custom_bert.config import Precision
from custom_bert.data.given_pairs import texts_or_pairs
from custom_bert.data.unknown import UnknownText
from custom_bert.decoding.decoder import AnyPrediction, Decoder
from custom_bert.floor.ensemble import has_ensemble
from custom_bert.floor.storage import has_floor
from custom_bert.inference.explanation import Explanation, explained
from custom_bert.inference.kinds import load_directory
from custom_bert.inference.loaded import Loaded
from custom_bert.inference.scores import WHOLE, Parts, ScoreModel
from custom_bert.label_metrics import LabelScores
from custom_bert.metrics import Scores
from custom_bert.number_metrics import NumberScores

if TYPE_CHECKING:
    from custom_bert.tasks.parts import Measured
    from custom_bert.tasks.task import Task

Text = str | Sequence[str]
"""What a classifier reads: a text, or a pair of texts."""


class Classifier:
    """A trained model that predicts for texts.

    Args:
        decoder: what turns outputs into predictions.
        scores: what computes the scores of texts. `Classifier.load` makes both from a directory.
        task: returns what the model has learned. It is called to measure, which needs torch.
        pairs: whether it reads pairs of texts.

    Attributes:
        decoder: what turns outputs into predictions.
        scores: what computes the scores of texts.
        labels: the names of the classes, in the order of the probabilities.
        pairs: whether it reads pairs of texts. Then every text in what follows is a pair, such as
            `("question", "answer")`.
    """

    def __init__(
        self, decoder: Decoder, scores: ScoreModel, *, task: Callable[[], Task], pairs: bool = False
    ) -> None:
        self.decoder, self.labels, self.pairs = decoder, decoder.output_names, pairs
        self.scores, self._task = scores, task

    @property
    def task(self) -> Task:
        """What the model has learned. Where torch is not installed, this raises ModuleNotFoundError."""
        return self._task()

    @staticmethod
    def load(
        directory: str | Path,
        *,
        device: str | None = None,
        precision: Precision = "fp32",
        encoder_only: bool = False,
    ) -> Classifier:
        """Loads what `custom-bert train` wrote: encoder and floor, if they predict together, else the
        encoder; before that has weights, the floor. It also loads what `custom-bert export` wrote, and
        classifiers of others in Hugging Face's layout.

        No thread is started, so that a process may load a model and then fork. Do not fork a process that has
        already predicted.

        Args:
            directory: the run directory, a directory that `custom-bert export` wrote, or another one in
                Hugging Face's layout.
            device: "cpu" or "cuda"; None takes cuda if there is a CUDA device.
            precision: the number format of matrix products. fp32 predicts as an exported model does. bf16 is
                faster where the processor has it, and may change a label if two are almost equally probable.
            encoder_only: whether the encoder predicts alone, as an exported model does.

        Raises:
            RunError: if the directory is missing, incomplete or damaged, or holds a pretrained encoder, which
                predicts nothing for texts.
            LibraryError: if the library is not installed that computes such a model.
            ConfigError: if the device is not there, or does not compute in the precision. A CPU without bf16
                hardware computes in bf16, but slowly.
        """
        together = has_ensemble(directory) and not encoder_only
        return _classifier(
            load_directory(Path(directory), device, precision, floor=together, encoder_only=encoder_only)
        )

    @staticmethod
    def load_to_measure(
        directory: str | Path,
        *,
        device: str | None = None,
        precision: Precision = "fp32",
        encoder_only: bool = False,
    ) -> Classifier:
        """Loads what `load` loads, and the floor if there is one, so that `measure_parts` measures that too.
        For the arguments and what is raised see `load`."""
        floor = has_floor(directory) and not encoder_only
        return _classifier(
            load_directory(Path(directory), device, precision, floor=floor, encoder_only=encoder_only)
        )

    def predict(self, texts: Iterable[Text]) -> list[AnyPrediction]:
        """Returns a prediction for each text or pair, in input order.

        For a model with one label a text it is a `Prediction`, the most probable label. For a multi-label
        model it is a `LabelsPrediction`, the labels whose probabilities reach their thresholds, and for a
        regression a `NumbersPrediction`.

        Raises:
            TypeError: if `texts` is not a collection of strings, or for a model that reads pairs, of pairs of
                strings; it names the first item that is not one.
        """
        return list(self.stream(texts))

    def stream(
        self, texts: Iterable[Text], *, every: bool = False, unknown: UnknownText | None = None
    ) -> Iterator[AnyPrediction]:
        """Yields what `predict` returns, one prediction after the other.

        The input is read up to 4,096 texts at a time, or fewer where the model has more than 4,096 labels.

        Args:
            texts: any number of texts.
            every: whether a prediction also has the probabilities of all labels.
            unknown: counts the text that the vocabulary does not know. With it, the caller warns of unknown
                text; without it, this method does.
        """
        for probabilities_NC in self._chunks(texts, unknown):
            yield from self.decoder.predictions(probabilities_NC, every=every)

    def predict_proba(self, texts: Iterable[Text]) -> np.ndarray:
        """Returns (N, C) fp32 probabilities; the columns are in the order of `labels`, as in scikit-learn.
        For a regression it is (N, K) float64 numbers, in the unit of the training data."""
        chunks_of_rows = list(self._chunks(texts))
        if not chunks_of_rows:
            return np.empty((0, self.decoder.num_outputs), dtype=np.float32)
        return np.concatenate(chunks_of_rows)

    def stream_proba(
        self, texts: Iterable[Text], *, unknown: UnknownText | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the (C,) probabilities of one text after the other; the input is read as in `stream`.

        Args:
            texts: any number of texts.
            unknown: counts the text that the vocabulary does not know; see `stream`.
        """
        for probabilities_NC in self._chunks(texts, unknown):
            yield from probabilities_NC

    def explain(self, text: Text, *, label: str | None = None, most: int = 10) -> Explanation:
        """Returns which words of a text count most for its label, as the model predicts it.

        The text is predicted again without each of its words, all of these texts together. At most the first
        256 words are left out, and of a text with more than 16,384 characters fewer. Of a pair, the words of
        both texts are left out one at a time, and each effect says which text its word belongs to.

        Args:
            text: the text, or the pair.
            label: the label to explain. None for the predicted one, or for every label that a multi-label
                model predicts.
            most: the largest number of words for each label.

        Raises:
            TypeError: if `text` is not a string, or for a model that reads pairs, a pair of strings.
            ValueError: if the model does not know the label, or `most` is not a whole number from 0 on.
        """
        return explained(text, self.decoder, self.scores, pairs=self.pairs, label=label, most=most)

    def evaluate(self, texts: Iterable[Text], labels: Iterable[str]) -> Scores | LabelScores | NumberScores:
        """Returns the scores on labelled texts: `Scores`, for ranks `RankScores`, for a multi-label model
        `LabelScores`, and for a regression `NumberScores`.

        Args:
            texts: any number of texts.
            labels: what a label file holds, one string for each text.

        Raises:
            TypeError: if `texts` or `labels` is not a collection of strings.
            ValueError: if there are not as many labels as texts, the model does not know a label, or a line
                of labels has not the form that it reads.
        """
        scores: Scores | LabelScores | NumberScores = self.measure(texts, labels).scores
        return scores

    def measure(self, texts: Iterable[Text], labels: Iterable[str]) -> Measured:
        """Returns everything that is measured on labelled texts: scores, loss, and a table.

        Args:
            texts: any number of texts.
            labels: what a label file holds, one string for each text.

        Raises:
            TypeError: if `texts` or `labels` is not a collection of strings.
            ValueError: if there are not as many labels as texts, the model does not know a label, or a line
                of labels has not the form that it reads.
        """

        def whole(some: Iterable[str]) -> Iterator[Parts]:
            return ({WHOLE: scores_NK} for scores_NK in self.scores.of(some))

        return self._measured(texts, labels, whole)[WHOLE]

    def measure_parts(self, texts: Iterable[Text], labels: Iterable[str]) -> dict[str, Measured]:
        """Returns what `measure` returns under the name "whole". Where encoder and floor are loaded, it also
        measures each alone, under these names.

        For the arguments and what is raised see `measure`.
        """
        return self._measured(texts, labels, self.scores.parts)

    def _measured(
        self, texts: Iterable[Text], labels: Iterable[str], parts: Callable[[Iterable[str]], Iterator[Parts]]
    ) -> dict[str, Measured]:
        """Returns what is measured of each part of the scores, by its name."""
        from custom_bert.inference.measuring import measured

        given = texts_or_pairs(texts, pairs=self.pairs)
        return measured(self.task, self.scores.thresholds, given, labels, parts)

    def _chunks(self, texts: Iterable[Text], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) probabilities, a chunk of texts at a time."""
        for outputs_NK in self.scores.of(texts_or_pairs(texts, pairs=self.pairs), unknown):
            yield self.decoder.probabilities(outputs_NK)


def _classifier(loaded: Loaded) -> Classifier:
    return Classifier(loaded.decoder, loaded.scores, task=loaded.task, pairs=loaded.pairs)
