"""Models that are built around tensors which are there already.

First the model is made on the meta device: it has names and shapes, takes no memory, and draws nothing. Then
the tensors take the places of its parameters, without a copy.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from custom_bert.models.encoder import Encoder, initialise
from custom_bert.models.heads import FIRST_THRESHOLD, EncoderWithHead
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.presets import EncoderConfig

Classifier = TypeVar("Classifier", bound=EncoderWithHead)


def from_tensors(
    kind: type[Classifier], config: EncoderConfig, num_labels: int, tensors: dict[str, Tensor]
) -> Classifier:
    """Makes a classifier that takes over the tensors.

    If a tensor of the head is missing, the head is drawn as for a new model, and the tensors of it that are
    there are taken over. Missing thresholds get their first value.

    Args:
        kind: the class of the model.
        config: the architecture.
        num_labels: C.
        tensors: by the names of the model's state dict; all of the encoder's.
    """
    model = outline(kind, config, num_labels)
    for name, buffer in model.named_buffers(recurse=False):
        model.register_buffer(name, torch.full(buffer.shape, FIRST_THRESHOLD))
    if any(f"head.{name}" not in tensors for name in model.head.state_dict()):
        model.head = model.new_head(config, num_labels)
        initialise(model.head, config)
    missing, unknown = model.load_state_dict(tensors, strict=False, assign=True)
    assert not unknown and not any(name.startswith("encoder.") for name in missing)
    return model


def language_model_from(config: EncoderConfig, tensors: dict[str, Tensor]) -> MaskedLanguageModel:
    """Makes a language model that takes over the tensors. If one of the prediction head is missing, the head
    is drawn as for a new model.

    Args:
        config: the architecture.
        tensors: by the names of the model's state dict; all of the encoder's.
    """
    model = language_model_outline(config)
    if any(name not in tensors for name in model.state_dict() if not name.startswith("encoder.")):
        with torch.device("meta"), _NothingDrawn():
            encoder = Encoder(config)
        model = MaskedLanguageModel(encoder)
    missing, unknown = model.load_state_dict(tensors, strict=False, assign=True)
    assert not unknown and not any(name.startswith("encoder.") for name in missing)
    return model


def language_model_outline(config: EncoderConfig) -> MaskedLanguageModel:
    """Returns a language model on the meta device: names and shapes without values."""
    with torch.device("meta"), _NothingDrawn():
        return MaskedLanguageModel(Encoder(config))


def outline(kind: type[Classifier], config: EncoderConfig, num_labels: int) -> Classifier:
    """Returns a classifier on the meta device: names and shapes without values."""
    with torch.device("meta"), _NothingDrawn():
        return kind(config, num_labels)


class _NothingDrawn(TorchFunctionMode):
    """Skips the functions that fill tensors of the meta device, such as `nn.init.trunc_normal_`.

    They would change nothing there. But the first of them loads Python modules of torch, which takes a second
    and 70 MB.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = kwargs.get("tensor", args[0] if args else None)
        name = getattr(func, "__name__", "")
        # torch's functions that change a tensor in place end with one underscore
        changes = name.endswith("_") and not name.startswith("__") and name != "requires_grad_"
        if changes and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **kwargs)
