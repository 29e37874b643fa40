"""Models that take over tensors: their shapes and names first, at no cost, then the tensors themselves."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from custom_bert.models.encoder import Encoder, initialise
from custom_bert.models.heads import ClassificationHead, SequenceClassifier
from custom_bert.models.masked_lm import MaskedLanguageModel
from custom_bert.presets import EncoderConfig

Classifier = TypeVar("Classifier", bound=SequenceClassifier)


def from_tensors(
    kind: type[Classifier], config: EncoderConfig, num_labels: int, tensors: dict[str, Tensor]
) -> Classifier:
    """A classifier that takes over the tensors, of which those beside the encoder's may be missing; it draws
    these.

    Args:
        kind: the class.
        config: the architecture.
        num_labels: C.
        tensors: by the names of its state dict.
    """
    model = outline(kind, config, num_labels)
    for name, buffer in model.named_buffers(recurse=False):
        model.register_buffer(name, torch.full(buffer.shape, 0.5))
    if any(f"head.{name}" not in tensors for name in model.head.state_dict()):
        model.head = ClassificationHead(config, num_labels)
        initialise(model.head, config)
    missing, unknown = model.load_state_dict(tensors, strict=False, assign=True)
    assert not unknown and not any(name.startswith("encoder.") for name in missing)
    return model


def language_model_from(config: EncoderConfig, tensors: dict[str, Tensor]) -> MaskedLanguageModel:
    """A language model that takes over the tensors, of which those of the prediction head may be missing; it
    draws these.

    Args:
        config: the architecture.
        tensors: by the names of its state dict.
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
    """A language model on the meta device, of which no value was drawn."""
    with torch.device("meta"), _NothingDrawn():
        return MaskedLanguageModel(Encoder(config))


def outline(kind: type[Classifier], config: EncoderConfig, num_labels: int) -> Classifier:
    """A classifier on the meta device, of which no value was drawn."""
    with torch.device("meta"), _NothingDrawn():
        return kind(config, num_labels)


class _NothingDrawn(TorchFunctionMode):
    """Leaves weights as they are where they would be drawn.

    The first draw on the meta device loads a second of torch's Python, and 70 MB of it.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = kwargs.get("tensor", args[0] if args else None)
        name = getattr(func, "__name__", "")
        changes = name.endswith("_") and not name.startswith("__") and name != "requires_grad_"
        if changes and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **kwargs)
