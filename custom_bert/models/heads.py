"""Classification: pooling, and heads of the form that each family's Hugging Face class has.

A classifier trained here can be exported exactly because its head has the same operations in the same
order: `BertForSequenceClassification`, `RobertaPreLayerNormForSequenceClassification` and
`ModernBertForSequenceClassification`.

Shapes: T rows, N sequences, D hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.layout import Layout
from custom_bert.models.encoder import Encoder, initialise
from custom_bert.models.layers import filled_up
from custom_bert.ops.dropout import Dropout
from custom_bert.presets import EncoderConfig, Head


def mean_pool(hidden_TD: Tensor, layout: Layout) -> Tensor:
    """(T, D) -> (N, D): the mean of each sequence's tokens."""
    sums = []
    for hidden_NSD, mask in zip(layout.split(hidden_TD), layout.key_masks, strict=True):
        if mask is not None:
            hidden_NSD = hidden_NSD.masked_fill(~mask[:, 0, 0, :, None], 0.0)
        sums.append(hidden_NSD.sum(1))
    sums_ND = torch.cat(sums)
    means_ND: Tensor = sums_ND / layout.lengths_N[:, None]
    return means_ND


HEAD_ACTIVATIONS: dict[Head, Callable[[Tensor], Tensor]] = {
    "bert": torch.tanh,
    "roberta": torch.tanh,
    "distilbert": F.relu,
    "modernbert": F.gelu,
}


class ClassificationHead(nn.Module):
    """Pooled hidden vectors to logits.

    - bert: dense, tanh (the pooler), dropout, projection;
    - roberta: dropout, dense, tanh, dropout, projection;
    - distilbert: dense, relu, dropout, projection;
    - modernbert: dense without bias, gelu, norm, dropout, projection.
    """

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__()
        self.form = config.head
        modern = config.head == "modernbert"
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=not modern)
        self.norm = (
            nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.bias)
            if modern
            else nn.Identity()
        )
        self.dropout = Dropout(config.hidden_dropout)
        self.projection = nn.Linear(config.hidden_size, num_labels)

    def forward(self, pooled_ND: Tensor) -> Tensor:
        """(N, D) -> (N, C)."""
        if self.form == "roberta":
            pooled_ND = self.dropout(pooled_ND)
        dense_ND = self.dense(pooled_ND)
        dense_ND = HEAD_ACTIVATIONS[self.form](dense_ND)
        logits_NC: Tensor = self.projection(self.dropout(self.norm(dense_ND)))
        return logits_NC


class SequenceClassifier(nn.Module):
    """An encoder and a classification head.

    Args:
        config: the architecture.
        num_labels: C.
    """

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__()
        self.config, self.num_labels = config, num_labels
        self.encoder = Encoder(config)
        self.head = ClassificationHead(config, num_labels)
        initialise(self.head, config)

    def forward(self, batch: Batch) -> Tensor:
        """Logits, (N, C); of windows, the mean of each text's."""
        if self.config.pooling == "cls":
            pooled_ND = self.encoder(batch, "first")
        else:
            pooled_ND = mean_pool(self.encoder(batch), batch.layout)
        logits_NC: Tensor = self.head(filled_up(pooled_ND))[: len(pooled_ND)]
        return logits_NC if batch.windows is None else batch.windows.mean(logits_NC)


class ThresholdClassifier(SequenceClassifier):
    """A sequence classifier for texts with any number of labels, and the probability from which on each label
    is given. The thresholds stand among the weights, so that neither is ever kept without the other.

    Args:
        config: the architecture.
        num_labels: C.
    """

    thresholds_C: Tensor

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__(config, num_labels)
        self.register_buffer("thresholds_C", torch.full((num_labels,), 0.5))
