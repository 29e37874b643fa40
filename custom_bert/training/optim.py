"""AdamW with decay groups, every parameter in exactly one."""

from __future__ import annotations

import torch
from torch import nn

BETAS = (0.9, 0.98)
"""Liu et al. 2019 (RoBERTa, arXiv 1907.11692): 0.98 is steadier than 0.999 in short runs."""

EPS = 1e-8


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: matrices decay; embeddings, norms and biases do not.

    Args:
        model: all of its parameters that require gradients are covered, which is asserted.
        weight_decay: of the first group.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            is_matrix = parameter.dim() >= 2 and id(parameter) not in tables
            (decayed if is_matrix else kept).append(parameter)
    covered = [id(p) for p in decayed + kept]
    wanted = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(covered) == sorted(wanted) and len(set(covered)) == len(covered)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101), the fused kernel."""
    return torch.optim.AdamW(decay_groups(model, weight_decay), lr=lr, betas=BETAS, eps=EPS, fused=True)
