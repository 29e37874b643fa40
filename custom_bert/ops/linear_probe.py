"""Fits a linear classifier on fixed vectors, without randomness.

Shapes: N texts, n texts of a portion, D width of a vector, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

RowLoss = Callable[[Tensor, slice], Tensor]
"""Returns the loss of some texts, as their share of the mean over all texts. It is given their (n, C) logits
and their place among all texts."""


def fit_linear(x_ND: Tensor, outputs: int, loss: RowLoss, strength: float, *, portion: int) -> nn.Linear:
    """Fits a linear map by L-BFGS from zero, with weight decay.

    The logits are computed for a portion of the texts at a time, since with many classes all of them may not
    fit into memory.

    Args:
        x_ND: (N, D) fp32 vectors.
        outputs: C, the number of outputs.
        loss: returns the loss of a portion; the sum over all portions is what is made small.
        strength: the factor of the sum of squared weights, which is added to the loss.
        portion: the number of texts of a portion.
    """
    model = nn.Linear(x_ND.shape[1], outputs)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = strength * model.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        for start in range(0, len(x_ND), portion):
            rows = slice(start, start + portion)
            part = loss(model(x_ND[rows]), rows)
            part.backward()  # type: ignore[no-untyped-call]
            total = total.detach() + part.detach()
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return model.requires_grad_(False)
