"""`TextClassifier`: the whole package behind fit and predict, for scikit-learn's pipelines and searches.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags

from custom_bert.config import TaskName
from custom_bert.data.memory import checked_weights
from custom_bert.errors import ConfigError, RunError, shown
from custom_bert.estimator.description import described, read_description
from custom_bert.estimator.fitting import fitted_run
from custom_bert.estimator.given import counts_agree, texts_of_one_or_two_columns
from custom_bert.estimator.labels import Given, Labels, read_labels
from custom_bert.estimator.parameters import config_of
from custom_bert.estimator.saved import SavedEstimator
from custom_bert.estimator.shares import GivenShares, look_like_shares, read_shares
from custom_bert.inference.classifier import Classifier
from custom_bert.tasks.registry import takes_shares, task_of_labels, task_of_shares


class TextClassifier(ClassifierMixin, SavedEstimator):  # type: ignore[misc]
    """A text classifier for scikit-learn: it learns from texts and labels in memory, and predicts labels.

    A label is a string, a whole number or a bool, one for each text. For several labels of a text, labels are
    a list of sets, or a matrix of zeros and ones with a column for each class, dense or sparse. Predictions
    have the form and the type of the labels. With the task soft_labels, they are an array of shares with a
    column for each class, or a dict of labels and shares for each text; a prediction is one label.

    A fitted estimator holds the bytes of its run's files, and can be copied, pickled and saved. Nothing is
    written unless it is saved.

    Args:
        task: classification, ordinal, multi_label or soft_labels. None goes by the labels, and never takes
            ordinal or soft_labels; a value refuses labels of another form. Ranks that are no numbers need
            `data.label_order` among the settings.
        init_from: a pretrained encoder to start from, or the directory of an earlier `save`; see
            `model.init_from`. None takes minilm, if it is on this machine and the texts read as English.
        max_minutes: the most minutes that training takes. A second fit then gives slightly different weights.
        epochs: the number of passes over the texts. None goes by the amount of text.
        lr: the peak learning rate. None goes by the model.
        max_length: the largest number of tokens that are read of a text.
        class_weight: None; balanced, so that every class weighs the same; effective_number, so that very
            frequent ones are left heavier; or a mapping of classes to weights, 1 for those that it lacks. For
            one label a text these multiply the weights of the texts. Of several labels, a weight is how much
            the presence of the label counts in the loss, and its absence counts 1; of shares, how much the
            share of the label counts.
        floor: whether a linear model on n-grams is fitted, too.
        ensemble: whether encoder and floor predict together. None means: where there are enough texts.
        validation_fraction: the share of the texts that chooses the best weights and does not train them.
            None takes 0.1. With 0 all texts train, and the last weights are kept.
        device: cpu or cuda. None takes cuda if there is a CUDA device.
        random_state: a whole number repeats a fit bit for bit on one machine. None draws a seed from numpy's
            global generator; a RandomState or a Generator is drawn from.
        verbose: 0 prints nothing; what is doubtful about the texts is then a `CustomBertWarning`. 1 prints
            the progress, and 2 every choice with its reason.
        settings: further settings by dotted name, such as `{"optim.r_drop": 1.0}`;
            docs/reference/configuration.md has them all.

    Attributes:
        classes_: (C,) the classes in the order of the columns of `predict_proba`, as scikit-learn sorts them.
        run_: the files of the run, as bytes by their names; run.json has what was measured.
        labels_: the form and the type of the labels.
    """

    classes_: np.ndarray
    labels_: Labels

    def __init__(
        self,
        *,
        task: TaskName | None = None,
        init_from: str | Path | None = None,
        max_minutes: float | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        max_length: int | None = None,
        class_weight: Literal["balanced", "effective_number"] | Mapping[Any, float] | None = None,
        floor: bool = True,
        ensemble: bool | None = None,
        validation_fraction: float | None = None,
        device: Literal["cpu", "cuda"] | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        verbose: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.task = task
        self.init_from = init_from
        self.max_minutes = max_minutes
        self.epochs = epochs
        self.lr = lr
        self.max_length = max_length
        self.class_weight = class_weight
        self.floor = floor
        self.ensemble = ensemble
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.settings = settings

    def fit(self, X: Any, y: Any, sample_weight: Iterable[float] | None = None) -> TextClassifier:
        """Trains a model, and returns the estimator itself. An earlier fit is forgotten.

        Args:
            X: N texts: a list, an array, the column of a table, or a table of one column. N pairs of texts: a
                list of tuples of two strings, an array of shape (N, 2), or a table of two columns.
            y: the labels of each text: one, a set of them, a row of zeros and ones, or shares.
            sample_weight: (N,) how much each text counts, from 0 on. A text with the weight 2 counts as two
                of its kind, one with 0 is left out.

        Raises:
            TypeError, ValueError: for texts, labels, weights or parameters that cannot be used, in one line
                that says where.
            RunError: if the encoder of `init_from` is not there or is damaged.
            KeyboardInterrupt: after Ctrl-C; nothing is left behind.
        """
        texts, shares = self._texts(X), takes_shares(self.task)
        given = read_shares(y) if shares else read_labels(y)
        counts_agree(len(texts), len(given))
        weights_N = self._weights(given, sample_weight)
        if weights_N is not None:
            kept = np.flatnonzero(weights_N)
            texts, given, weights_N = [texts[i] for i in kept.tolist()], given.some(kept), weights_N[kept]
        labels = given.labels
        if len(labels.classes) < 2 and not labels.are_sets:
            only = labels.names[0]
            raise ValueError(f"labels: there is one class, {only!r}, and at least two are needed")
        parameters = self.get_params(deep=False)
        if isinstance(self.class_weight, Mapping) and isinstance(given, Given) and labels.are_sets:
            parameters["class_weight"] = _weights_of_labels(self.class_weight, given)
        try:
            asked = task_of_labels(sets=labels.are_sets, asked=self.task)
            config = config_of(parameters, task_of_shares() if shares else asked)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        stored = fitted_run(config, texts, given.lines(), weights_N, self.verbose)
        self.run_, self.labels_, self.classes_ = stored, labels, labels.classes
        return self

    def _texts(self, X: Any) -> list[Any]:
        """Returns the texts or pairs that a caller gives, for fit and for predictions."""
        return texts_of_one_or_two_columns(X)

    def _weights(
        self, given: Given | GivenShares, sample_weight: Iterable[float] | None
    ) -> np.ndarray | None:
        """Returns the weights of texts, for one label a text with those of their classes multiplied in; None
        if all count the same."""
        weights_N = None if sample_weight is None else checked_weights(sample_weight, len(given))
        if isinstance(given, GivenShares) or not isinstance(self.class_weight, Mapping):
            return weights_N
        if given.labels.are_sets:
            return weights_N
        of_classes_N = _weights_of_classes(self.class_weight, given)
        return checked_weights(of_classes_N if weights_N is None else weights_N * of_classes_N, len(given))

    def predict(self, X: Any) -> Any:
        """Returns the labels of texts, in the form and the type of the labels that `fit` was given.

        For one label a text that is an (N,) array with the most probable class, or the middle rank. For
        several it is a list of sets, or an (N, C) matrix of zeros and ones, with the labels whose
        probabilities reach their thresholds.

        Raises:
            TypeError: if a text is no string.
            NotFittedError: before `fit`.
        """
        model, places_K = self._model()
        texts = self._texts(X)
        given = (model.decoder.given(row_K) for row_K in model.stream_proba(texts))
        rows = [sorted(places_K[indices].tolist()) for indices in given]
        return self.labels_.answers(rows, len(texts))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns (N, C) fp32 probabilities, with the columns in the order of `classes_`.

        For one label a text they add up to 1. For several each is the probability that a text has the label.

        Raises:
            TypeError: if a text is no string.
            NotFittedError: before `fit`.
        """
        model, places_K = self._model()
        found_NK = model.predict_proba(self._texts(X))
        probabilities_NC = np.zeros((len(found_NK), len(self.classes_)), dtype=np.float32)
        probabilities_NC[:, places_K] = found_NK
        return probabilities_NC

    def score(self, X: Any, y: Any, sample_weight: Iterable[float] | None = None) -> float:
        """Returns the share of the texts whose labels are all predicted right, each counted by its weight.

        Args:
            X: N texts.
            y: their labels, in the form that `fit` was given. Of shares, the label with the largest one is
                right, or each of those that have it.
            sample_weight: (N,) how much each text counts; None for the same.

        Raises:
            TypeError, ValueError: for texts, labels or weights that cannot be used.
            NotFittedError: before `fit`.
        """
        if look_like_shares(y) and self._model()[0].task.takes_shares:
            labels_N, shares = self.predict(X), read_shares(y)
            counts_agree(len(labels_N), len(shares))
            weights_N = None if sample_weight is None else checked_weights(sample_weight, len(shares))
            return float(np.average(shares.are_largest(labels_N), weights=weights_N))
        predicted, given = read_labels(self.predict(X)), read_labels(y)
        counts_agree(len(predicted), len(given))
        weights_N = None if sample_weight is None else checked_weights(sample_weight, len(given))
        if predicted.width != given.width:
            raise ValueError(f"labels: expected the form that fit was given: {self.labels_.form}")
        right_N = [mine == theirs for mine, theirs in zip(predicted.values(), given.values(), strict=True)]
        return float(np.average(right_N, weights=weights_N))

    def _model(self) -> tuple[Classifier, np.ndarray]:
        """Returns the model, and which class each of its outputs stands for."""
        self._check_is_fitted()
        model = self.run_.classifier(self.device)
        return model, self.labels_.places(model.labels)

    def _described(self) -> dict[str, Any]:
        return described(self.get_params(deep=False), self.labels_)

    @classmethod
    def load(cls, directory: str | Path) -> TextClassifier:
        """Returns a fitted estimator from a run directory: one of `save`, or one of a run with labels that
        the command line or `train_model` trained.

        Labels and parameters are those that were saved. A run that is no estimator's has strings as labels,
        and the parameters are at their defaults.

        Raises:
            RunError: if the directory is missing, incomplete or damaged, or holds no classifier.
        """
        model = Classifier.load(directory)
        if model.task.label_sets is None and not model.task.takes_shares:
            raise RunError(f"{directory}: its model predicts no labels")
        sets = bool(model.task.label_sets)
        estimator, labels = cls._of_run(
            directory, model, lambda stored: read_description(stored, model.labels, sets=sets)
        )
        estimator.labels_, estimator.classes_ = labels, labels.classes
        return estimator

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _weights_of_classes(class_weight: Mapping[Any, float], given: Given) -> np.ndarray:
    """Returns (N,) the weight of each text's class; 1 for a class that the mapping lacks.

    Raises:
        ValueError: if the mapping has a class that no text has.
    """
    classes = given.labels.classes.tolist()
    _check_known(class_weight, classes)
    weights_C = checked_weights([class_weight.get(label, 1.0) for label in classes], len(classes))
    return np.asarray(weights_C[[row[0] for row in given.rows]])


def _weights_of_labels(class_weight: Mapping[Any, float], given: Given) -> dict[Any, float]:
    """Returns the weights of those labels that a text has; a column of zeros has nothing that could weigh.

    Raises:
        ValueError: if the mapping has something that is no label.
    """
    classes = given.labels.classes.tolist()
    _check_known(class_weight, classes)
    used = {classes[index] for row in given.rows for index in row}
    return {label: weight for label, weight in class_weight.items() if label in used}


def _check_known(class_weight: Mapping[Any, float], classes: list[Any]) -> None:
    """Raises ValueError if a mapping of class weights has something that is no class."""
    for label in class_weight:
        if label not in classes:
            raise ValueError(f"class_weight: {shown(label)} is not one of the labels")
