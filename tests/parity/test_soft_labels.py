"""The loss of the task soft_labels against torch's on transformers' models: outputs, loss, every gradient;
and planted mistakes that the comparison has to notice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.config import Preset
from custom_bert.ops.losses import cross_entropy_sum
from custom_bert.tasks.classification import CrossEntropy
from custom_bert.tasks.share_scorer import SoftCrossEntropy

pytest.importorskip("transformers", reason="transformers is not installed: parity is not tested")

from parity.comparison import LABELS, LENGTHS, largest_difference, randomise, reference, tiny

PRESETS: tuple[Preset, ...] = ("legacy", "custom", "modern")


def difference(preset: Preset, objective: SoftCrossEntropy) -> float:
    """The largest difference of logits, of the loss and, relative to its size, of any gradient."""
    config = tiny(preset)
    torch.manual_seed(1)
    theirs = reference(preset, config, "eager").eval()
    randomise(theirs)
    generator = np.random.Generator(np.random.PCG64(3))
    texts = [generator.integers(5, config.vocab_size, size=n) for n in LENGTHS]
    shares_NC = torch.from_numpy(generator.dirichlet([0.5] * LABELS, len(texts))).float()
    ids, mask = torch.zeros(2, len(texts), max(LENGTHS), dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), 1
    logits = theirs(input_ids=ids, attention_mask=mask).logits
    wanted_loss = torch.nn.CrossEntropyLoss()(logits, shares_NC)
    wanted_loss.backward()

    return largest_difference(preset, theirs, (logits, wanted_loss), texts, shares_NC.numpy(), objective)


@pytest.mark.parametrize("preset", PRESETS)
def test_logits_loss_and_gradients_are_transformers_and_torchs(preset: Preset) -> None:
    assert difference(preset, SoftCrossEntropy()) <= 1e-5


class WrongSide(SoftCrossEntropy):
    """The logarithm of the given shares, and not of the predicted ones."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        return -(output.softmax(-1) * targets.values.clamp(min=1e-9).log()).sum()


class MajorityOnly(SoftCrossEntropy):
    """Hard labels, as if nobody had disagreed."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        return cross_entropy_sum(output, targets.values.argmax(-1))


class Votes(SoftCrossEntropy):
    """Shares that were not divided by their sum."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        return super().loss_sum(output, Targets(targets.values * 3))


class Questions(SoftCrossEntropy):
    """A sigmoid for each class."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, targets.values, reduction="sum")


def test_planted_mistakes_are_noticed() -> None:
    for wrong in (WrongSide(), MajorityOnly(), Votes(), Questions()):
        assert difference("custom", wrong) > 1e-3, type(wrong).__name__
    assert difference("custom", SoftCrossEntropy()) <= 1e-5


def test_weights_are_torchs_and_a_divided_text_is_as_one_for_each_of_its_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NC = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    shares_NC = torch.randn(6, 4, generator=generator, dtype=torch.float64).softmax(-1)
    weights_C = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    weights_N = torch.arange(1.0, 7.0, dtype=torch.float64)
    plain = SoftCrossEntropy(weights_C).loss_sum(logits_NC, Targets(shares_NC))
    torchs = torch.nn.CrossEntropyLoss(weight=weights_C, reduction="sum")(logits_NC, shares_NC)
    assert float(plain) == pytest.approx(float(torchs))
    for r_drop in (0.0, 2.0):
        soft = SoftCrossEntropy(weights_C, 0.1, 0.0)
        expanded = Targets(torch.arange(4).repeat(6), weights_N=(shares_NC * weights_N[:, None]).reshape(-1))
        hard = CrossEntropy(weights_C, 0.1, 0.0)
        repeated = logits_NC.repeat_interleave(4, dim=0)
        targets = Targets(shares_NC, weights_N=weights_N)
        assert float(soft.loss_sum(logits_NC, targets)) == pytest.approx(
            float(hard.loss_sum(repeated, expanded))
        )
        assert float(soft.weight(targets)) == pytest.approx(float(hard.weight(expanded)))
        ids_N = torch.tensor([0, 0, 3, 3, 1, 1])
        once = Targets(F.one_hot(ids_N, 4).double(), weights_N=weights_N.repeat_interleave(2)[:6])
        same = Targets(ids_N, weights_N=once.weights_N)
        assert float(SoftCrossEntropy(weights_C, 0.1, r_drop).loss_sum(logits_NC, once)) == pytest.approx(
            float(CrossEntropy(weights_C, 0.1, r_drop).loss_sum(logits_NC, same))
        )
