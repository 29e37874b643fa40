"""A pretrained encoder that turns texts into vectors.

Shapes: N texts, D width of the encoder.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from custom_bert.batch import Batch
from custom_bert.data.given import strings
from custom_bert.data.unknown import OF_VECTORS, UnknownText
from custom_bert.errors import shown, warn_caller
from custom_bert.inference.chunks import chunks
from custom_bert.inference.in_order import compute, prepare_threads
from custom_bert.machine import choose_device
from custom_bert.model_files.hub import locate
from custom_bert.model_files.pretrained import Pretrained, load_pretrained
from custom_bert.models.encoder import Encoder
from custom_bert.models.heads import mean_pool
from custom_bert.openmp import one_thread

PREFIX = "encoder."
"""The names of the encoder's tensors begin with this in the state dict of a whole model."""

VectorPooling = Literal["cls", "mean"]
"""What of a text's tokens makes its vector."""


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


def _whole_number(max_length: object) -> int:
    try:
        return operator.index(max_length)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"max_length: expected a whole number, got {shown(max_length)}") from None


def _ready(lists: Iterable[list[str]]) -> Iterator[list[str]]:
    """Yields the lists, and prepares the threads before each: between two of them the caller's code runs."""
    for chunk in lists:
        prepare_threads()
        yield chunk


class Embedder:
    """A pretrained encoder that turns texts into vectors. It computes in fp32.

    Args:
        pretrained: the encoder; use `Embedder.load` for a directory.
        device: where to compute.
        max_length: the number of tokens that are kept of a text, [CLS] and [SEP] included. It is at least 3,
            and at most the number of the encoder's positions.

    Raises:
        TypeError: if `max_length` is not a whole number.
        ValueError: if `max_length` is out of this range.
    """

    def __init__(self, pretrained: Pretrained, device: torch.device, max_length: int) -> None:
        limit, max_length = pretrained.encoder.max_position_embeddings, _whole_number(max_length)
        if not 3 <= max_length <= limit:
            raise ValueError(
                f"max_length must be between 3 and the encoder's {limit} positions, got {max_length}"
            )
        self.max_length, self.tokenizer, self.device = max_length, pretrained.tokenizer, device
        model = Encoder(pretrained.encoder)
        tensors = {n.removeprefix(PREFIX): t for n, t in pretrained.state.items() if n.startswith(PREFIX)}
        model.load_state_dict(tensors, strict=True)
        self.model = model.to(device).eval()

    @staticmethod
    def load(name: str | Path, *, max_length: int = 256, device: str | None = None) -> Embedder:
        """Loads an encoder.

        Args:
            name: a run directory, a directory in Hugging Face's layout, a name that `custom-bert fetch`
                lists, or an id on the Hub.
            max_length: the number of tokens that are kept of a text. A number beyond the encoder's positions
                is lowered to them.
            device: "cpu" or "cuda"; None takes cuda if there is a CUDA device.

        Raises:
            TypeError: if `max_length` is not a whole number.
            ValueError: if `max_length` is below 3.
            RunError: if the encoder is missing, damaged, or of an architecture that is not supported.
            ConfigError: if the device is not there.
        """
        max_length = _whole_number(max_length)
        with one_thread():
            pretrained = load_pretrained(locate(str(name)), source=str(name))
            limit = pretrained.encoder.max_position_embeddings
            return Embedder(pretrained, choose_device(device)[0], min(max_length, limit))

    def embed(
        self, texts: Iterable[str], *, pooling: VectorPooling = "mean", normalize: bool = True
    ) -> np.ndarray:
        """Returns (N, D) fp32 vectors, in input order.

        Args:
            texts: any number of texts, which are read as they are computed.
            pooling: "mean" takes the mean of all tokens, [CLS] and [SEP] included, as sentence-transformers
                does; "cls" takes the first token.
            normalize: scale each vector to length 1, so that dot products are cosines.

        Raises:
            TypeError: if `texts` is not a collection of strings; it names the first item that is not one.
            ValueError: if `pooling` is neither mean nor cls.
        """
        if pooling not in get_args(VectorPooling):
            raise ValueError(f"pooling must be {' or '.join(get_args(VectorPooling))}, got {pooling!r}")
        # a new module is in training mode, and would put the encoder back into it after computing
        pooled = _Pooled(self.model, pooling).eval()
        unknown = UnknownText()
        vectors_of_chunks = [
            compute(
                pooled,
                self.tokenizer,
                chunk,
                max_length=self.max_length,
                device=self.device,
                unknown=unknown,
            )
            for chunk in _ready(chunks(strings(texts), self.model.config.hidden_size))
        ]
        if unknown.spoils_predictions:
            warn_caller(f"{unknown.message(lines=False)}: {OF_VECTORS}")
        if not vectors_of_chunks:
            return np.empty((0, self.model.config.hidden_size), dtype=np.float32)
        vectors_ND = np.concatenate(vectors_of_chunks)
        if normalize:
            # a vector of zeros stays as it is
            vectors_ND /= np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
        return vectors_ND
