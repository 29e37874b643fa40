"""Losses as sums, and what they are divided by.

A sum over all microbatches and ranks of a step, divided once, does not depend on how the step was divided.

Shapes: N examples, C classes; M rows, D hidden, V vocabulary.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 64
"""The number of rows of a product is a multiple of this, so that products have few different shapes."""


def cross_entropy_sum(
    logits_NC: Tensor,
    labels_N: Tensor,
    *,
    weights_N: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the weighted sum of the examples' cross-entropies, in fp32 or better.

    Divide by the number of examples, or by the sum of their weights, of *all* examples of the optimizer step
    (every microbatch, every rank). Then accumulation changes nothing.

    Args:
        logits_NC: (N, C).
        labels_N: (N,) class indices.
        weights_N: (N,) weight of each example; None for 1.
        label_smoothing: mass spread evenly over all classes (Szegedy et al. 2015, arXiv 1512.00567).
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    losses_N = F.cross_entropy(logits, labels_N, label_smoothing=label_smoothing, reduction="none")
    return (losses_N if weights_N is None else losses_N * weights_N).sum()


def soft_cross_entropy_sum(logits_NC: Tensor, masses_NC: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Returns the sum of the cross-entropies of distributions over the classes, in fp32 or better.

    It is what `cross_entropy_sum` returns if each example stands there once for each class, with the mass of
    the class as its weight. So with one class an example the two are equal.

    Args:
        logits_NC: (N, C).
        masses_NC: (N, C) the share of each class times the weight of the class and of the example. Divide by
            the sum of these of *all* examples of the step.
        label_smoothing: the part of an example's mass that is spread evenly over all classes.
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    masses = masses_NC.to(logits.dtype)
    if label_smoothing:
        masses = masses * (1 - label_smoothing) + label_smoothing * masses.mean(-1, keepdim=True)
    return -(masses * F.log_softmax(logits, dim=-1)).sum()


def supervised_contrast_sum(
    vectors_ND: Tensor, labels_N: Tensor, *, temperature: float, weights_N: Tensor | None = None
) -> Tensor:
    """Returns the weighted sum of the examples' supervised contrastive losses, in fp32 or better (Khosla et
    al. 2020, arXiv 2004.11362, L_out).

    An example's loss is the mean cross-entropy of finding each example of its label among all others, by the
    cosines of their vectors. It is 0 for an example whose label no other one has.

    Args:
        vectors_ND: (N, D).
        labels_N: (N,) class indices.
        temperature: by which the cosines are divided.
        weights_N: (N,) weight of each example; None for 1.
    """
    unit_ND = F.normalize(vectors_ND if vectors_ND.dtype is torch.float64 else vectors_ND.float(), dim=-1)
    itself_NN = torch.eye(len(unit_ND), dtype=torch.bool, device=unit_ND.device)
    cosines_NN = (unit_ND @ unit_ND.T / temperature).masked_fill(itself_NN, -torch.inf)
    log_NN = cosines_NN.log_softmax(-1).masked_fill(itself_NN, 0.0)
    same_NN = (labels_N[:, None] == labels_N) & ~itself_NN
    losses_N = -(log_NN * same_NN).sum(-1) / same_NN.sum(-1).clamp(min=1)
    return (losses_N if weights_N is None else losses_N * weights_N).sum()


CHUNK = 1 << 24
"""The number of logits that exist at a time: 64 MB in fp32."""


def linear_cross_entropy_sum(
    hidden_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_M: Tensor
) -> Tensor:
    """Returns the sum of the cross-entropies of the logits `hidden @ weight.T + bias`, a part at a time.

    The forward pass takes a few rows at a time. It computes their logits, their loss and the gradients, and
    keeps only the gradients. They take as much memory as `hidden` and `weight`, while logits, their softmax
    and its gradient would take 3 x M x V numbers. This is the way of Liger (Hsu et al. 2024, arXiv
    2410.10989). Products are in autocast's type, the softmax in fp32 or better.

    Args:
        hidden_MD: (M, D).
        weight_VD: (V, D).
        bias_V: (V,).
        targets_M: (M,) class indices.
    """
    apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
    return apply(hidden_MD, weight_VD, bias_V, targets_M)


class _LinearCrossEntropy(torch.autograd.Function):
    """The forward pass computes the gradients of the sum, and the backward pass scales them."""

    @staticmethod
    def forward(ctx: Any, x_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_M: Tensor) -> Tensor:
        device = x_MD.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_MD.dtype
        wide = torch.promote_types(weight_VD.dtype, torch.float32)
        needed = any(ctx.needs_input_grad)
        grad_MD = torch.empty_like(x_MD) if needed else None
        grad_VD = torch.zeros_like(weight_VD, dtype=wide) if needed else None
        grad_V = torch.zeros_like(bias_V, dtype=wide) if needed else None
        loss = torch.zeros((), dtype=wide, device=x_MD.device)
        size = max(ROWS, CHUNK // len(weight_VD) // ROWS * ROWS)
        # without autocast, which would convert the whole table anew for every chunk
        with torch.autocast(device, enabled=False):
            cast_VD = weight_VD.detach().to(dtype)
            for start in range(0, len(x_MD), size):
                targets = targets_M[start : start + size]
                count = len(targets)
                rows = x_MD[start : start + size].detach().to(dtype)
                rows = F.pad(rows, (0, 0, 0, -count % ROWS))
                logits = F.linear(rows, cast_VD).to(wide).add_(bias_V.detach())
                each = logits.logsumexp(-1)
                loss += (each[:count] - logits[:count].gather(-1, targets[:, None])[:, 0]).sum()
                if grad_MD is None or grad_VD is None or grad_V is None:
                    continue
                # the gradient of the logits: softmax - 1 at the target; in the memory of the logits
                slope = logits.sub_(each[:, None]).exp_()
                slope[torch.arange(count, device=rows.device), targets] -= 1
                slope[count:] = 0
                grad_V += slope.sum(0)
                slope = slope.to(dtype)
                grad_MD[start : start + size] = (slope @ cast_VD)[:count]
                if dtype == wide:
                    grad_VD.addmm_(slope.T, rows)
                else:
                    grad_VD += slope.T @ rows
        if needed:
            ctx.save_for_backward(grad_MD, grad_VD, grad_V)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        grad_MD, grad_VD, grad_V = ctx.saved_tensors
        return grad_MD * grad, grad_VD * grad, grad_V * grad, None


def r_drop_sum(logits_NC: Tensor, *, weights_N: Tensor | None = None) -> Tensor:
    """Returns the sum over texts of R-Drop's divergence of their two predictions, KL(p, q) + KL(q, p).

    The two passes of a text differ only by their dropout. So minimising the divergence makes predictions
    depend less on what was dropped (Liang et al. 2021, arXiv 2106.14448).

    Args:
        logits_NC: (N, C); rows 2i and 2i + 1 are two passes of one text.
        weights_N: (N,) weight of each text, the same for both passes; None for 1.
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    first_NC, second_NC = F.log_softmax(logits, dim=-1).view(-1, 2, logits.shape[-1]).unbind(1)
    # KL(p, q) + KL(q, p) = sum of (p - q) (log p - log q)
    apart_N = ((first_NC.exp() - second_NC.exp()) * (first_NC - second_NC)).sum(-1)
    return (apart_N if weights_N is None else apart_N * weights_N[::2]).sum()


def combined_weights(*factors: Tensor | None) -> Tensor | None:
    """Returns the product of weights of one shape; None, which means 1, if all of them are None."""
    given = [factor for factor in factors if factor is not None]
    return functools.reduce(torch.mul, given) if given else None


def balanced_weights(counts_C: Tensor) -> Tensor:
    """Returns (C,) fp32 weights: examples / (classes x examples of the class), as scikit-learn's "balanced".

    Args:
        counts_C: the number of training examples of each class, or the sum of their weights; none is 0.
    """
    return (counts_C.sum() / (len(counts_C) * counts_C)).to(torch.float32)


EFFECTIVE = 0.999
"""Beta of effective numbers: a class has at most 1 / (1 - beta) = 1,000 effective examples. Classes with far
fewer weigh as in `balanced_weights`, and those with far more all weigh the same. Cui et al. chose among 0.9,
0.99, 0.999 and 0.9999; the sets of texts that people label have tens to thousands of texts a class."""


def effective_numbers(counts_C: Tensor) -> Tensor:
    """Returns (C,) fp64 effective numbers of examples, (1 - beta ** n) / (1 - beta): the more examples a
    class has, the less another one adds (Cui et al. 2019, arXiv 1901.05555).

    Args:
        counts_C: the number of examples of each class, or the sum of their weights; none is 0.
    """
    return -torch.expm1(counts_C.double() * math.log(EFFECTIVE)) / (1 - EFFECTIVE)


def effective_weights(counts_C: Tensor) -> Tensor:
    """Returns (C,) fp32 weights of classes, the inverse of their effective numbers, of which an example has
    the mean 1.

    Args:
        counts_C: the number of training examples of each class, or the sum of their weights. The weight of a
            class without any is never used.
    """
    counts_C = counts_C.double().clamp(min=1e-9)
    inverse_C = 1 / effective_numbers(counts_C)
    return (inverse_C * counts_C.sum() / (inverse_C * counts_C).sum()).to(torch.float32)


def binary_cross_entropy_sum(
    logits_NC: Tensor, hot_NC: Tensor, *, weights_NC: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Returns the weighted sum of the cross-entropies of N x C yes-or-no questions, in fp32 or better.

    Divide by the number of questions, or by the sum of their weights, of *all* examples of the step.

    Args:
        logits_NC: (N, C); the probability of a yes is their sigmoid.
        hot_NC: (N, C) 1 for yes and 0 for no.
        weights_NC: (N, C) weight of each question; None for 1.
        label_smoothing: the targets are drawn together to smoothing / 2 and 1 - smoothing / 2.
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    wanted = hot_NC.to(logits.dtype) * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, wanted, weight=weights_NC, reduction="sum")


def binary_r_drop_sum(logits_NC: Tensor, *, weights_NC: Tensor | None = None) -> Tensor:
    """Returns R-Drop's divergence of the two predictions of each question, KL(p, q) + KL(q, p), summed.

    It is `r_drop_sum` for sigmoids: p and q are distributions over yes and no.

    Args:
        logits_NC: (N, C); rows 2i and 2i + 1 are two passes of one text.
        weights_NC: (N, C) weight of each question, the same for both passes; None for 1.
    """
    logits = logits_NC if logits_NC.dtype is torch.float64 else logits_NC.float()
    first_NC, second_NC = logits.view(-1, 2, logits.shape[-1]).unbind(1)
    # of two answers with logits a and b: KL(p, q) + KL(q, p) = (p - q) (a - b)
    apart_NC = (first_NC.sigmoid() - second_NC.sigmoid()) * (first_NC - second_NC)
    return (apart_NC if weights_NC is None else apart_NC * weights_NC[::2]).sum()


def balanced_binary_weights(counts_C: Tensor, examples: float) -> Tensor:
    """Returns (2, C) fp32 weights of each class's absence and presence: examples / (2 x examples with the
    answer). That is scikit-learn's "balanced" for each class by itself.

    Args:
        counts_C: the number of training examples of each class, or the sum of their weights. An answer with
            less than one counts as one.
        examples: the number of all training examples, or the sum of their weights.
    """
    answers_2C = torch.stack([examples - counts_C, counts_C]).clamp(min=1)
    return (examples / (2 * answers_2C)).to(torch.float32)


def effective_binary_weights(counts_C: Tensor, examples: float) -> Tensor:
    """Returns (2, C) fp32 weights of each class's absence and presence, by the effective numbers of examples
    with the answer. Of each class by itself, an example has the mean weight 1.

    Args:
        counts_C: the number of training examples of each class, or the sum of their weights. An answer with
            less than one counts as one.
        examples: the number of all training examples, or the sum of their weights.
    """
    answers_2C = torch.stack([examples - counts_C, counts_C]).clamp(min=1)
    inverse_2C = 1 / effective_numbers(answers_2C)
    return (inverse_2C * examples / (inverse_2C * answers_2C).sum(0)).to(torch.float32)
