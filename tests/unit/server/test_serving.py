"""What a directory can answer, with a pretended classifier and encoder."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from served import running

from custom_bert.decoding.classes import ClassDecoder
from custom_bert.errors import LibraryError
from custom_bert.server.limits import Limits, RefusalError
from custom_bert.server.serving import Kind, Offer


class Label:
    def __init__(self, text: str) -> None:
        self.text = text

    def as_dict(self) -> dict[str, Any]:
        return {"label": self.text, "probability": 1.0}


class PretendedClassifier:
    pairs = False
    labels = ("a", "b")
    decoder = ClassDecoder(("a", "b"))

    def stream(self, texts: Sequence[str], *, every: bool, unknown: Any) -> Iterator[Label]:
        unknown.characters, unknown.unknown = sum(map(len, texts)), 1
        return map(Label, texts)


class PretendedEmbedder:
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[1 / 3, -len(text) / 7] for text in texts], dtype=np.float32)


def offer_of(embedder: Any, **changes: Any) -> Offer:
    return Offer(PretendedClassifier(), embedder, **changes)  # type: ignore[arg-type]


def test_predictions_go_on_while_the_encoder_for_vectors_is_loaded() -> None:
    loaded, asked = threading.Event(), threading.Event()

    def load() -> PretendedEmbedder:
        asked.set()
        loaded.wait(20)
        return PretendedEmbedder()

    with running(offer_of(load)) as server:
        client = server.client()
        body = b'{"texts": ["abc", "d"]}'
        client.send(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 23\r\n\r\n" + body)
        assert asked.wait(20)
        assert server.ask("/predict", {"text": "meanwhile"}).json["predictions"][0]["label"] == "meanwhile"
        loaded.set()
        answer = client.answer()
        vectors = np.array(answer.json["vectors"], dtype=np.float32)
        assert np.array_equal(vectors, PretendedEmbedder().embed(["abc", "d"])), "every digit comes back"


def test_an_encoder_that_is_loaded_for_too_long_is_503() -> None:
    loaded = threading.Event()

    def load() -> PretendedEmbedder:
        loaded.wait(20)
        return PretendedEmbedder()

    with running(offer_of(load), Limits(seconds=0.2)) as server:
        assert server.ask("/embed", {"text": "a"}).status == 503
        loaded.set()


def test_where_there_are_no_vectors_it_is_501_with_the_reason_each_time() -> None:
    calls = []

    def load() -> Any:
        calls.append(1)
        raise LibraryError("torch computes this model, and is not installed")

    with running(offer_of(load)) as server:
        for _ in range(2):
            answer = server.ask("/embed", {"text": "a"})
            assert answer.status == 501
            assert answer.json == {
                "error": "there are no vectors here: torch computes this model, and is not installed"
            }
    assert len(calls) == 1


def test_what_a_vocabulary_does_not_know_is_counted() -> None:
    counts: list[tuple[int, int]] = []
    offer = offer_of(PretendedEmbedder, counted=lambda *numbers: counts.append(numbers))
    assert offer.compute(Kind.LABELS, ["abc", "d"]) == [Label("abc").as_dict(), Label("d").as_dict()]
    assert counts == [(4, 1)]


def test_what_is_not_on_offer_is_refused_before_it_is_read() -> None:
    offer = Offer(None, PretendedEmbedder, no_predictions="there are no labels")  # type: ignore[arg-type, return-value]
    for kind in (Kind.LABELS, Kind.PROBABILITIES, Kind.WORDS):
        with pytest.raises(RefusalError, match="there are no labels") as error:
            offer.check(kind)
        assert error.value.status == 501
    offer.check(Kind.VECTORS)
