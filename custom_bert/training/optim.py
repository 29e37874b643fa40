"""AdamW with decay groups, every parameter in exactly one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.98)
"""Liu et al. 2019 (RoBERTa, arXiv 1907.11692): 0.98 is steadier than 0.999 in short runs."""

EPS = 1e-8


def parameter_groups(
    model: nn.Module, weight_decay: float, *, slow: Tensor | None = None, slow_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Parameter groups: matrices decay; embeddings, norms and biases do not.

    Args:
        model: all of its parameters that require gradients are covered, which is asserted.
        weight_decay: of the matrices.
        slow: an embedding table in a group of its own, at a share of the learning rate.
        slow_factor: that share.

    Returns:
        Groups with `lr_factor`, by which `set_lr` multiplies the learning rate.
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad and parameter is not slow:
            is_matrix = parameter.dim() >= 2 and id(parameter) not in tables
            (decayed if is_matrix else kept).append(parameter)
    slowed = [] if slow is None else [slow]
    covered = [id(p) for p in decayed + kept + slowed]
    wanted = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(covered) == sorted(wanted) and len(set(covered)) == len(covered)
    groups = [
        {"params": decayed, "weight_decay": weight_decay, "lr_factor": 1.0},
        {"params": kept, "weight_decay": 0.0, "lr_factor": 1.0},
        {"params": slowed, "weight_decay": 0.0, "lr_factor": slow_factor},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    slow: Tensor | None = None,
    slow_factor: float = 1.0,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101), the fused kernel. See `parameter_groups`."""
    groups = parameter_groups(model, weight_decay, slow=slow, slow_factor=slow_factor)
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=BETAS, eps=EPS, fused=True)
    set_lr(optimizer, lr)
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Gives every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
