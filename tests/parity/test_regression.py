"""The loss of the task regression against transformers' own: outputs, the loss, every gradient; and planted
mistakes that the comparison has to notice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from custom_bert.batch import Batch, Targets
from custom_bert.config import Preset
from custom_bert.decoding.numbers import NumberDecoder
from custom_bert.model_files.tables import to_hugging_face
from custom_bert.models.heads import SequenceClassifier
from custom_bert.tasks.regression import NumberLoss, Regression

pytest.importorskip("transformers", reason="transformers is not installed: parity is not tested")

from parity.comparison import FAMILIES, LABELS, LENGTHS, largest_difference, randomise, reference, tiny

PRESETS: tuple[Preset, ...] = ("legacy", "custom", "modern")
MEAN, STD = (500.0, -3.0, 0.25), (40.0, 0.5, 2.0)
ONE = torch.zeros(LABELS, dtype=torch.float64), torch.ones(LABELS, dtype=torch.float64)


def texts_of(vocab_size: int) -> tuple[list[np.ndarray], Tensor, Tensor]:
    """Texts, and the same as padded rows of ids with their mask."""
    generator = np.random.Generator(np.random.PCG64(3))
    texts = [generator.integers(5, vocab_size, size=n) for n in LENGTHS]
    ids, mask = torch.zeros(2, len(texts), max(LENGTHS), dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.from_numpy(text), 1
    return texts, ids, mask


def difference(preset: Preset, objective: NumberLoss) -> float:
    """The largest difference of outputs, of the loss and, relative to its size, of any gradient."""
    config = tiny(preset)
    torch.manual_seed(1)
    theirs = reference(preset, config, "eager").eval()
    theirs.config.problem_type = "regression"  # type: ignore[union-attr]
    randomise(theirs)
    texts, ids, mask = texts_of(config.vocab_size)
    wanted_NK = np.random.default_rng(4).normal(size=(len(texts), LABELS))
    output = theirs(input_ids=ids, attention_mask=mask, labels=torch.from_numpy(wanted_NK).float())
    output.loss.backward()

    return largest_difference(preset, theirs, (output.logits, output.loss), texts, wanted_NK, objective)


@pytest.mark.parametrize("preset", PRESETS)
def test_outputs_loss_and_gradients_are_transformers(preset: Preset) -> None:
    assert difference(preset, NumberLoss(*ONE)) <= 1e-5


class ByTexts(NumberLoss):
    """Divided by the texts, and not by texts times numbers."""

    def weight(self, targets: Targets) -> float:
        return float(len(targets))


def test_planted_mistakes_are_noticed() -> None:
    assert difference("custom", ByTexts(*ONE)) > 1e-3
    assert difference("custom", NumberLoss(*ONE, kind="huber")) > 1e-3
    assert difference("custom", NumberLoss(ONE[0], 2 * ONE[1])) > 1e-3


def exported(preset: Preset, task: Regression) -> float:
    """The largest difference, as a share, of what transformers computes from the exported tensors and the
    numbers that the task makes of the same model's outputs."""
    config = tiny(preset)
    torch.manual_seed(2)
    ours = SequenceClassifier(config, LABELS).eval()
    randomise(ours)
    theirs = reference(preset, config, "eager").eval()
    tensors: Mapping[str, Tensor] = task.published_tensors(ours.state_dict())
    theirs.load_state_dict(to_hugging_face(FAMILIES[preset], tensors), strict=False)
    texts, ids, mask = texts_of(config.vocab_size)
    with torch.inference_mode():
        numbers_NK = theirs(input_ids=ids, attention_mask=mask).logits.numpy()
        mine_NK = NumberDecoder(MEAN, STD).probabilities(ours(Batch.build(texts)).numpy())
    return float((np.abs(numbers_NK - mine_NK) / np.maximum(np.abs(mine_NK), np.array(STD))).max())


class NotFolded(Regression):
    """Leaves the scale out of the last layer."""

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(state)


class OnlyWeights(Regression):
    """Scales the weights, and not the biases."""

    def published_tensors(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        bias = state["head.projection.bias"]
        return {**super().published_tensors(state), "head.projection.bias": bias}


@pytest.mark.parametrize("preset", PRESETS)
def test_an_export_computes_in_the_users_unit(preset: Preset) -> None:
    assert exported(preset, Regression(MEAN, STD)) <= 1e-5
    assert exported(preset, NotFolded(MEAN, STD)) > 1e-3
    assert exported(preset, OnlyWeights(MEAN, STD)) > 1e-3
