"""AdamW, with weight decay for matrices, and with learning rates that may differ by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from custom_bert.torch_internals import fused_adamw

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


class AdamW:
    """AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101) with torch's fused kernel. It computes what
    `torch.optim.AdamW(fused=True)` does, bit for bit, and has its attributes.

    Args:
        groups: the parameter groups, as `parameter_groups` returns them.

    Attributes:
        param_groups: the groups, each with `lr`.
        state: for each parameter `step`, `exp_avg` and `exp_avg_sq`, once it was updated.
        divisor: one fp32 element by which the next step divides the gradients; None for 1.
        skip: one fp32 element: whether the next step leaves everything as it is; None for no.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.param_groups = groups
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self.divisor: Tensor | None = None
        self.skip: Tensor | None = None

    @torch.no_grad()
    def step(self) -> None:
        """Updates the parameters that have gradients."""
        for group in self.param_groups:
            parameters = [one for one in group["params"] if one.grad is not None]
            if not parameters:
                continue
            states = [self.state.setdefault(one, {}) for one in parameters]
            for one, state in zip(parameters, states, strict=True):
                if not state:
                    state |= new_state(one)
            fused_adamw(
                parameters,
                [one.grad for one in parameters],
                *([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")),
                lr=group["lr"],
                betas=BETAS,
                eps=EPS,
                weight_decay=group["weight_decay"],
                divisor=self.divisor,
                skip=self.skip,
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Removes the gradients, or with False fills them with zeros."""
        for group in self.param_groups:
            for one in group["params"]:
                if set_to_none:
                    one.grad = None
                elif one.grad is not None:
                    one.grad.zero_()


def new_state(parameter: Tensor) -> dict[str, Tensor]:
    """Returns what AdamW knows of a parameter before its first update."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
    }


def make_optimizer(
    model: nn.Module, *, lr: float, weight_decay: float, share: Callable[[str], float] = full_rate
) -> AdamW:
    """Makes the optimizer of a model. See `parameter_groups` for the arguments."""
    optimizer = AdamW(parameter_groups(model, weight_decay, share=share))
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


def set_lr(optimizer: AdamW, lr: float) -> None:
    """Gives every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
