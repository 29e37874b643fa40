"""Soft labels: each text is divided among the classes, by votes of people or probabilities of a model.

The model is a classifier, and learns the whole distribution. It predicts the most probable class.

Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from custom_bert.config import TrainConfig
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import LabelReader
from custom_bert.data.labels import LabelIds
from custom_bert.data.share_files import ShareError, ShareReader, shares_of_line
from custom_bert.decoding.classes import ShareDecoder
from custom_bert.floor.aside import Fit
from custom_bert.floor.ensemble import Ensemble, fit_ensemble_of_shares
from custom_bert.floor.linear import fit_shares
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.tasks.class_weights import class_weights
from custom_bert.tasks.classification import Classification
from custom_bert.tasks.parts import LabelLineError, Measured, Objective, UnknownLabelError
from custom_bert.tasks.separated import SeparatedTask
from custom_bert.tasks.share_scorer import ShareScorer, SoftCrossEntropy


@dataclass(frozen=True)
class SoftLabels(SeparatedTask, Classification):
    """The task in which each text has a distribution over the classes."""

    name: ClassVar[str] = "soft_labels"
    measures: ClassVar[tuple[str, ...]] = ("divergence", "accuracy", "macro_f1")
    label_sets: ClassVar[bool | None] = None
    takes_shares: ClassVar[bool] = True
    contrasts: ClassVar[bool] = False
    card_title: ClassVar[str] = "A text classifier that was trained on distributions"

    @classmethod
    def faults(cls, config: TrainConfig) -> list[str]:
        """Refuses a metric that the task does not measure, and a separator with a colon."""
        faults = super().faults(config)
        if ":" in config.data.label_separator:
            faults.append("data.label_separator: a colon stands between a label and its share; take another")
        return faults

    @classmethod
    def reader(cls, config: TrainConfig) -> LabelReader:
        """Returns a reader of label files whose lines hold labels with shares."""
        return ShareReader(config.data.label_separator)

    def objective(self, config: ResolvedConfig, counts_C: Tensor, examples: float) -> Objective:
        """Returns the cross-entropy of the distributions, weighted and smoothed as the settings say.

        A class with shares of less than one text in all counts as one text, so that no share has a huge
        weight.
        """
        weights_C = class_weights(config.optim.class_weights, self.labels, counts_C.clamp(min=1))
        return SoftCrossEntropy(weights_C, config.optim.label_smoothing, config.optim.r_drop)

    def floor_of(self, data: Dataset, rows_N: np.ndarray, config: ResolvedConfig) -> Fit:
        """Returns support vector machines that learn each text once for each of its classes, with the share
        as its weight."""
        targets = data.train.targets
        masses_C = torch.from_numpy(targets.masses(len(self.labels))).clamp(min=1)
        weights_C = class_weights(config.optim.class_weights, self.labels, masses_C)
        return partial(
            fit_shares,
            list(data.train.texts(rows_N)),
            targets.values(rows_N),
            seed=config.seed,
            class_weights_C=None if weights_C is None else weights_C.numpy(),
            weights_N=targets.weights(rows_N),
        )

    def ensemble_of(
        self, encoder_NC: np.ndarray, floor_NC: np.ndarray, values: np.ndarray, weights_N: np.ndarray | None
    ) -> Ensemble:
        """Fits the two factors at which the cross-entropy of the distributions is lowest."""
        return fit_ensemble_of_shares(encoder_NC, floor_NC, values, weights_N)

    def kept_by(self, config: ResolvedConfig) -> str:
        """Returns what `worth` is, in words."""
        metric = config.optim.metric
        return "1 / (1 + divergence)" if metric == "divergence" else metric

    def worth(self, measured: Measured, config: ResolvedConfig) -> float:
        """Returns the measure that `optim.metric` names; a divergence is turned round, so that the lowest is
        the best."""
        worth = super().worth(measured, config)
        return 1 / (1 + worth) if config.optim.metric == "divergence" else worth

    def scorer(self, thresholds_C: np.ndarray | None) -> ShareScorer:  # type: ignore[override]
        """Returns a scorer that compares distributions, and the most probable class with the majority."""
        return ShareScorer(self.labels)

    def decoder(self, thresholds_C: np.ndarray | None) -> ShareDecoder:
        """Returns the decoder of the most probable class."""
        return ShareDecoder(self.labels, self.separator)

    def targets_of(self, lines: Iterable[str]) -> Iterator[np.ndarray]:
        """Yields (C,) fp32 for each line, the share of each class.

        Raises:
            UnknownLabelError: for a label that the model does not know.
            LabelLineError: for a line that does not divide a text among labels.
        """
        known = LabelIds(self.labels)
        for i, line in enumerate(lines):

            def id_of(label: str, i: int = i) -> int:
                index = known.get(label)
                if index is None:
                    raise UnknownLabelError(i, label)
                return index

            try:
                one = shares_of_line(line, self.separator, id_of)
            except ShareError as error:
                raise LabelLineError(i, str(error)) from None
            shares_C = np.zeros(len(self.labels), dtype=np.float32)
            shares_C[list(one.ids)] = one.shares
            yield shares_C

    def holds_votes(self, line: str) -> bool:
        """Returns whether the numbers in a line do not add up to 1."""
        ids = count()  # which labels they are does not matter
        return shares_of_line(line, self.separator, lambda label: next(ids)).are_votes

    def results(self, record: Mapping[str, Any]) -> str:
        """Returns what was measured on the validation texts, in a sentence."""
        validation = record["validation"]
        return (
            f"{super().results(record)[:-1]} of the label with the largest share, divergence from the given "
            f"shares {validation['divergence']:.4f} nats, calibration error "
            f"{validation['calibration_error']:.4f}."
        )
