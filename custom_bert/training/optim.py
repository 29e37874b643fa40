"""AdamW, with weight decay for matrices, and with learning rates that may differ by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

BETAS = (0.9, 0.98)
"""The decay rates of AdamW's moments, from RoBERTa (Liu et al. 2019, arXiv 1907.11692). In short runs 0.98 is
steadier than the usual 0.999."""

EPS = 1e-8


def full_rate(name: str) -> float:
    """Returns 1 for every parameter name: all have the same learning rate."""
    return 1.0


def parameter_groups(
    model: nn.Module, weight_decay: float, *, share: Callable[[str], float] = full_rate
) -> list[dict[str, Any]]:
    """Returns the parameter groups of an optimizer. Matrices decay; embeddings, norms and biases do not.

    Args:
        model: the model. Every parameter that requires a gradient is in exactly one group, which is asserted.
        weight_decay: the weight decay of matrices.
        share: returns the share of the learning rate for the name of a parameter.

    Returns:
        Groups with `lr_factor`, by which `set_lr` multiplies the learning rate.
    """
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    tables = {id(table) for module in embeddings for table in module.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.dim() >= 2 and id(parameter) not in tables
            key = (weight_decay if is_matrix else 0.0, share(name))
            groups.setdefault(key, []).append(parameter)
    covered = [id(p) for members in groups.values() for p in members]
    wanted = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(covered) == sorted(wanted) and len(set(covered)) == len(covered)
    return [
        {"params": members, "weight_decay": decay, "lr_factor": factor}
        for (decay, factor), members in groups.items()
    ]


def make_optimizer(
    model: nn.Module, *, lr: float, weight_decay: float, share: Callable[[str], float] = full_rate
) -> torch.optim.AdamW:
    """Makes AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101) with its fused kernel. See
    `parameter_groups` for the arguments."""
    groups = parameter_groups(model, weight_decay, share=share)
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=BETAS, eps=EPS, fused=True)
    set_lr(optimizer, lr)
    return optimizer


def share_by_depth(layers: int, decay: float, embeddings: float) -> Callable[[str], float]:
    """Returns a function from a parameter's name to its share of the learning rate, which falls from the head
    down to the embeddings: discriminative fine-tuning (Howard and Ruder 2018, "Universal Language Model
    Fine-tuning", arXiv 1801.06146).

    Args:
        layers: the number of layers of the encoder.
        decay: the factor from a layer to the one below; 1 for the same rate everywhere.
        embeddings: a further factor for the token vectors.
    """

    def share(name: str) -> float:
        if name.startswith("encoder.layers."):
            return float(decay ** (layers - int(name.split(".")[2])))
        if name.startswith("encoder.embeddings."):
            token = name.startswith("encoder.embeddings.token.")
            return float(decay ** (layers + 1)) * (embeddings if token else 1.0)
        return 1.0

    return share


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Gives every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
