"""The table of token vectors. Training may be confined to the rows of tokens that occur in its texts.

Shapes: V vocabulary, U rows in use, D hidden.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenEmbedding(nn.Embedding):
    """An `nn.Embedding` which, after `train_only`, trains a smaller parameter `rows` instead of the table.

    The vector of a token that no text holds has no gradient, and vectors do not decay, so AdamW would leave
    it where it is. But gradients, their norm and the optimizer would go through the whole table. That takes a
    fifth of a step if a checkpoint has 30,522 vectors and the texts use 8,000 of them.

    In evaluation mode and in a state dict there is only the whole table.

    Attributes:
        rows: (U, D) the vectors that are trained; None if the whole table is.
        place_V: (V,) the row in `rows` of each token, U for a token without one.
        ids_U: (U,) the token of each row.
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
        """Trains the vectors of these tokens only. Any other one in a training batch is then an IndexError.

        Args:
            ids_U: (U,) int64, different ids.
        """
        self.ids_U = ids_U.to(self.weight.device)
        # U is no row of `rows`: on a CPU, reading it raises instead of returning a wrong vector
        self.place_V = torch.full((self.num_embeddings,), len(ids_U), device=self.weight.device)
        self.place_V[self.ids_U] = torch.arange(len(ids_U), device=self.weight.device)
        self.weight.requires_grad_(False)
        self.rows = nn.Parameter(self.weight[self.ids_U])

    def forward(self, input: Tensor) -> Tensor:
        """Returns the vectors, (..., D), of token ids of any shape."""
        if self.rows is None or not self.training:
            return super().forward(input)
        return F.embedding(self.place_V[input], self.rows)

    def train(self, mode: bool = True) -> TokenEmbedding:
        """Switches the mode. Leaving training mode brings the table up to date."""
        if self.training and not mode:
            self.write_back()
        return super().train(mode)

    def write_back(self) -> None:
        """Copies the trained rows into the table."""
        if self.rows is not None:
            self.weight.data[self.ids_U] = self.rows.detach()


def _bring_up_to_date(table: nn.Module, prefix: str, keep_vars: bool) -> None:
    """Runs before a state dict is made. In evaluation mode the table is up to date already."""
    assert isinstance(table, TokenEmbedding)
    if table.training:
        table.write_back()


def _leave_rows_out(table: nn.Module, state: dict[str, Any], prefix: str, metadata: object) -> None:
    """Removes `rows` from a state dict, which holds the whole table."""
    state.pop(f"{prefix}rows", None)


def _take_rows_from_the_table(table: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Runs before a state dict is loaded: fills in `rows` from the table that the state dict holds."""
    assert isinstance(table, TokenEmbedding)
    weight_VD = state.get(f"{prefix}weight")
    if table.rows is not None and weight_VD is not None:
        state[f"{prefix}rows"] = weight_VD[table.ids_U.to(weight_VD.device)]
