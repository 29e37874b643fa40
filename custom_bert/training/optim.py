"""AdamW with decay groups, every parameter in exactly one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

BETAS = (0.9, 0.98)
"""Liu et al. 2019 (RoBERTa, arXiv 1907.11692): 0.98 is steadier than 0.999 in short runs."""

EPS = 1e-8


def full_rate(name: str) -> float:
    """The learning rate, for every parameter."""
    return 1.0


def parameter_groups(
    model: nn.Module, weight_decay: float, *, share: Callable[[str], float] = full_rate
) -> list[dict[str, Any]]:
    """Parameter groups: matrices decay; embeddings, norms and biases do not.

    Args:
        model: all of its parameters that require gradients are covered, which is asserted.
        weight_decay: of the matrices.
        share: name of a parameter -> its share of the learning rate.

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
    """AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101), the fused kernel. See `parameter_groups`."""
    groups = parameter_groups(model, weight_decay, share=share)
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=BETAS, eps=EPS, fused=True)
    set_lr(optimizer, lr)
    return optimizer


def share_by_depth(layers: int, decay: float, embeddings: float) -> Callable[[str], float]:
    """Shares of the learning rate that fall from the head down to the embeddings (Howard and Ruder 2018,
    "Universal Language Model Fine-tuning", arXiv 1801.06146, discriminative fine-tuning).

    Args:
        layers: of the encoder.
        decay: factor from a layer to the one below; 1 for none.
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
