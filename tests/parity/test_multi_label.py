"""The loss of the task multi_label against transformers' own: outputs, the loss, every gradient; and three
planted mistakes that the comparison has to notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_bert.batch import Targets
from custom_bert.config import Preset
from custom_bert.ops.losses import balanced_binary_weights
from custom_bert.tasks import multi_label
from custom_bert.tasks.multi_label import BinaryCrossEntropy

pytest.importorskip("transformers", reason="transformers is not installed: parity is not tested")

from parity.comparison import LABELS, LENGTHS, largest_difference, randomise, reference, tiny

PRESETS: tuple[Preset, ...] = ("legacy", "custom", "modern")


def difference(preset: Preset, objective: BinaryCrossEntropy) -> float:
    """The largest difference of logits, of the loss and, relative to its size, of any gradient."""
    config = tiny(preset)
    torch.manual_seed(1)
    theirs = reference(preset, config, "eager").eval()
    theirs.config.problem_type = "multi_label_classification"  # type: ignore[union-attr]
    randomise(theirs)
    generator = np.random.Generator(np.random.PCG64(3))
    texts = [generator.integers(5, config.vocab_size, size=n) for n in LENGTHS]
    hot_NC = torch.from_numpy(generator.integers(2, size=(len(texts), LABELS))).float()
    ids, mask = torch.zeros(2, len(texts), max(LENGTHS), dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), 1
    output = theirs(input_ids=ids, attention_mask=mask, labels=hot_NC)
    output.loss.backward()

    return largest_difference(preset, theirs, (output.logits, output.loss), texts, hot_NC.numpy(), objective)


@pytest.mark.parametrize("preset", PRESETS)
def test_logits_loss_and_gradients_are_transformers(preset: Preset) -> None:
    assert difference(preset, BinaryCrossEntropy()) <= 1e-5


class OneAnswer(BinaryCrossEntropy):
    """A softmax over the classes, as if a text had one of them."""

    def loss_sum(self, output: Tensor, targets: Targets) -> Tensor:
        return -(output.log_softmax(-1) * targets.values).sum()


class ByTexts(BinaryCrossEntropy):
    """Divided by the texts, and not by texts times classes."""

    def weight(self, targets: Targets) -> float:
        return float(len(targets))


@contextmanager
def neighbours() -> Iterator[None]:
    """Each class is asked the question of the class beside it."""
    real: Callable[..., Tensor] = multi_label.binary_cross_entropy_sum

    def shifted(logits_NC: Tensor, hot_NC: Tensor, **options: object) -> Tensor:
        return real(logits_NC, hot_NC.roll(1, dims=1), **options)

    multi_label.binary_cross_entropy_sum = shifted
    try:
        yield
    finally:
        multi_label.binary_cross_entropy_sum = real


def test_three_planted_mistakes_are_noticed() -> None:
    assert difference("custom", OneAnswer()) > 1e-3
    assert difference("custom", ByTexts()) > 1e-3
    with neighbours():
        assert difference("custom", BinaryCrossEntropy()) > 1e-3
    assert difference("custom", BinaryCrossEntropy()) <= 1e-5


def test_class_weights_are_those_of_scikit_learns_balanced_questions() -> None:
    utils = pytest.importorskip("sklearn.utils", reason="scikit-learn is not installed")
    hot_NC = np.random.default_rng(0).random((50, 4)) < [0.1, 0.3, 0.5, 0.9]
    weights_2C = balanced_binary_weights(torch.from_numpy(hot_NC.sum(0)), len(hot_NC))
    for index in range(4):
        wanted = utils.compute_class_weight("balanced", classes=np.array([False, True]), y=hot_NC[:, index])
        assert weights_2C[:, index].tolist() == pytest.approx(wanted.tolist())
    targets = Targets(torch.from_numpy(hot_NC).float())
    logits_NC = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    objective = BinaryCrossEntropy(weights_2C)
    each = F.binary_cross_entropy_with_logits(logits_NC, targets.values, reduction="none")
    weights_NC = torch.where(targets.values > 0, weights_2C[1], weights_2C[0])
    assert float(objective.loss_sum(logits_NC, targets)) == pytest.approx(float((each * weights_NC).sum()))
    assert float(objective.weight(targets)) == pytest.approx(float(weights_NC.sum()))
