"""`TextRegressor`: numbers for texts behind fit and predict, for scikit-learn's pipelines and searches.

Shapes: N texts, K numbers of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, column_or_1d

from custom_bert.data.memory import checked_weights
from custom_bert.data.numbers import LARGEST
from custom_bert.decoding.numbers import NumberDecoder
from custom_bert.errors import RunError, first_line, shown
from custom_bert.estimator.description import read_parameters
from custom_bert.estimator.fitting import fitted_run
from custom_bert.estimator.given import counts_agree, texts_of_one_or_two_columns
from custom_bert.estimator.parameters import checked_config
from custom_bert.estimator.saved import SavedEstimator
from custom_bert.inference.classifier import Classifier
from custom_bert.tasks.regression import Regression


class TextRegressor(RegressorMixin, SavedEstimator):  # type: ignore[misc]
    """A regression on texts for scikit-learn: it learns from texts and numbers in memory, and predicts
    numbers in the same unit.

    A fitted estimator holds the bytes of its run's files, and can be copied, pickled and saved. Nothing is
    written unless it is saved. `score` is scikit-learn's R2.

    Args:
        init_from: a pretrained encoder to start from, or the directory of an earlier `save`; see
            `model.init_from`. None takes minilm, if it is on this machine and the texts read as English.
        max_minutes: the most minutes that training takes. A second fit then gives slightly different weights.
        epochs: the number of passes over the texts. None goes by the amount of text.
        lr: the peak learning rate. None goes by the model.
        max_length: the largest number of tokens that are read of a text.
        floor: whether a linear model on n-grams is fitted, too, to compare with.
        validation_fraction: the share of the texts that chooses the best weights and does not train them.
            None takes 0.1. With 0 all texts train, and the last weights are kept.
        device: cpu or cuda. None takes cuda if there is a CUDA device.
        random_state: a whole number repeats a fit bit for bit on one machine. None draws a seed from numpy's
            global generator; a RandomState or a Generator is drawn from.
        verbose: 0 prints nothing; what is doubtful about the texts is then a `CustomBertWarning`. 1 prints
            the progress, and 2 every choice with its reason.
        settings: further settings by dotted name, such as `{"optim.regression_loss": "huber"}`;
            docs/reference/configuration.md has them all.

    Attributes:
        n_outputs_: K, the number of numbers of a text.
        run_: the files of the run, as bytes by their names; run.json has what was measured.
    """

    n_outputs_: int

    def __init__(
        self,
        *,
        init_from: str | Path | None = None,
        max_minutes: float | None = None,
        epochs: int | None = None,
        lr: float | None = None,
        max_length: int | None = None,
        floor: bool = True,
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
        self.floor = floor
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.settings = settings

    def fit(self, X: Any, y: Any, sample_weight: Iterable[float] | None = None) -> TextRegressor:
        """Trains a model, and returns the estimator itself. An earlier fit is forgotten.

        Args:
            X: N texts: a list, an array, the column of a table, or a table of one column. N pairs of texts: a
                list of tuples of two strings, an array of shape (N, 2), or a table of two columns.
            y: (N,) a number for each text, or (N, K) several.
            sample_weight: (N,) how much each text counts, from 0 on. A text with the weight 2 counts as two
                of its kind, one with 0 is left out.

        Raises:
            TypeError, ValueError: for texts, numbers, weights or parameters that cannot be used, in one line.
            RunError: if the encoder of `init_from` is not there or is damaged.
            KeyboardInterrupt: after Ctrl-C; nothing is left behind.
        """
        texts, values_NK = self._texts(X), _numbers(y)
        counts_agree(len(texts), len(values_NK))
        if len(texts) < 2:
            raise ValueError("numbers: there is one sample, and at least two texts are needed")
        weights_N = None if sample_weight is None else checked_weights(sample_weight, len(texts))
        if weights_N is not None:
            kept = np.flatnonzero(weights_N)
            texts, values_NK, weights_N = [texts[i] for i in kept.tolist()], values_NK[kept], weights_N[kept]
        own = {**self.get_params(deep=False), "task": None, "class_weight": None, "ensemble": None}
        config = checked_config(own, Regression.name)
        lines = ["\t".join(map(repr, row)) for row in values_NK.tolist()]
        self.run_ = fitted_run(config, texts, lines, weights_N, self.verbose)
        self.n_outputs_ = values_NK.shape[1]
        return self

    def _texts(self, X: Any) -> list[Any]:
        """Returns the texts or pairs that a caller gives, for fit and for predictions."""
        return texts_of_one_or_two_columns(X)

    def predict(self, X: Any) -> np.ndarray:
        """Returns (N,) float64, the numbers of texts; (N, K) if `fit` was given several for each.

        Raises:
            TypeError: if a text is no string.
            NotFittedError: before `fit`.
        """
        self._check_is_fitted()
        found_NK = self.run_.classifier(self.device).predict_proba(self._texts(X)).astype(np.float64)
        return found_NK[:, 0] if self.n_outputs_ == 1 else found_NK

    @classmethod
    def load(cls, directory: str | Path) -> TextRegressor:
        """Returns a fitted estimator from a run directory: one of `save`, or one of a run that learned
        numbers by the command line or `train_model`, with the parameters at their defaults.

        Raises:
            RunError: if the directory is missing, incomplete or damaged, or holds no model of numbers.
        """
        model = Classifier.load(directory)
        if not isinstance(model.decoder, NumberDecoder):
            other = "TextClassifier" if model.labels else "TokenClassifier"
            raise RunError(f"{directory}: its model predicts no numbers; take {other}.load")
        estimator, _ = cls._of_run(directory, model, lambda stored: (read_parameters(stored), None))
        estimator.n_outputs_ = model.task.num_outputs
        return estimator

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _numbers(y: Any) -> np.ndarray:
    """Returns (N, K) float64 numbers.

    Raises:
        TypeError: if they are no list or array.
        ValueError: if they are no finite numbers, or there are none.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None")
    if isinstance(y, str | bytes | Set | Mapping):
        raise TypeError(f"numbers: expected a list or an array, got {shown(y)}")
    dtype = getattr(y, "dtype", None)
    if (
        isinstance(dtype, np.dtype) and dtype.kind in "cmM"
    ):  # numpy would make numbers of dates without a word
        what = "Complex data not supported" if dtype.kind == "c" else "dates and times are no numbers"
        raise ValueError(f"numbers: {what}; got an array of {dtype}")
    try:
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    except OverflowError:
        what = f"numbers: at least one is larger than {LARGEST:g}; write them in another unit"
        raise ValueError(what) from None
    except ValueError as error:  # some of its messages go on for lines
        raise ValueError(first_line(error)) from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    return np.asarray(values.reshape(len(values), -1))
