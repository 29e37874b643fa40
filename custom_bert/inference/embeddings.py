"""An encoder that turns texts into vectors.

Shapes: N texts, D width of the encoder.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np

from custom_bert.data.given import strings
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import OF_VECTORS, UnknownText
from custom_bert.errors import shown, warn_caller
from custom_bert.inference.chunks import chunks
from custom_bert.inference.kinds import load_encoder
from custom_bert.inference.vectors import VectorModel, VectorPooling

TOKENS = 256
"""The number of tokens that are kept of a text if nobody says another."""


def _whole_number(max_length: object) -> int:
    try:
        return operator.index(max_length)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"max_length: expected a whole number, got {shown(max_length)}") from None


class Embedder:
    """A pretrained encoder that turns texts into vectors. It computes in fp32, or as it was exported.

    Args:
        vectors: the encoder; use `Embedder.load` for a directory.
        max_length: the number of tokens that are kept of a text, [CLS] and [SEP] included. It is at least 3,
            and at most the number of the encoder's positions.

    Attributes:
        vectors: the encoder.
        max_length: the number of tokens that are kept of a text.

    Raises:
        TypeError: if `max_length` is not a whole number.
        ValueError: if `max_length` is out of this range.
    """

    def __init__(self, vectors: VectorModel, max_length: int) -> None:
        limit, max_length = vectors.longest, _whole_number(max_length)
        if not 3 <= max_length <= limit:
            raise ValueError(
                f"max_length must be between 3 and the encoder's {limit} positions, got {max_length}"
            )
        self.vectors, self.max_length = vectors, max_length

    @property
    def tokenizer(self) -> TextTokenizer:
        """The encoder's tokenizer."""
        return self.vectors.tokenizer

    @staticmethod
    def load(name: str | Path, *, max_length: int = TOKENS, device: str | None = None) -> Embedder:
        """Loads an encoder.

        Args:
            name: a run directory, a directory in Hugging Face's layout, one that `custom-bert export --format
                onnx` wrote, a name that `custom-bert fetch` lists, or an id on the Hub.
            max_length: the number of tokens that are kept of a text. A number beyond the encoder's positions
                is lowered to them.
            device: "cpu" or "cuda"; None takes cuda if there is a CUDA device.

        Raises:
            TypeError: if `max_length` is not a whole number.
            ValueError: if `max_length` is below 3.
            RunError: if the encoder is missing, damaged, or of an architecture that is not supported; or if
                the library is not installed that computes it.
            ConfigError: if the device is not there.
        """
        max_length = _whole_number(max_length)
        vectors = load_encoder(str(name), device)
        return Embedder(vectors, min(max_length, vectors.longest))

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
        unknown = UnknownText()
        vectors_of_chunks = [
            self.vectors.of(chunk, pooling, self.max_length, unknown)
            for chunk in chunks(strings(texts), self.vectors.width)
        ]
        if unknown.spoils_predictions:
            warn_caller(f"{unknown.message(lines=False)}: {OF_VECTORS}")
        if not vectors_of_chunks:
            return np.empty((0, self.vectors.width), dtype=np.float32)
        vectors_ND = np.concatenate(vectors_of_chunks)
        if normalize:
            # a vector of zeros stays as it is
            vectors_ND /= np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
        return vectors_ND
