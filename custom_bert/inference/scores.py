"""What computes the scores of texts for a `Classifier`: a trained encoder, the floor of a run, or both.

Nothing here needs torch: the encoder may be computed by torch (`encoder_scores`) or by another library.

Shapes: N texts, n texts of a chunk, K scores of each text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np

from custom_bert.data.unknown import UnknownText
from custom_bert.floor.ensemble import Ensemble
from custom_bert.floor.linear import Floor

Parts = dict[str, np.ndarray]
"""(n, K) fp32 scores of some texts by the name of what computed them."""

WHOLE, ENCODER, FLOOR = "whole", "encoder", "floor"
"""The names among `Parts`: of the scores that predict and, if the floor is loaded too, of each side alone."""


class ScoreModel(Protocol):
    """Computes the scores of texts."""

    @property
    def thresholds(self) -> Mapping[str, np.ndarray | None]:
        """(K,) float32 the thresholds of the classes, where there are any, for each name of `parts`."""

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) fp32 scores, a chunk of texts at a time, in input order.

        Args:
            texts: any number of texts or pairs, as `data.given_pairs.texts_or_pairs` returns them.
            unknown: counts the text that the vocabulary does not know. With it, the caller warns of unknown
                text; without it, this method does.
        """

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields what `of` yields under the name `WHOLE`, and what it is made of under other names."""


class FloorScores:
    """The scores of a run's floor, which predicts while its encoder has no weights.

    Args:
        floor: the floor.
    """

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    @property
    def thresholds(self) -> Mapping[str, np.ndarray | None]:
        """The thresholds of the floor."""
        return {WHOLE: self._floor.thresholds_C}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) scores, a chunk of texts at a time. The floor has no vocabulary, and counts
        nothing."""
        return self._floor.scored(texts)

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields the scores of the floor; they have no parts."""
        return ({WHOLE: scores_NK} for scores_NK in self.of(texts))


class BothScores:
    """The scores of a trained encoder beside those of its floor, for the same texts.

    Args:
        encoder: the encoder.
        floor: the floor.
        ensemble: the factors with which both predict. None if the encoder predicts alone; then the floor is
            only computed for `parts`.
    """

    def __init__(self, encoder: ScoreModel, floor: FloorScores, ensemble: Ensemble | None) -> None:
        self._encoder, self._floor, self._ensemble = encoder, floor, ensemble

    @property
    def thresholds(self) -> Mapping[str, np.ndarray | None]:
        """The thresholds of the encoder, of the floor, and of the ensemble or, without one, the encoder's
        again."""
        encoder, floor = self._encoder.thresholds[WHOLE], self._floor.thresholds[WHOLE]
        whole = encoder if self._ensemble is None else self._ensemble.thresholds_C
        return {WHOLE: whole, ENCODER: encoder, FLOOR: floor}

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields (n, K) scores, a chunk of texts at a time. A side that does not count is not computed."""
        if self._ensemble is None:
            return self._encoder.of(texts, unknown)
        if not self._ensemble.encoder:
            factor = np.float32(self._ensemble.floor)
            return (factor * floor_NK for floor_NK in self._floor.of(texts))
        return (parts[WHOLE] for parts in self._parts(texts, unknown))

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Yields the scores of both sides and, if they predict together, of the ensemble."""
        return self._parts(texts, None)

    def _parts(self, texts: Iterable[str], unknown: UnknownText | None) -> Iterator[Parts]:
        # the encoder may have read more texts than it has yielded scores of: it reads ahead on a GPU
        read: list[str] = []
        for encoder_NK in self._encoder.of(_noted(texts, read), unknown):
            count = len(encoder_NK)
            floor_NK = np.concatenate(list(self._floor.of(read[:count])))
            del read[:count]
            if self._ensemble is None:
                yield {WHOLE: encoder_NK, FLOOR: floor_NK}
            else:
                whole_NK = self._ensemble.scores(encoder_NK, floor_NK)
                yield {WHOLE: whole_NK, ENCODER: encoder_NK, FLOOR: floor_NK}


def _noted(texts: Iterable[str], read: list[str]) -> Iterator[str]:
    """Yields the texts, and notes each in a list."""
    for text in texts:
        read.append(text)
        yield text
