"""Classification: pooling, and one head for each form that Hugging Face's classes have.

A classifier can be exported exactly, because its head has the operations of the family's class in the same
order, such as those of `BertForSequenceClassification` or `ModernBertForSequenceClassification`.

Shapes: T rows, N sequences, D hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
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
    """Returns (N, D), the mean of the vectors of each sequence's tokens, without padding.

    A CPU adds up block by block. On a GPU one operation adds up all rows, since the host would pay for every
    block; what no sequence owns goes to a row of its own.
    """
    by_block = hidden_TD.device.type == "cpu"
    sums_ND = _sums_by_block(hidden_TD, layout) if by_block else _sums_at_once(hidden_TD, layout)
    means_ND: Tensor = sums_ND / layout.lengths_N[:, None]
    return means_ND


def _sums_at_once(hidden_TD: Tensor, layout: Layout) -> Tensor:
    """Returns (N, D) the sums in fp32 or better."""
    wide = torch.promote_types(hidden_TD.dtype, torch.float32)
    sums_ND = hidden_TD.new_zeros(len(layout.lengths_N) + 1, hidden_TD.shape[1], dtype=wide)
    return sums_ND.index_add(0, layout.sequence_T, hidden_TD.to(wide))[:-1]


def _sums_by_block(hidden_TD: Tensor, layout: Layout) -> Tensor:
    """Returns (N, D) the sums."""
    sums = []
    for hidden_NSD, mask in zip(layout.split(hidden_TD), layout.key_masks, strict=True):
        if mask is not None:
            hidden_NSD = hidden_NSD.masked_fill(~mask[:, 0, 0, :, None], 0.0)
        sums.append(hidden_NSD.sum(1))
    return torch.cat(sums)


MEAN_WEIGHT = 8.0
"""The weight of the mean beside the vector of the first token, in `mean_layer_pool`."""


def mean_layer_pool(hidden_TD: Tensor, layout: Layout, eps: float) -> Tensor:
    """Returns (N, D), the mean of the vectors of each sequence's tokens, as one more post-norm layer computes
    it for the first token.

    The layer's attention gives every token the same weight, its values are the vectors times `MEAN_WEIGHT`,
    and its MLP is zero. What is left of it is the residual connection and the norm. So an export can hold the
    mean as such a layer, though classes of transformers read the first token only
    (`model_files.bert.mean_layer`).

    Args:
        hidden_TD: the hidden vectors.
        layout: where the sequences lie.
        eps: the epsilon of the encoder's norms.
    """
    return pooled_like_a_layer(hidden_TD[layout.first_N], mean_pool(hidden_TD, layout), eps)


def pooled_like_a_layer(first_ND: Tensor, mean_ND: Tensor, eps: float) -> Tensor:
    """Returns (N, D), what `mean_layer_pool` makes of first tokens and of means."""
    mixed_ND = first_ND + MEAN_WEIGHT * mean_ND
    return F.layer_norm(mixed_ND.float(), mixed_ND.shape[-1:], eps=eps)


HEAD_ACTIVATIONS: dict[Head, Callable[[Tensor], Tensor]] = {
    "bert": torch.tanh,
    "roberta": torch.tanh,
    "distilbert": F.relu,
    "modernbert": F.gelu,
}
"""The activation after the dense layer of each form."""


class ClassificationHead(nn.Module):
    """Turns pooled hidden vectors into logits. The form is that of the family's Hugging Face class:

    - bert: dense, tanh (the pooler), dropout, projection;
    - roberta: dropout, dense, tanh, dropout, projection;
    - distilbert: dense, relu, dropout, projection;
    - modernbert: dense without bias, gelu, norm, dropout, projection.

    Args:
        config: the architecture, which names the form.
        num_labels: C.
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
        """Returns the (N, C) logits of (N, D) pooled vectors."""
        logits_NC: Tensor = self.projection(self.features(pooled_ND))
        return logits_NC

    def begin_with(self, biases: Tensor) -> None:
        """Sets the biases of the projection, (C,)."""
        with torch.no_grad():
            self.projection.bias.copy_(biases)

    def features(self, pooled_ND: Tensor) -> Tensor:
        """Returns (N, D), what the projection reads."""
        if self.form == "roberta":
            pooled_ND = self.dropout(pooled_ND)
        dense_ND = self.dense(pooled_ND)
        dense_ND = HEAD_ACTIVATIONS[self.form](dense_ND)
        features_ND: Tensor = self.dropout(self.norm(dense_ND))
        return features_ND


class EncoderWithHead(nn.Module):
    """An encoder and a head with a number of outputs, which all models for labels are.

    Args:
        config: the architecture.
        num_labels: C, or the number of outputs where these are no classes.
    """

    head: nn.Module

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__()
        self.config, self.num_labels = config, num_labels
        self.encoder = Encoder(config)
        self.head = self.new_head(config, num_labels)
        initialise(self.head, config)

    @staticmethod
    def new_head(config: EncoderConfig, num_labels: int) -> nn.Module:
        """Returns a head for C labels, whose weights are not drawn yet."""
        raise NotImplementedError


class SequenceClassifier(EncoderWithHead):
    """An encoder and a classification head.

    Args:
        config: the architecture.
        num_labels: C.
    """

    head: ClassificationHead

    @staticmethod
    def new_head(config: EncoderConfig, num_labels: int) -> ClassificationHead:
        """Returns a head for C labels, whose weights are not drawn yet."""
        return ClassificationHead(config, num_labels)

    def forward(self, batch: Batch) -> Tensor:
        """Returns logits, (N, C). If the sequences are windows, it returns the mean logits of each text."""
        pooled_ND = self._pooled(batch)
        # with a round number of rows, so that the products have few shapes
        logits_NC: Tensor = self.head(filled_up(pooled_ND))[: len(pooled_ND)]
        return logits_NC if batch.windows is None else batch.windows.mean(logits_NC)

    def features(self, batch: Batch) -> Tensor:
        """Returns (N, D), what the head's projection reads; if the sequences are windows, the mean of each
        text, with which the projection gives the mean logits."""
        features_ND = self.head.features(self._pooled(batch))
        return features_ND if batch.windows is None else batch.windows.mean(features_ND)

    def vectors(self, batch: Batch) -> Tensor:
        """Returns (N, D), the vector of each text that the head reads; of windows, their mean."""
        pooled_ND = self._pooled(batch)
        return pooled_ND if batch.windows is None else batch.windows.mean(pooled_ND)

    def _pooled(self, batch: Batch) -> Tensor:
        """Returns (N, D), the vector of each sequence that the head reads."""
        if self.config.pooling == "cls":
            first_ND: Tensor = self.encoder(batch, "first")
            return first_ND
        hidden_TD = self.encoder(batch)
        if self.config.pooling == "mean":
            return mean_pool(hidden_TD, batch.layout)
        return mean_layer_pool(hidden_TD, batch.layout, self.config.norm_eps)


def thresholds_of(model: nn.Module) -> np.ndarray | None:
    """Returns (C,) float32 the thresholds of a model; None if it has none."""
    buffer = dict(model.named_buffers(recurse=False)).get("thresholds_C")
    return None if buffer is None else buffer.detach().float().cpu().numpy()


FIRST_THRESHOLD = 0.5
"""Every label's threshold before the first evaluation has chosen one."""


class ThresholdClassifier(SequenceClassifier):
    """A sequence classifier for texts with any number of labels, with a threshold for each label: the label
    is predicted if its probability reaches the threshold.

    The thresholds are a buffer of the model, so that weights and thresholds are always saved together.

    Args:
        config: the architecture.
        num_labels: C.
    """

    thresholds_C: Tensor

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__(config, num_labels)
        self.register_buffer("thresholds_C", torch.full((num_labels,), FIRST_THRESHOLD))
