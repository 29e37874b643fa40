"""What a directory can answer: predictions, explanations and vectors, each for many items in one call.

Only the computing thread computes. The classifier is loaded at the start. The encoder that gives vectors is
loaded when the first request asks for vectors, since most servers are never asked and it takes memory. That
happens in a thread of its own, so that predictions go on meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from custom_bert.errors import NoPredictionsError, UserError
from custom_bert.inference.chosen_model import ChosenModel
from custom_bert.server.bodies import AskedWords
from custom_bert.server.limits import RefusalError

if TYPE_CHECKING:
    from custom_bert.data.unknown import UnknownText
    from custom_bert.inference.classifier import Classifier
    from custom_bert.inference.embeddings import Embedder
    from custom_bert.inference.scores import Parts, ScoreModel


class Kind(StrEnum):
    """What can be asked for."""

    LABELS = "labels"
    PROBABILITIES = "probabilities"
    SCORES = "scores"  # for explanations, which are made from the scores of many texts
    WORDS = "words"
    VECTORS = "vectors"


class QueuedScores:
    """Scores that the computing thread computes, in parts among other requests; a `ScoreModel`.

    Args:
        scores: what it computes them with.
        compute: returns the scores of each text, after it has waited for them.
    """

    def __init__(self, scores: ScoreModel, compute: Callable[[list[str]], Sequence[Any]]) -> None:
        self._scores, self._compute = scores, compute

    @property
    def thresholds(self) -> Mapping[str, np.ndarray | None]:
        """The thresholds of the classes."""
        return self._scores.thresholds

    def of(self, texts: Iterable[str], unknown: UnknownText | None = None) -> Iterator[np.ndarray]:
        """Yields the (N, K) scores of all texts at once."""
        yield np.stack(self._compute(list(texts)))

    def parts(self, texts: Iterable[str]) -> Iterator[Parts]:
        """Is for measuring, which a server does not do."""
        raise NotImplementedError


class Offer:
    """Answers items of each kind.

    Args:
        classifier: the classifier; None for an encoder, which only gives vectors.
        embedder: loads the encoder for vectors. It raises UserError if there are none.
        no_predictions: why there is no classifier, in one line.
        counted: takes the numbers of characters and of unknown characters of the texts of a call.

    Attributes:
        pairs: whether predictions are for pairs of texts.
        predicts: whether there are predictions.
        explains: whether there are explanations.
        spans: whether predictions are spans of texts.
    """

    def __init__(
        self,
        classifier: Classifier | None,
        embedder: Callable[[], Embedder],
        *,
        no_predictions: str = "",
        counted: Callable[[int, int], None] = lambda characters, unknown: None,
    ) -> None:
        self._classifier, self._load_embedder, self._counted = classifier, embedder, counted
        self._embedder: Embedder | RefusalError | None = None
        self._loading = threading.Lock()
        self._no_predictions = no_predictions
        self.pairs = classifier is not None and classifier.pairs
        self.predicts = classifier is not None
        self.explains = classifier is not None and bool(classifier.labels)
        self.spans = classifier is not None and classifier.decoder.labels_units

    def check(self, kind: Kind) -> None:
        """Refuses what is not on offer.

        Raises:
            RefusalError: with the code 501 and the reason.
        """
        if kind is Kind.VECTORS:
            if isinstance(self._embedder, RefusalError):
                raise self._embedder
        elif not self.predicts:
            raise RefusalError(501, self._no_predictions)
        elif kind is Kind.WORDS and not self.explains:
            what = "finds spans" if self.spans else "predicts numbers"
            raise RefusalError(501, f"this model {what}, and only labels of texts are explained")

    def warm_up(self) -> None:
        """Computes for one text, so that what is wrong shows at the start and the first request is fast."""
        if self.predicts:
            self.compute(Kind.LABELS, [("a text", "a text") if self.pairs else "a text"])
        else:
            self.load_vectors()
            self.compute(Kind.VECTORS, ["a text"])

    def compute(self, kind: Kind, items: Sequence[Any]) -> list[Any]:
        """Returns the answer for each item: a dictionary for JSON, or an array of vectors or scores.

        Where there are no vectors, a `RefusalError` is in their place.
        """
        if kind is Kind.SCORES:
            return self._scores(items)
        if kind is Kind.VECTORS:
            return self._vectors(items)
        return self._predictions(items, every=kind is Kind.PROBABILITIES)

    def _predictions(self, items: Sequence[Any], *, every: bool) -> list[Any]:
        from custom_bert.data.unknown import UnknownText

        assert self._classifier is not None
        unknown = UnknownText()
        predictions = self._classifier.stream(items, every=every, unknown=unknown)
        answers = [prediction.as_dict() for prediction in predictions]
        self._counted(unknown.characters, unknown.unknown)
        return answers

    def _scores(self, texts: Sequence[str]) -> list[Any]:
        from custom_bert.data.unknown import UnknownText

        assert self._classifier is not None
        # what the vocabulary does not know is not counted for texts that nobody wrote
        return [row for rows_NK in self._classifier.scores.of(texts, UnknownText()) for row in rows_NK]

    def explain(self, asked: AskedWords, compute: Callable[[list[str]], Sequence[Any]]) -> dict[str, Any]:
        """Returns the explanation of a text, as JSON holds it. It waits for the computing thread.

        Args:
            asked: the text, and what to explain.
            compute: has the computing thread compute the scores of texts.

        Raises:
            RefusalError: if the model does not know the label.
        """
        from custom_bert.inference.explanation import explained

        assert self._classifier is not None
        try:
            explanation = explained(
                asked.text,
                self._classifier.decoder,
                QueuedScores(self._classifier.scores, compute),
                pairs=self.pairs,
                label=asked.label,
                most=asked.most,
            )
        except ValueError as error:  # an unknown label
            raise RefusalError(422, f"label: {error}") from None
        return explanation.as_dict()

    @property
    def vectors_loaded(self) -> bool:
        """Whether `load_vectors` has been called, and vectors can be asked for."""
        return self._embedder is not None

    def load_vectors(self) -> None:
        """Loads the encoder that gives vectors, once. Any thread may call it."""
        with self._loading:
            if self._embedder is None:
                try:
                    self._embedder = self._load_embedder()
                except (UserError, ImportError) as error:
                    why = str(error).partition("\n")[0]
                    self._embedder = RefusalError(501, f"there are no vectors here: {why}")

    def _vectors(self, items: Sequence[str]) -> list[Any]:
        if isinstance(self._embedder, RefusalError):
            return [self._embedder for _ in items]
        assert self._embedder is not None
        return list(self._embedder.embed(items))


def load_offer(
    model: ChosenModel,
    *,
    say: Callable[[str], None],
    counted: Callable[[int, int], None] = lambda characters, unknown: None,
) -> Offer:
    """Loads what a directory offers: predictions, or for an encoder without a head vectors only.

    Args:
        model: what is loaded.
        say: takes a line that says what is not offered.
        counted: see `Offer`.

    Raises:
        UserError: if the directory holds nothing that can be served.
    """

    def embedder() -> Embedder:
        from custom_bert.inference.embeddings import Embedder

        return Embedder.load(model.directory, device=model.device)

    try:
        classifier = model.classifier()
    except NoPredictionsError as error:
        loaded = embedder()
        say(f"only vectors are served: {error}")
        return Offer(None, lambda: loaded, no_predictions=str(error), counted=counted)
    return Offer(classifier, embedder, counted=counted)
