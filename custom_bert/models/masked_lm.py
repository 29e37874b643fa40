"""Masked language modelling: the model predicts hidden tokens, and computes logits for their rows only.

The prediction head has the operations of the family's Hugging Face class, so it loads and exports exactly.

Shapes: T rows, M masked rows, D hidden, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.models.encoder import Encoder, initialise
from custom_bert.models.layers import ACTIVATIONS, filled_up
from custom_bert.ops.losses import linear_cross_entropy_sum


class MaskedLanguageModel(nn.Module):
    """An encoder with BERT's prediction head (Devlin et al. 2018): dense, activation, norm, decoder.

    The decoder's matrix is the table of token vectors, and it has a bias of its own. The activation is the
    encoder's in the families `bert` and `distilbert`, and gelu in the others.

    Args:
        encoder: the encoder. It is shared, not copied: a classifier may hold the same one.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        config = encoder.config
        self.encoder = encoder
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.bias)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.bias)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.activation = ACTIVATIONS[config.hidden_act if config.head in ("bert", "distilbert") else "gelu"]
        initialise(self.dense, config)

    def forward(self, batch: Batch) -> Tensor:
        """Returns the logits of the masked rows, (M, V). In training mode it returns the sum of their losses,
        (), because all logits at once would take the most memory of a step."""
        hidden_MD = self.encoder(batch, "targets")
        count, table_VD = len(hidden_MD), self.encoder.embeddings.token.weight
        hidden_RD = self.norm(self.activation(self.dense(filled_up(hidden_MD))))
        if self.training:
            assert batch.targets is not None, "training needs targets"
            return linear_cross_entropy_sum(hidden_RD[:count], table_VD, self.bias, batch.targets.values)
        return F.linear(hidden_RD, table_VD, self.bias)[:count]
