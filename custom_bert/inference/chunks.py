"""Divides any number of texts into chunks, each of which is computed together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from custom_bert.data.batching import texts_at_once

CHUNK = 4096
"""The largest number of texts that are tokenised and sorted by length together. It bounds the memory."""


def chunks(texts: Iterable[str], outputs: int) -> Iterator[list[str]]:
    """Yields up to `CHUNK` consecutive texts at a time, and no more than `texts_at_once` allows.

    Args:
        texts: any number of texts, which are read as they are needed.
        outputs: K, the number of outputs for each text.
    """
    source, most = iter(texts), min(CHUNK, texts_at_once(outputs))
    while chunk := list(itertools.islice(source, most)):
        yield chunk
