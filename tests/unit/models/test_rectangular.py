"""A model over rectangles computes what it computes over packed rows, whatever padding is there."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from onnx_models import FAMILIES, LONGEST, TASKS, encoder_of, random_model
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.models import rectangular
from custom_bert.models.heads import SequenceClassifier
from custom_bert.models.rectangular import RectangularClassifier, RectangularEncoder

LENGTHS = (3, LONGEST, 17, 1, 9, 17, 30)


def rectangle(sequences: list[np.ndarray], length: int, fill: int) -> tuple[Tensor, Tensor]:
    ids = torch.full((len(sequences), length), fill)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(sequences):
        ids[row, : len(one)], mask[row, : len(one)] = torch.from_numpy(one), 1
    return ids, mask


def drawn(vocab_size: int, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, vocab_size, size=length) for length in LENGTHS]


def largest_difference(family: str, task: str = "classification", fill: int = 3) -> float:
    """By how much any output of a family's model over a rectangle differs from that over packed rows."""
    model = random_model(TASKS[task], encoder_of(family))
    sequences = drawn(model.encoder.config.vocab_size)
    ids, mask = rectangle(sequences, LONGEST, fill)
    with torch.no_grad():
        if isinstance(model, SequenceClassifier):
            found, wanted = RectangularClassifier(model)(ids, mask), model(Batch.build(sequences))
        else:
            wanted = model.encoder(Batch.build(sequences))
            found = RectangularEncoder(model.encoder)(ids, mask)[mask > 0]
    assert found.shape == wanted.shape and wanted.std() > 0.05
    return float((found - wanted).abs().max())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", ["classification", "masked_lm"])
def test_every_family_computes_the_same(family: str, task: str) -> None:
    assert largest_difference(family, task) < 2e-5


@pytest.mark.parametrize("task", [name for name in TASKS if name not in ("classification", "masked_lm")])
def test_every_task_computes_the_same(task: str) -> None:
    assert largest_difference("bert", task) < 2e-5


@pytest.mark.parametrize("family", ["custom with the mean", "modern"])
def test_a_text_alone_gives_what_it_gives_beside_longer_ones(family: str) -> None:
    model = random_model(TASKS["classification"], encoder_of(family))
    over = RectangularClassifier(model)
    sequences = drawn(model.encoder.config.vocab_size)
    with torch.no_grad():
        together = over(*rectangle(sequences, LONGEST, 0))
        for row, one in enumerate(sequences):
            alone = over(*rectangle([one], len(one), 0))
            assert (alone[0] - together[row]).abs().max() < 2e-5


def test_pairs_have_their_types() -> None:
    model = random_model(TASKS["classification"], encoder_of("bert"))
    sequences = drawn(model.encoder.config.vocab_size)
    types = [(np.arange(len(one)) > len(one) // 3).astype(np.int64) for one in sequences]
    ids, mask = rectangle(sequences, LONGEST, 0)
    typed, _ = rectangle(types, LONGEST, 1)
    with torch.no_grad():
        found = RectangularClassifier(model)(ids, mask, typed)
        wanted = model(Batch.build(sequences, types=types))
        untyped = RectangularClassifier(model)(ids, mask)
    assert (found - wanted).abs().max() < 2e-5 < (found - untyped).abs().max()


def unmasked(self: RectangularEncoder, attention_mask: Tensor, positions_L: Tensor) -> dict[bool, Tensor]:
    return BIASES(self, torch.ones_like(attention_mask), positions_L)


def wider(self: RectangularEncoder, attention_mask: Tensor, positions_L: Tensor) -> dict[bool, Tensor]:
    """The local window reaches one token further to the left."""
    found = BIASES(self, attention_mask, positions_L)
    if True in found:
        near = (positions_L[:, None] - positions_L).abs() <= self.encoder.config.local_attention // 2 + 1
        lowest = torch.finfo(torch.float32).min
        found[True] = torch.where((attention_mask[:, None, None, :] > 0) & near, 0.0, lowest)
    return found


def shifted(self: RectangularEncoder, ids: Tensor, positions_L: Tensor, types: Tensor | None) -> Tensor:
    """The positions begin at row 0 of the table."""
    offset = self.encoder.embeddings.offset
    return EMBEDDED(self, ids, (positions_L - offset).clamp(min=-offset), types)


def one_base(self: RectangularEncoder, positions_L: Tensor) -> dict[bool, Any]:
    found = ROPE(self, positions_L)
    return dict.fromkeys(found, found[False]) if found else found


def plain_mean(hidden_NLD: Tensor, attention_mask: Tensor) -> Tensor:
    return hidden_NLD.mean(1)


BIASES, EMBEDDED, ROPE = (getattr(RectangularEncoder, name) for name in ("_biases", "_embedded", "_rope"))

MUTANTS: dict[str, tuple[str, Any, str, Callable[..., Any]]] = {
    "the mask is ignored by attention": ("bert", RectangularEncoder, "_biases", unmasked),
    "the window is off by one": ("modern", RectangularEncoder, "_biases", wider),
    "the position offset is lost": ("custom", RectangularEncoder, "_embedded", shifted),
    "one rotary base for all layers": ("modern", RectangularEncoder, "_rope", one_base),
    "the mean counts padding": ("custom with the mean", rectangular, "masked_mean", plain_mean),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_comparison_notices(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family, owner, name, broken = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, broken)
    assert largest_difference(family) > 1e-3


def test_it_shares_the_weights() -> None:
    model = random_model(TASKS["classification"], encoder_of("bert"))
    over: nn.Module = RectangularClassifier(model)
    assert {id(one) for one in over.parameters()} == {id(one) for one in model.parameters()}
