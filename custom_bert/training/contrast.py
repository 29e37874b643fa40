"""With few texts of each label, the encoder first learns to put texts of one label near each other.

A head on top learns little from ten texts a label. Their pairs are many, and pull the whole encoder towards
the task. So a linear classifier on the vectors is better afterwards, as in SetFit (Tunstall et al. 2022,
arXiv 2209.11055), here with the loss of Khosla et al. 2020 (arXiv 2004.11362).

Shapes: N texts, D width of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.models.heads import SequenceClassifier
from custom_bert.ops.losses import supervised_contrast_sum
from custom_bert.rules.schedule import lr_factor
from custom_bert.training.optim import make_optimizer, set_lr
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.state import State
from custom_bert.training.step import train_step

STEPS = 100
"""The number of steps. 150 were no better on TREC (docs/log/0024)."""

TEXTS = 32
"""The largest number of texts of a step."""

TEMPERATURE = 0.1
"""By which cosines are divided. 0.1 and 0.3 did not differ."""

RATE = 0.5
"""The peak learning rate as a share of `optim.lr`: 1e-4 at a width of 384."""


@dataclass(frozen=True)
class Contrast:
    """The supervised contrastive loss of the vectors of a batch. It is an `Objective`."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        """Returns the sum over the texts; `output` is (N, D) vectors, the targets are classes."""
        return supervised_contrast_sum(
            output, targets.values, temperature=TEMPERATURE, weights_N=targets.weights_N
        )

    def weight(self, targets: Targets) -> Tensor | float:
        """Returns the number of texts, or the sum of their weights."""
        return float(len(targets)) if targets.weights_N is None else targets.weights_N.sum()


class _Vectors(nn.Module):
    """The vectors that a classifier's head reads, as the output of a model."""

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.encoder = model.encoder
        self._vectors = model.vectors

    def forward(self, batch: Batch) -> Tensor:
        """Returns (N, D) vectors."""
        return self._vectors(batch)


def draw_together(state: State, plan: RunPlan, material: Material, stopped: Callable[[], bool]) -> int:
    """Trains the encoder of a new run until texts of one label have near vectors.

    Every rank does so; what counts is rank 0, whose weights all ranks get when the phase begins
    (`Ranks.parallel`).

    Args:
        state: the model, whose encoder changes.
        plan: the plan of the run.
        material: the data.
        stopped: whether somebody asked for an end; then the steps that are left are not made.

    Returns:
        The number of steps.
    """
    optim, train = plan.config.optim, material.train
    model = _Vectors(cast(SequenceClassifier, state.model))
    optimizer = make_optimizer(model, lr=0.0, weight_decay=optim.weight_decay)
    assert train.targets is not None
    classes_N = train.targets.values(np.arange(len(train.rows_N)))
    draw = np.random.Generator(np.random.PCG64([plan.config.seed, STEPS]))
    for step in range(STEPS):
        if stopped():
            return step
        rows = drawn(classes_N, draw)
        rows = rows[np.argsort(-train.lengths_N[rows], kind="stable")]
        factor = lr_factor((step + 0.5) / STEPS, warmup=optim.warmup, schedule="linear")
        set_lr(optimizer, RATE * optim.lr * factor)
        batch = train.build_for_evaluation(rows).to(plan.device)
        train_step(
            model, optimizer, [batch], Contrast(), precision=state.precision, clip_norm=optim.clip_norm
        )
    return STEPS


def drawn(classes_N: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Returns the indices of at most `TEXTS` texts: of each of some classes equally many, two at least.

    Args:
        classes_N: (N,) the class of each text.
        draw: draws the classes and the texts.
    """
    order = draw.permutation(len(classes_N))
    classes, counts = np.unique(classes_N, return_counts=True)
    classes = draw.permutation(classes[counts > 1])[: TEXTS // 2]
    each = TEXTS // max(1, len(classes))
    chosen = [order[classes_N[order] == one][:each] for one in classes]
    return np.concatenate(chosen) if chosen else order[:TEXTS]
