"""The table of token vectors, of which training may move only the rows that occur in its texts.

Shapes: V vocabulary, U rows in use, D hidden.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenEmbedding(nn.Embedding):
    """`nn.Embedding`; after `train_only`, a smaller parameter `rows` is trained in its place.

    A row that no text holds has no gradient, and since vectors do not decay, AdamW leaves it where it is. But
    gradients, their norm and the optimizer go through the whole table: a fifth of a step where a checkpoint's
    30,522 vectors meet texts that use 8,000 of them. Outside of training, and in a state dict, there is the
    whole table as ever.
    """

    rows: nn.Parameter | None
    place_V: Tensor
    ids_U: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self.register_parameter("rows", None)

    def train_only(self, ids_U: Tensor) -> None:
        """From now on these rows are trained; another one in a training batch is an IndexError.

        Args:
            ids_U: (U,) int64, different ids.
        """
        self.ids_U = ids_U.to(self.weight.device)
        self.place_V = torch.full((self.num_embeddings,), len(ids_U), device=self.weight.device)
        self.place_V[self.ids_U] = torch.arange(len(ids_U), device=self.weight.device)
        self.weight.requires_grad_(False)
        self.rows = nn.Parameter(self.weight[self.ids_U])

    def forward(self, input: Tensor) -> Tensor:
        """Ids to vectors, (..., D)."""
        if self.rows is None or not self.training:
            return super().forward(input)
        return F.embedding(self.place_V[input], self.rows)

    def train(self, mode: bool = True) -> TokenEmbedding:
        """Leaving training brings the table up to date."""
        if self.training and not mode:
            self._write_back()
        return super().train(mode)

    def _write_back(self) -> None:
        if self.rows is not None:
            self.weight.data[self.ids_U] = self.rows.detach()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if self.training:
            self._write_back()
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.pop(f"{prefix}rows", None)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        rows, self.rows = self.rows, None
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.rows = rows
        if rows is not None:
            rows.data.copy_(self.weight[self.ids_U])
