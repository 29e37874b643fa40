"""A model that is made ready for int8 computes the same, with channels of similar size."""

import numpy as np
import pytest
import torch
from onnx_models import LONGEST, TASKS, encoder_of, random_model, texts, tokenizer
from torch import Tensor

from custom_bert.data.text_pairs import paired
from custom_bert.inference.exports.smoothing import SmoothedLinear, smoothed
from custom_bert.model_files.description import Description
from custom_bert.model_files.native import TrainedModel
from custom_bert.models.rectangular import RectangularClassifier


def trained(family: str, *, pairs: bool = False) -> TrainedModel:
    """A model of which one channel is much larger than the others."""
    task, encoder = TASKS["classification"], encoder_of(family)
    model = random_model(task, encoder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter[3] *= 30
    described = Description(encoder, task, LONGEST, pairs=pairs)
    return TrainedModel(model, tokenizer().reading(pairs=pairs), described)  # type: ignore[arg-type]


def samples(pairs: bool) -> list[str]:
    found = texts(40)
    return [paired(*both) for both in zip(found, reversed(found), strict=True)] if pairs else found


@pytest.mark.parametrize(
    ("family", "pairs"), [("bert", True), ("custom with the mean", False), ("modern", False)]
)
def test_it_computes_the_same_and_leaves_the_model_alone(family: str, pairs: bool) -> None:
    one = trained(family, pairs=pairs)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    other = smoothed(one, samples(pairs))
    draw = np.random.default_rng(0)
    ids, mask = torch.from_numpy(draw.integers(0, 60, size=(5, 20))), torch.ones(5, 20, dtype=torch.int64)
    with torch.no_grad():
        found, wanted = (RectangularClassifier(side.model)(ids, mask) for side in (other, one))  # type: ignore[arg-type]
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max().clamp(min=1)
    assert all((tensor == before[name]).all() for name, tensor in one.model.state_dict().items())
    assert sum(isinstance(module, SmoothedLinear) for module in other.model.modules()) == 2 * len(
        one.model.encoder.layers
    )


def test_the_largest_channel_is_nearer_to_the_others() -> None:
    one = trained("bert")
    other = smoothed(one, samples(False))

    def spread(side: TrainedModel) -> float:
        seen: list[Tensor] = []
        layer = side.model.encoder.layers[1].attn.qkv  # type: ignore[union-attr]
        read = layer.linear if isinstance(layer, SmoothedLinear) else layer
        hook = read.register_forward_pre_hook(
            lambda _, given: seen.append(given[0].abs().flatten(0, -2).amax(0))
        )
        ids = torch.from_numpy(np.random.default_rng(1).integers(0, 60, size=(5, 20)))
        with torch.no_grad():
            RectangularClassifier(side.model)(ids, torch.ones_like(ids))  # type: ignore[arg-type]
        hook.remove()
        return float(seen[0].max() / seen[0].median())

    assert spread(other) < spread(one) / 2
