"""Lays token ids out as rectangles, which is what an ONNX model reads: rows of similar length together.

Equal lengths are worth more than full rectangles. A row of padding costs as much as one of tokens, and an
int8 model takes one scale for all numbers of a product, those of padding among them.

Shapes: N texts, W rows (a text, or one of its windows), B rows of a rectangle, L slots of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.windows import Cut, cut, whole

SLOTS = 1024
"""The most slots of a rectangle; a longer text gets one of its own. More would leave the processor's caches,
and gain nothing."""

ENOUGH = 256
"""With this many slots a rectangle ends where the length changes. Smaller ones take longer for a token."""

PADDING = 0.1
"""The largest share of padding in a rectangle that is not large enough yet."""


@dataclass(frozen=True)
class Rectangle:
    """Rows of a model's input.

    Attributes:
        rows_B: (B,) int64 the indices of the rows.
        input_ids_BL: (B, L) int64 token ids.
        attention_mask_BL: (B, L) int64, 1 for a token and 0 for padding.
        token_type_ids_BL: (B, L) int64, 0 for tokens of the first text of a pair and 1 for those of the
            second; zeros for single texts.
    """

    rows_B: np.ndarray
    input_ids_BL: np.ndarray
    attention_mask_BL: np.ndarray
    token_type_ids_BL: np.ndarray

    def inputs(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Returns the inputs of these names."""
        known = {
            "input_ids": self.input_ids_BL,
            "attention_mask": self.attention_mask_BL,
            "token_type_ids": self.token_type_ids_BL,
        }
        return {name: known[name] for name in names}


@dataclass(frozen=True)
class Rows:
    """The rows of some tokenised texts.

    Args:
        encoded: the texts.
        window: the number of tokens of the windows in which longer texts are read; None to read no text in
            windows.
        pad_id: the token id of padding.
        overlap: the number of tokens that neighbouring windows of a text share at least.
    """

    encoded: EncodedTexts
    window: int | None
    pad_id: int
    overlap: int = 0

    def cut(self) -> Cut:
        """Returns how the texts are cut into rows."""
        lengths_N, special_NS = self.encoded.lengths_N, self.encoded.special_NS
        if self.window is None:
            return whole(lengths_N, special_NS)
        return cut(lengths_N, special_NS, self.window, self.overlap)

    def rectangles(self, rows: Cut) -> Iterator[Rectangle]:
        """Yields the rows as rectangles, the longest first.

        Args:
            rows: what `cut` returned.
        """
        for rows_B in planned(rows.length_W):
            yield self._rectangle(rows, rows_B)

    def _rectangle(self, rows: Cut, rows_B: np.ndarray) -> Rectangle:
        texts_B, lengths_B = rows.text_W[rows_B], rows.length_W[rows_B]
        mask_BL = np.arange(lengths_B.max()) < lengths_B[:, None]
        ids_BL = np.full(mask_BL.shape, self.pad_id, dtype=np.int64)
        sequences = zip(rows_B.tolist(), texts_B.tolist(), strict=True)
        ids_BL[mask_BL] = np.concatenate([rows.window(i, self.encoded[text]) for i, text in sequences])
        types_BL = np.zeros_like(ids_BL)
        if self.encoded.seconds_N is not None:
            assert self.window is None, "pairs are not read in windows"
            seconds_B1 = self.encoded.seconds_N[texts_B][:, None]
            types_BL[mask_BL & (np.arange(mask_BL.shape[1]) >= seconds_B1)] = 1
        return Rectangle(rows_B, ids_BL, mask_BL.astype(np.int64), types_BL)


def planned(lengths_W: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of each rectangle, sorted by length, longest first.

    Nothing here is random. The caller puts results back into input order by the indices.

    Args:
        lengths_W: (W,) the number of tokens of each row.
    """
    order = np.argsort(-lengths_W, kind="stable")
    found, start, tokens = [], 0, 0
    sorted_W = lengths_W[order].tolist()
    for i, length in enumerate(sorted_W):
        longest, count = sorted_W[start], i - start
        full = (count + 1) * longest > SLOTS
        shorter = length < longest and (
            count * longest >= ENOUGH or tokens + length < (count + 1) * longest * (1 - PADDING)
        )
        if i > start and (full or shorter):
            found.append(order[start:i])
            start, tokens = i, 0
        tokens += length
    return [*found, order[start:]] if len(order) else []
