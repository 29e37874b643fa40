"""Texts with exactly one class each: the logits of the classes become a label and its probability.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from custom_bert.decoding.arithmetic import log_softmax, softmax
from custom_bert.decoding.decoder import Decoder
from custom_bert.decoding.label_names import read_labels, read_separator, write_labels


@dataclass(frozen=True)
class Prediction:
    """The label of a text: the most probable one, or of ranks the middle one.

    Attributes:
        label: the label, as it stood in the label file.
        probability: the probability of that label.
        probabilities: the probability of every label by name, in label order; None if it was not asked for.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float] | None = None

    def line(self) -> str:
        """Returns label and probability with a tab between them, for all labels if they were asked for."""
        if self.probabilities is None:
            return f"{self.label}\t{self.probability:.6f}"
        return pairs_line(self.probabilities)

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON; `probabilities` only if they were asked for."""
        fields: dict[str, Any] = {"label": self.label, "probability": self.probability}
        if self.probabilities is not None:
            fields["probabilities"] = dict(self.probabilities)
        return fields

    def cells(self) -> tuple[str, str | float]:
        """Returns label and probability."""
        return self.label, self.probability


def pairs_line(probabilities: Mapping[str, float]) -> str:
    """Returns labels and probabilities with tabs between them, the most probable label first."""
    ordered = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return "\t".join(f"{label}\t{probability:.6f}" for label, probability in ordered)


@dataclass(frozen=True)
class ClassDecoder(Decoder):
    """Decodes (N, C) logits, of which the softmax is the probability.

    Attributes:
        labels: the names of the classes, in the order of the logits.
    """

    labels: tuple[str, ...]

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any], thresholds_C: np.ndarray | None) -> Self:
        """Reads labels.json."""
        return cls(read_labels(directory, stored))

    def stored(self) -> dict[str, Any]:
        """The number of labels stands in the description, so that the sizes of tensors follow from it."""
        return {"num_labels": len(self.labels)}

    def store(self, directory: Path) -> None:
        """Writes labels.json."""
        write_labels(directory, self.labels)

    @property
    def num_outputs(self) -> int:
        """C, the number of classes."""
        return len(self.labels)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C), the softmax of the logits."""
        return softmax(outputs_NK)

    def log_probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C) fp64, the logarithms of the softmax of the logits."""
        return log_softmax(outputs_NK)

    def given(self, probabilities_K: np.ndarray) -> list[int]:
        """Returns the most probable class."""
        return [int(probabilities_K.argmax())]

    def predictions(self, probabilities_NK: np.ndarray, *, every: bool) -> Iterator[Prediction]:
        """Yields the class of each text that `given` returns."""
        for row_C in probabilities_NK:
            (best,) = self.given(row_C)
            by_label = dict(zip(self.labels, row_C.tolist(), strict=True)) if every else None
            yield Prediction(self.labels[best], float(row_C[best]), by_label)


@dataclass(frozen=True)
class ShareDecoder(ClassDecoder):
    """Decodes the logits of a model that was trained on distributions.

    Attributes:
        separator: the characters between the labels of a line of its label files.
    """

    separator: str = "\t"

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any], thresholds_C: np.ndarray | None) -> Self:
        """Reads labels.json, and the separator from the description."""
        separator = read_separator(directory, stored)
        return cls(read_labels(directory, stored), separator)

    def stored(self) -> dict[str, Any]:
        """Returns the number of labels and the separator, by which label files can be read again."""
        return {**super().stored(), "label_separator": self.separator}
