"""The weights of classes, as `optim.class_weights` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from custom_bert.config import ClassWeights
from custom_bert.data.labels import LabelIds, nearest_label, short_label
from custom_bert.ops.losses import (
    balanced_binary_weights,
    balanced_weights,
    effective_binary_weights,
    effective_weights,
)


class Copies:
    """A tensor, with a copy on each device that computes with it. Each copy is made once, without a wait.

    Args:
        tensor: the tensor, on the host.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._by_device = tensor, {tensor.device: tensor}

    def beside(self, other: Tensor) -> Tensor:
        """Returns the copy on the device of another tensor."""
        if other.device not in self._by_device:
            source = self._tensor.pin_memory() if other.device.type == "cuda" else self._tensor
            self._by_device[other.device] = source.to(other.device, non_blocking=True)
        return self._by_device[other.device]


def class_weights(setting: ClassWeights, labels: Sequence[str], counts_C: Tensor) -> Tensor | None:
    """Returns (C,) fp32 the weight of each class, on the device of the counts; None if all weigh the same.

    Args:
        setting: what the user has set. Classes that a table lacks weigh 1.
        labels: the names of the C classes.
        counts_C: the number of training examples of each class, or the sum of their weights; none is 0.
    """
    if isinstance(setting, Mapping):
        return _of_table(setting, labels).to(counts_C.device)
    if setting == "none":
        return None
    return balanced_weights(counts_C) if setting == "balanced" else effective_weights(counts_C)


def binary_class_weights(
    setting: ClassWeights, labels: Sequence[str], counts_C: Tensor, examples: float
) -> Tensor | None:
    """Returns (2, C) fp32 the weights of each class where it is absent and where it is present; None for 1.

    Args:
        setting: what the user has set. A table says how much the presence of a class weighs; its absence
            weighs 1.
        labels: the names of the C classes.
        counts_C: the number of training examples of each class, or the sum of their weights.
        examples: the number of all training examples, or the sum of their weights.
    """
    if isinstance(setting, Mapping):
        present_C = _of_table(setting, labels).to(counts_C.device)
        return torch.stack([torch.ones_like(present_C), present_C])
    if setting == "none":
        return None
    weights = balanced_binary_weights if setting == "balanced" else effective_binary_weights
    return weights(counts_C, examples)


def _of_table(table: Mapping[str, float], labels: Sequence[str]) -> Tensor:
    known, weights_C = LabelIds(labels), torch.ones(len(labels), dtype=torch.float32)
    for label, weight in table.items():
        index = known.get(label)
        assert index is not None, "unknown labels are refused before"
        weights_C[index] = weight
    return weights_C


def unknown_in_table(setting: ClassWeights, labels: Sequence[str]) -> list[str]:
    """Returns a line for each label of a table of weights that no training text has."""
    known = LabelIds(labels)
    return [
        f"optim.class_weights: no training text has the label {short_label(label)}"
        f"{nearest_label(label, labels)}"
        for label in (setting if isinstance(setting, Mapping) else ())
        if known.get(label) is None
    ]
