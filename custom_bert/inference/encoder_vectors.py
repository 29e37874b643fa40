"""The vectors of a pretrained encoder, computed by torch.

Shapes: N texts of a batch, n texts of a chunk, D width of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText
from custom_bert.inference.in_order import compute, prepare_threads
from custom_bert.inference.vectors import VectorPooling
from custom_bert.machine import choose_device
from custom_bert.model_files.hub import locate
from custom_bert.model_files.pretrained import Pretrained, load_pretrained
from custom_bert.models.encoder import Encoder
from custom_bert.models.heads import mean_pool
from custom_bert.openmp import one_thread

PREFIX = "encoder."
"""The names of the encoder's tensors begin with this in the state dict of a whole model."""


class _Pooled(nn.Module):
    """An encoder whose output is one vector for each text."""

    def __init__(self, encoder: Encoder, pooling: VectorPooling) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling

    def forward(self, batch: Batch) -> Tensor:
        """Returns (N, D) vectors."""
        if self.pooling == "cls":
            return self.encoder(batch, "first")  # type: ignore[no-any-return]
        return mean_pool(self.encoder(batch), batch.layout)


class EncoderVectors:
    """The vectors of an encoder; see `vectors.VectorModel`.

    Args:
        pretrained: the encoder.
        device: where to compute.
    """

    def __init__(self, pretrained: Pretrained, device: torch.device) -> None:
        self._tokenizer, self._device = pretrained.tokenizer, device
        model = Encoder(pretrained.encoder)
        tensors = {n.removeprefix(PREFIX): t for n, t in pretrained.state.items() if n.startswith(PREFIX)}
        model.load_state_dict(tensors, strict=True)
        self.model = model.to(device).eval()

    @property
    def tokenizer(self) -> TextTokenizer:
        """The encoder's tokenizer."""
        return self._tokenizer

    @property
    def width(self) -> int:
        """D, the width of a vector."""
        return self.model.config.hidden_size

    @property
    def longest(self) -> int:
        """The number of the encoder's positions."""
        return self.model.config.max_position_embeddings

    def of(
        self, texts: Sequence[str], pooling: VectorPooling, max_length: int, unknown: UnknownText
    ) -> np.ndarray:
        """Returns (n, D) fp32 vectors."""
        prepare_threads()  # between two chunks the caller's code runs, which may have forked
        # a new module is in training mode, and would put the encoder back into it after computing
        return compute(
            _Pooled(self.model, pooling).eval(),
            self._tokenizer,
            texts,
            max_length=max_length,
            device=self._device,
            unknown=unknown,
        )


def load_vectors(name: str, device: str | None) -> EncoderVectors:
    """Loads an encoder; see `Embedder.load`."""
    with one_thread():
        pretrained = load_pretrained(locate(name), source=name)
        return EncoderVectors(pretrained, choose_device(device)[0])
