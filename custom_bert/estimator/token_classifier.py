"""`TokenClassifier`: spans of texts behind fit and predict, for scikit-learn's searches and cross-validation.

Shapes: N texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from custom_bert.decoding.spans import SpanDecoder
from custom_bert.errors import RunError
from custom_bert.estimator.description import read_parameters
from custom_bert.estimator.fitting import fitted_on_files
from custom_bert.estimator.given import texts_of
from custom_bert.estimator.parameters import checked_config
from custom_bert.estimator.saved import SavedEstimator
from custom_bert.estimator.spans import json_lines, read_spans_of
from custom_bert.inference.classifier import Classifier
from custom_bert.spans.entity import types_of
from custom_bert.spans.entity_scores import EntityCounts
from custom_bert.tasks.tokens import Tokens


class TokenClassifier(SavedEstimator):
    """Finds spans in texts for scikit-learn: it learns from texts and their spans in memory, and predicts
    spans of the texts' own characters.

    A fitted estimator holds the bytes of its run's files, and can be copied, pickled and saved. Nothing is
    written unless it is saved. `score` is the F1 of whole spans.

    Args:
        init_from: a pretrained encoder to start from, or the directory of an earlier `save`; see
            `model.init_from`. None takes minilm, if it is on this machine and the texts read as English.
        max_minutes: the most minutes that training takes. A second fit then gives slightly different weights.
        epochs: the number of passes over the texts. None goes by the amount of text.
        lr: the peak learning rate. None goes by the model.
        max_length: the largest number of tokens of a window in which a text is read.
        class_weight: None; balanced, so that every type weighs the same; effective_number; or a mapping of
            types, and "O" for what is in no span, to weights, 1 for those that it lacks.
        validation_fraction: the share of the texts that chooses the best weights and does not train them.
            None takes 0.1. With 0 all texts train, and the last weights are kept.
        device: cpu or cuda. None takes cuda if there is a CUDA device.
        random_state: a whole number repeats a fit bit for bit on one machine. None draws a seed from numpy's
            global generator; a RandomState or a Generator is drawn from.
        verbose: 0 prints nothing; what is doubtful about the texts is then a `CustomBertWarning`. 1 prints
            the progress, and 2 every choice with its reason.
        settings: further settings by dotted name; docs/reference/configuration.md has them all.

    Attributes:
        types_: the types of spans, sorted.
        run_: the files of the run, as bytes by their names; run.json has what was measured.
    """

    types_: tuple[str, ...]

    def __init__(
        self,
        *,
        init_from: str | Path | None = None,
        max_minutes: float | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        max_length: int | None = None,
        class_weight: Literal["balanced", "effective_number"] | Mapping[str, float] | None = None,
        validation_fraction: float | None = None,
        device: Literal["cpu", "cuda"] | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        verbose: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.init_from = init_from
        self.max_minutes = max_minutes
        self.epochs = epochs
        self.lr = lr
        self.max_length = max_length
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.settings = settings

    def fit(self, X: Any, y: Any) -> TokenClassifier:
        """Trains a model, and returns the estimator itself. An earlier fit is forgotten.

        Args:
            X: N texts: a list, an array, the column of a table, or a table of one column.
            y: for each text a list of its spans: mappings with start, end and label, or tuples of these.
                Places count characters from 0, and end is the index after the last one.

        Raises:
            TypeError, ValueError: for texts, spans or parameters that cannot be used, in one line that says
                where.
            RunError: if the encoder of `init_from` is not there or is damaged.
            KeyboardInterrupt: after Ctrl-C; nothing is left behind.
        """
        texts = texts_of(X)
        spans = read_spans_of(y, texts)
        own = {**self.get_params(deep=False), "task": None, "floor": True, "ensemble": None}
        config = checked_config(own, Tokens.name)
        content = json_lines(texts, spans)
        self.run_ = fitted_on_files(config, {"data.train_spans": ("train.jsonl", content)}, self.verbose)
        self.types_ = types_of(spans)
        return self

    def predict(self, X: Any) -> list[list[dict[str, Any]]]:
        """Returns the spans of each text, in order: dictionaries with start, end, label, score and text.
        `fit` takes them too.

        Raises:
            TypeError: if a text is no string.
            NotFittedError: before `fit`.
        """
        self._check_is_fitted()
        found = self.run_.classifier(self.device).predict(texts_of(X))
        return [prediction.as_dict()["spans"] for prediction in found]

    def score(self, X: Any, y: Any) -> float:
        """Returns the F1 of whole spans: a predicted one is right if a given one has its place and its label.

        Args:
            X: N texts.
            y: their spans, as `fit` takes them.

        Raises:
            TypeError, ValueError: for texts or spans that cannot be used.
            NotFittedError: before `fit`.
        """
        texts = texts_of(X)
        given = read_spans_of(y, texts)
        predicted = read_spans_of(self.predict(texts), texts)
        counts = EntityCounts(types_of([*given, *predicted]))
        for true, found in zip(given, predicted, strict=True):
            counts.add(true, found)
        return counts.scores().f1

    @classmethod
    def load(cls, directory: str | Path) -> TokenClassifier:
        """Returns a fitted estimator from a run directory: one of `save`, or one of a run that learned
        spans by the command line or `train_model`, with the parameters at their defaults.

        Raises:
            RunError: if the directory is missing, incomplete or damaged, or holds no model of spans.
        """
        model = Classifier.load(directory)
        if not isinstance(model.decoder, SpanDecoder):
            raise RunError(f"{directory}: its model finds no spans; take TextClassifier.load")
        estimator, _ = cls._of_run(directory, model, lambda stored: (read_parameters(stored), None))
        estimator.types_ = model.decoder.types
        return estimator
