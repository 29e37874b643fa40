"""Cross-entropy as a sum and its normaliser, so that the caller divides by what it counted.

Shapes: N examples, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_sum(
    logits_NC: Tensor,
    labels_N: Tensor,
    *,
    class_weights_C: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The weighted sum of the examples' cross-entropies, in fp32 or better.

    Divide by `target_weight` of *all* examples of the optimizer step (every microbatch, every rank):
    then accumulation changes nothing.

    Args:
        logits_NC: (N, C).
        labels_N: (N,) class indices.
        class_weights_C: (C,) weight of each class; None for 1.
        label_smoothing: mass spread evenly over all classes (Szegedy et al. 2015, arXiv 1512.00567).
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    losses_N = F.cross_entropy(logits, labels_N, label_smoothing=label_smoothing, reduction="none")
    if class_weights_C is not None:
        losses_N = losses_N * class_weights_C[labels_N]
    return losses_N.sum()


def target_weight(labels_N: Tensor, class_weights_C: Tensor | None = None) -> float:
    """What `cross_entropy_sum` is divided by: the examples, or the sum of their classes' weights."""
    if class_weights_C is None:
        return float(len(labels_N))
    return float(class_weights_C[labels_N.to(class_weights_C.device)].sum())


def balanced_weights(counts_C: Tensor) -> Tensor:
    """(C,) examples / (classes x examples of the class), as scikit-learn's "balanced"; fp32.

    Args:
        counts_C: training examples of each class, none 0.
    """
    return (counts_C.sum() / (len(counts_C) * counts_C)).to(torch.float32)
