"""Texts with any number of classes each: a label is predicted where its probability reaches its threshold.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from custom_bert.decoding.arithmetic import log_sigmoid, sigmoid
from custom_bert.decoding.classes import ShareDecoder, pairs_line
from custom_bert.decoding.label_names import read_labels, read_separator
from custom_bert.errors import RunError


@dataclass(frozen=True)
class LabelsPrediction:
    """The labels that a text is predicted to have.

    Attributes:
        labels: the labels whose probability reaches their threshold, in label order; there may be none.
        names: every label that the model knows, in label order.
        probabilities_C: (C,) fp32 probabilities of `names`.
        every: whether `line` shows all probabilities.
        separator: what stands between labels in a cell of a table.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    probabilities_C: np.ndarray
    every: bool = False
    separator: str = "\t"

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of every label by name, in label order."""
        return dict(zip(self.names, self.probabilities_C.tolist(), strict=True))

    def line(self) -> str:
        """Returns the labels with tabs between them; with `every`, all labels and their probabilities."""
        return pairs_line(self.probabilities) if self.every else "\t".join(self.labels)

    def as_dict(self) -> dict[str, Any]:
        """Returns the labels, and the probability of every label, for JSON."""
        return {"labels": list(self.labels), "probabilities": dict(self.probabilities)}

    def cells(self) -> tuple[str, str | float]:
        """Returns the labels with the separator between them, and their probabilities in the same way."""
        known = self.probabilities
        return self.separator.join(self.labels), self.separator.join(
            f"{known[one]:.6f}" for one in self.labels
        )


@dataclass(frozen=True)
class SetDecoder(ShareDecoder):
    """Decodes (N, C) logits, of which the sigmoid is the probability.

    Attributes:
        thresholds_C: (C,) float32 the probability from which on each class is given.
    """

    thresholds_C: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.float32), compare=False)

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any], thresholds_C: np.ndarray | None) -> Self:
        """Reads labels.json, and the separator from the description.

        Raises:
            RunError: if one of them is damaged, or there is not a threshold for each class.
        """
        separator, labels = read_separator(directory, stored), read_labels(directory, stored)
        if thresholds_C is None or len(thresholds_C) != len(labels):
            raise RunError(f"{directory}: expected {len(labels):,} thresholds")
        return cls(labels, separator, thresholds_C)

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C), the sigmoids of the logits."""
        return sigmoid(outputs_NK)

    def log_probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, C) fp64, the logarithms of the sigmoids of the logits."""
        return log_sigmoid(outputs_NK)

    def given(self, probabilities_K: np.ndarray) -> list[int]:
        """Returns the classes whose probabilities reach their thresholds."""
        return np.flatnonzero(probabilities_K >= self.thresholds_C).tolist()

    def predictions(  # type: ignore[override]  # it predicts several labels
        self, probabilities_NK: np.ndarray, *, every: bool
    ) -> Iterator[LabelsPrediction]:
        """Yields for each text the labels whose probabilities reach their thresholds."""
        for row_C in probabilities_NK:
            given = tuple(self.labels[i] for i in self.given(row_C))
            yield LabelsPrediction(given, self.labels, row_C, every, self.separator)
