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


def r_drop_sum(logits_NC: Tensor, labels_N: Tensor, *, class_weights_C: Tensor | None = None) -> Tensor:
    """How far the two predictions of each text are apart: KL(p, q) + KL(q, p), summed over the texts.

    R-Drop (Liang et al. 2021, arXiv 2106.14448): the passes differ by their dropout alone, so that what is
    minimised is the dependence of the prediction on what was dropped.

    Args:
        logits_NC: (N, C); rows 2i and 2i + 1 are two passes of one text.
        labels_N: (N,) class indices, the same for both passes.
        class_weights_C: (C,) weight of each class's texts; None for 1.
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    first_NC, second_NC = F.log_softmax(logits, dim=-1).view(-1, 2, logits.shape[-1]).unbind(1)
    # KL(p, q) + KL(q, p) = sum of (p - q) (log p - log q)
    apart_N = ((first_NC.exp() - second_NC.exp()) * (first_NC - second_NC)).sum(-1)
    if class_weights_C is not None:
        apart_N = apart_N * class_weights_C[labels_N[::2]]
    return apart_N.sum()


def target_weight(labels_N: Tensor, class_weights_C: Tensor | None = None) -> Tensor | float:
    """What `cross_entropy_sum` is divided by: the examples, or the sum of their classes' weights, which stays
    on its device so that nobody waits for it."""
    if class_weights_C is None:
        return float(len(labels_N))
    return class_weights_C[labels_N].sum()


def balanced_weights(counts_C: Tensor) -> Tensor:
    """(C,) examples / (classes x examples of the class), as scikit-learn's "balanced"; fp32.

    Args:
        counts_C: training examples of each class, none 0.
    """
    return (counts_C.sum() / (len(counts_C) * counts_C)).to(torch.float32)
