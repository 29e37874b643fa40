"""Texts with a number or several each: outputs on the model's own scale become numbers in the user's unit.

Shapes: N texts, K numbers of a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from custom_bert.decoding.decoder import Decoder
from custom_bert.decoding.label_names import MOST_LABELS, read_separator
from custom_bert.errors import RunError, shown


@dataclass(frozen=True)
class NumbersPrediction:
    """The numbers that are predicted for a text, in the unit of the training numbers.

    Attributes:
        numbers: the K numbers.
        separator: what stands between them in a line.
    """

    numbers: tuple[float, ...]
    separator: str = "\t"

    def line(self) -> str:
        """Returns the numbers with seven digits and the separator between them."""
        return self.separator.join(f"{number:.7g}" for number in self.numbers)

    def as_dict(self) -> dict[str, Any]:
        """Returns the list of the numbers, for JSON."""
        return {"numbers": list(self.numbers)}

    def cells(self) -> tuple[str | float, ...]:
        """Returns the number, or several with the separator between them."""
        return (self.numbers[0] if len(self.numbers) == 1 else self.line(),)


@dataclass(frozen=True)
class NumberDecoder(Decoder):
    """Decodes (N, K) numbers on a scale on which the training numbers have the mean 0 and the standard
    deviation 1.

    Attributes:
        mean: the mean of each of the K training numbers.
        std: their standard deviations, above 0.
        separator: the characters between the numbers of a line.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    separator: str = "\t"

    table_columns: ClassVar[tuple[str, ...]] = ("predicted_number",)

    @classmethod
    def restored(cls, directory: Path, stored: Mapping[str, Any], thresholds_C: np.ndarray | None) -> Self:
        """Reads the scale and the separator from the description.

        Raises:
            RunError: if one of the two is missing or damaged.
        """
        path, separator = directory / "config.json", read_separator(directory, stored)
        scales = []
        for name, least in (("mean", -math.inf), ("std", 0.0)):
            values = stored.get(name)
            if not isinstance(values, list) or not all(_is_number(one, least) for one in values):
                raise RunError(f"{path}: {name} is {shown(values)}")
            scales.append(tuple(map(float, values)))
        mean, std = scales
        if len(mean) != len(std) or not 1 <= len(mean) <= MOST_LABELS:
            raise RunError(f"{path}: mean has {len(mean):,} numbers, and std {len(std):,}")
        return cls(mean, std, separator)

    def stored(self) -> dict[str, Any]:
        """Returns the scale, from which the number of outputs follows, and the separator."""
        return {"mean": list(self.mean), "std": list(self.std), "label_separator": self.separator}

    @property
    def num_outputs(self) -> int:
        """K, the number of numbers of a text."""
        return len(self.mean)

    @property
    def mean_K(self) -> np.ndarray:
        """(K,) float64 the mean of the training numbers."""
        return np.array(self.mean, dtype=np.float64)

    @property
    def std_K(self) -> np.ndarray:
        """(K,) float64 the standard deviation of the training numbers."""
        return np.array(self.std, dtype=np.float64)

    def probabilities(self, outputs_NK: np.ndarray) -> np.ndarray:
        """Returns (N, K) float64, the numbers in the user's unit."""
        return np.asarray(outputs_NK.astype(np.float64) * self.std_K + self.mean_K)

    def apart(self, probabilities_NK: np.ndarray, others_NK: np.ndarray) -> np.ndarray:
        """Returns (N, K) how far apart two sides' numbers are, in standard deviations of the training
        numbers."""
        return np.asarray(super().apart(probabilities_NK, others_NK) / self.std_K)

    def predictions(self, probabilities_NK: np.ndarray, *, every: bool) -> Iterator[NumbersPrediction]:
        """Yields the numbers of each text."""
        for row in probabilities_NK.tolist():
            yield NumbersPrediction(tuple(row), self.separator)


def _is_number(value: Any, least: float) -> bool:
    """Returns whether a value of JSON is a finite number above `least`."""
    return type(value) in (int, float) and math.isfinite(value) and value > least
