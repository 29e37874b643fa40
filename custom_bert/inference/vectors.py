"""What turns texts into vectors for an `Embedder`: an encoder, computed by torch or by another library.

Shapes: n texts of a chunk, D width of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import UnknownText

VectorPooling = Literal["cls", "mean"]
"""What of a text's tokens makes its vector."""


class VectorModel(Protocol):
    """An encoder."""

    @property
    def tokenizer(self) -> TextTokenizer:
        """The encoder's tokenizer."""

    @property
    def width(self) -> int:
        """D, the width of a vector."""

    @property
    def longest(self) -> int:
        """The largest number of tokens that the encoder reads."""

    def of(
        self, texts: Sequence[str], pooling: VectorPooling, max_length: int, unknown: UnknownText
    ) -> np.ndarray:
        """Returns (n, D) fp32 vectors.

        Args:
            texts: at least one text.
            pooling: what of a text's tokens makes its vector.
            max_length: the number of tokens that are kept of a text.
            unknown: counts the text that the vocabulary does not know.
        """
