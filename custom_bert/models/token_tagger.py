"""Labels of tokens: the head of Hugging Face's classes for token classification over the vectors of some rows.

Shapes: M rows that are read, D hidden, K labels.
"""

from __future__ import annotations

from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.models.heads import HEAD_ACTIVATIONS, EncoderWithHead
from custom_bert.models.layers import filled_up
from custom_bert.ops.dropout import Dropout
from custom_bert.presets import EncoderConfig


class TokenHead(nn.Module):
    """Turns hidden vectors into logits. The form is that of the family's Hugging Face class:

    - bert, roberta and distilbert: dropout, projection;
    - modernbert: dense without bias, gelu, norm, dropout, projection.

    Args:
        config: the architecture, which names the form.
        num_labels: K.
    """

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__()
        width = config.hidden_size
        if config.head == "modernbert":
            self.dense = nn.Linear(width, width, bias=False)
            self.norm = nn.LayerNorm(width, eps=config.norm_eps, bias=config.bias)
        self.form = config.head
        self.dropout = Dropout(config.hidden_dropout)
        self.projection = nn.Linear(width, num_labels)

    def forward(self, hidden_MD: Tensor) -> Tensor:
        """Returns the (M, K) logits of (M, D) hidden vectors."""
        if self.form == "modernbert":
            hidden_MD = self.norm(HEAD_ACTIVATIONS[self.form](self.dense(hidden_MD)))
        logits_MK: Tensor = self.projection(self.dropout(hidden_MD))
        return logits_MK


class TokenTagger(EncoderWithHead):
    """An encoder that gives each row of a batch's targets K logits.

    Only these rows are read. A word of several tokens is read at its first token, so that the last layer does
    not compute what only the other tokens need.

    Args:
        config: the architecture.
        num_labels: K.
    """

    head: TokenHead

    @staticmethod
    def new_head(config: EncoderConfig, num_labels: int) -> TokenHead:
        """Returns a head for K labels, whose weights are not drawn yet."""
        return TokenHead(config, num_labels)

    def forward(self, batch: Batch) -> Tensor:
        """Returns the logits of the rows of the batch's targets, (M, K)."""
        hidden_MD = self.encoder(batch, "targets")
        # with a round number of rows, so that the products have few shapes
        logits_MK: Tensor = self.head(filled_up(hidden_MD))[: len(hidden_MD)]
        return logits_MK
