"""A classifier for labels that have an order: one score for a text, and ordered thresholds between the ranks.

Shapes: N texts, D hidden, C ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_bert.models.heads import ClassificationHead, SequenceClassifier
from custom_bert.ops.ranks import ordered_thresholds, rank_log_probabilities, raw_thresholds
from custom_bert.presets import EncoderConfig


class RankHead(ClassificationHead):
    """Turns pooled hidden vectors into the logarithms of the ranks' probabilities.

    Args:
        config: the architecture.
        num_labels: C.
    """

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__(config, 1)
        evenly = torch.arange(num_labels - 1, dtype=torch.float32) - (num_labels - 2) / 2
        self.raw_thresholds = nn.Parameter(raw_thresholds(evenly))

    @property
    def thresholds(self) -> Tensor:
        """(C - 1,) the thresholds, which rise whatever the weights are."""
        return ordered_thresholds(self.raw_thresholds)

    def begin_with(self, biases: Tensor) -> None:
        """Sets the thresholds.

        Args:
            biases: (C - 1,) rising thresholds.
        """
        with torch.no_grad():
            self.raw_thresholds.copy_(raw_thresholds(biases))

    def forward(self, pooled_ND: Tensor) -> Tensor:
        """Returns (N, C) log-probabilities of (N, D) pooled vectors."""
        return rank_log_probabilities(super().forward(pooled_ND)[:, 0], self.thresholds)


class RankClassifier(SequenceClassifier):
    """An encoder and a head for ranks. Its outputs are read like the logits of a classifier.

    Args:
        config: the architecture.
        num_labels: C.
    """

    @staticmethod
    def new_head(config: EncoderConfig, num_labels: int) -> RankHead:
        """Returns a head for C ranks."""
        return RankHead(config, num_labels)
