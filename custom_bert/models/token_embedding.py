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
        self.register_state_dict_pre_hook(_bring_up_to_date)  # type: ignore[no-untyped-call]
        self.register_state_dict_post_hook(_leave_rows_out)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_rows_from_the_table)  # type: ignore[no-untyped-call]

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
            self.write_back()
        return super().train(mode)

    def write_back(self) -> None:
        """Brings the table up to date with the rows that are trained."""
        if self.rows is not None:
            self.weight.data[self.ids_U] = self.rows.detach()


def _bring_up_to_date(table: nn.Module, prefix: str, keep_vars: bool) -> None:
    """Before a state dict is made."""
    assert isinstance(table, TokenEmbedding)
    if table.training:
        table.write_back()


def _leave_rows_out(table: nn.Module, state: dict[str, Any], prefix: str, metadata: object) -> None:
    """Of a state dict, which holds the whole table."""
    state.pop(f"{prefix}rows", None)


def _take_rows_from_the_table(table: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Before a state dict is loaded: what is trained on begins at the table that it holds."""
    assert isinstance(table, TokenEmbedding)
    weight_VD = state.get(f"{prefix}weight")
    if table.rows is not None and weight_VD is not None:
        state[f"{prefix}rows"] = weight_VD[table.ids_U.to(weight_VD.device)]
