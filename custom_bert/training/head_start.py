"""The start of a classification head from a linear classifier on the vectors of the pretrained encoder.

A head that starts at random first pushes the encoder in directions that mean nothing, and with few examples
of each label it needs more steps than there are. A head that starts from a linear probe begins where the
pretrained vectors already lead (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", arXiv 2202.10054).

Shapes: N texts, D width of the encoder, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch, Targets
from custom_bert.data.batching import EVALUATION_ROWS, by_length, texts_at_once
from custom_bert.data.loader import prefetch
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.outputs import outputs_of
from custom_bert.ops.linear_probe import fit_linear
from custom_bert.precision import casts_kept
from custom_bert.training.plan import Material, RunPlan
from custom_bert.training.state import State

STRENGTH = 3e-3
"""The weight decay of the probe, on vectors that are standardised. From 1e-3 to 1e-2 the accuracy was the
same within a point, with 10 and 50 texts a label and with all (docs/log/0023)."""


class _Features(nn.Module):
    """What the projection of a classifier reads, as the output of a model."""

    def __init__(self, model: SequenceClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Returns (N, D) features."""
        return self.model.features(batch)


def start_head(state: State, plan: RunPlan, material: Material) -> int:
    """Makes the dense layer of the head the identity, and its projection a linear probe.

    The probe is fitted with the loss of the task. Every rank fits one; what counts is that of rank 0, whose
    weights all ranks get when the phase begins (`Ranks.parallel`).

    Returns:
        The number of texts that the probe was fitted on.
    """
    model = cast(SequenceClassifier, state.model)
    dense, projection = model.head.dense, model.head.projection
    with torch.no_grad():
        dense.weight.copy_(torch.eye(len(dense.weight)))
        if dense.bias is not None:
            dense.bias.zero_()
    features_ND, targets = _features(state, plan, material)
    objective = plan.task.probe_objective(plan.config, material.source)
    mean_D, size_D = features_ND.mean(0), features_ND.std(0).clamp(min=1e-6)
    weight = float(objective.weight(targets))

    def loss(logits_nC: Tensor, rows: slice) -> Tensor:
        return objective.loss_sum(logits_nC, targets[rows]) / weight

    outputs = plan.task.num_outputs
    probe = fit_linear(
        (features_ND - mean_D) / size_D, outputs, loss, STRENGTH, portion=texts_at_once(outputs)
    )
    with torch.no_grad():
        weight_CD = probe.weight / size_D
        projection.weight.copy_(weight_CD)
        projection.bias.copy_(probe.bias - weight_CD @ mean_D)
    return len(features_ND)


@casts_kept()
def _features(state: State, plan: RunPlan, material: Material) -> tuple[Tensor, Targets]:
    """Returns (N, D) fp32 features and the targets of the training texts that the probe is fitted on, on the
    CPU."""
    train = material.train
    count = len(train.rows_N)
    chosen_N = np.linspace(0, count - 1, plan.task.probe_texts(count)).astype(np.int64)  # spread evenly
    batches = by_length(train.lengths_N[chosen_N], EVALUATION_ROWS[plan.device.type])
    features, targets = [], []
    model = _Features(cast(SequenceClassifier, state.model))
    built: Iterator[Batch] = prefetch(batches, lambda indices: train.build_for_evaluation(chosen_N[indices]))
    for batch, features_nD in outputs_of(model, built, device=plan.device, autocast=state.precision.autocast):
        assert batch.targets is not None
        features.append(features_nD.cpu())
        targets.append(batch.targets.to(torch.device("cpu")))
    return torch.cat(features), Targets.joined(targets)
