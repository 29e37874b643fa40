"""A decoder turns the outputs of a model into predictions. Every task whose models predict has one.

A decoder needs numpy only, so that a model can predict where torch is not installed. What is chosen after
training, such as thresholds, is given to it.

Shapes: N texts, K outputs of the model for each text. Where there are classes, K is their number C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np


class AnyPrediction(Protocol):
    """What a model predicts for one text."""

    def line(self) -> str:
        """Returns the line that `custom-bert predict` prints, its columns separated by tabs."""

    def as_dict(self) -> dict[str, Any]:
        """Returns what `custom-bert predict --json` prints."""

    def cells(self) -> tuple[str | float, ...]:
        """Returns the cells that `custom-bert predict` adds to the row of a table, one for each of the
        decoder's `table_columns`."""


class Decoder(ABC):
    """What the outputs of a model mean.

    Attributes:
        table_columns: the names of the columns that `custom-bert predict` adds to a table.
        labels_units: whether the outputs belong to the units of a text. They are an (N,) array of
            `decoding.spans.UnitOutputs` then, and so are the probabilities.
    """

    table_columns: ClassVar[tuple[str, ...]] = ("predicted_label", "predicted_probability")
    labels_units: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any], thresholds_C: np.ndarray | None) -> Self:
        """Returns the decoder of a model directory.

        Args:
            directory: the directory, with the files that `store` has written.
            stored: the content of the directory's description, the keys of `stored` among it.
            thresholds_C: (C,) float32 the threshold of each class; None for a model that has none.

        Raises:
            RunError: if something is missing or damaged.
        """

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """Returns the decoder's own keys of a model directory's description."""

    def store(self, directory: Path) -> None:  # noqa: B027 (most of them have nothing more)
        """Writes what is too large for the description into files of its own."""

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """K, the number of outputs that the model has for a text."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The K names of the outputs, where these are classes; otherwise none."""
        return ()

    @abstractmethod
    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, K): the model's outputs as the numbers that users see.

        For classes these are fp32 probabilities. Where there are none, it returns the values themselves, and
        `Classifier.predict_proba` hands them out under this name.
        """

    def log_probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C): the natural logarithms of the classes' probabilities, where there are classes.

        They are computed in fp64, so that they tell probabilities apart that round to 1 in fp32.
        """
        raise AssertionError(f"{type(self).__name__} has no classes")

    def given(self, probabilities_K: np.ndarray) -> list[int]:
        """Returns the indices of the classes that a text is predicted to have, where there are classes.

        Args:
            probabilities_K: a row of what `probabilities` returned.
        """
        raise AssertionError(f"{type(self).__name__} has no classes")

    def decided(self, probabilities_NK: np.ndarray) -> list[Any]:
        """Returns what each text is predicted to have, to be compared with what others predict, where there
        are classes or spans.

        Args:
            probabilities_NK: what `probabilities` returned.
        """
        return [self.given(probabilities_K) for probabilities_K in probabilities_NK]

    def apart(self, probabilities_NK: np.ndarray, others_NK: np.ndarray) -> np.ndarray:
        """Returns (N, K) how far apart two sides' predictions are, in a unit in which 1 is a lot.

        Args:
            probabilities_NK, others_NK: what `probabilities` returned for each side.
        """
        return np.asarray(np.abs(probabilities_NK.astype(np.float64) - others_NK))

    @abstractmethod
    def predictions(self, probabilities_NK: np.ndarray, *, every: bool) -> Iterator[AnyPrediction]:
        """Yields the prediction for each text.

        Args:
            probabilities_NK: what `probabilities` returned.
            every: whether each prediction also shows the probabilities of all classes.
        """
