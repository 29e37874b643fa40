"""Which words of a text count most for its label: the text is predicted again without each of them.

The effect of a word is how much higher the logarithm of the label's probability is with the word than
without it, all other words being there. So it says what the model, as it predicts, would do without this one
word. It does not say what two words do together.

Shapes: V texts, the first of which is the whole text and the others lack one word each; K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from custom_bert.data.given import joined
from custom_bert.data.labels import LabelIds
from custom_bert.data.unknown import UnknownText
from custom_bert.data.words import words
from custom_bert.decoding.decoder import Decoder
from custom_bert.errors import RunError, did_you_mean, shown
from custom_bert.inference.scores import ScoreModel

MOST_WORDS = 256
"""At most this many words of a text are left out, from the first on. Each takes one more prediction."""

MOST_CHARACTERS = 1 << 22
"""All texts that are predicted have together at most about this many characters: of a text with more than
16,384 characters, fewer words are left out."""


@dataclass(frozen=True)
class WordEffect:
    """A word of a text, and what it does for a label.

    Attributes:
        word: the word.
        start, end: where it stands: `text[start:end]` is the word.
        effect: by how much the natural logarithm of the label's probability is higher with the word. Below 0
            the word speaks against the label.
    """

    word: str
    start: int
    end: int
    effect: float

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return {"word": self.word, "start": self.start, "end": self.end, "effect": self.effect}


@dataclass(frozen=True)
class LabelExplanation:
    """The words that count most for one label.

    Attributes:
        label: the label.
        probability: its probability for the whole text.
        words: the words, those with the largest effects first, whether these are above or below 0.
    """

    label: str
    probability: float
    words: tuple[WordEffect, ...]

    def line(self) -> str:
        """Returns label, probability, and words with their effects, with tabs between them."""
        effects = [f"{one.word} {one.effect:+.3f}" for one in self.words]
        return "\t".join([self.label, f"{self.probability:.6f}", *effects])

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        words_of = [one.as_dict() for one in self.words]
        return {"label": self.label, "probability": self.probability, "words": words_of}


@dataclass(frozen=True)
class Explanation:
    """The words of a text that count most for its labels.

    Attributes:
        text: the text.
        labels: an explanation for each label that was asked for or predicted. A multi-label model may predict
            none.
        tried: the number of words that were left out, one at a time, from the first word on.
        complete: whether these are all words of the text.
    """

    text: str
    labels: tuple[LabelExplanation, ...]
    tried: int
    complete: bool

    def line(self) -> str:
        """Returns a line for each label, which holds words and effects with tabs between them."""
        return "\n".join(one.line() for one in self.labels)

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        return {
            "text": self.text,
            "labels": [one.as_dict() for one in self.labels],
            "tried": self.tried,
            "complete": self.complete,
        }


def explained(
    text: str, decoder: Decoder, scores: ScoreModel, *, label: str | None, most: int
) -> Explanation:
    """Returns the explanation of a text; `Classifier.explain` says more."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a string, got {shown(text)}")
    if type(most) is not int or most < 0:
        raise ValueError(f"most: expected a whole number from 0 on, got {shown(most)}")
    if not decoder.output_names:
        raise RunError("explanations say which words count for a label, and this model has no labels")
    asked = None if label is None else _index_of(label, decoder.output_names)
    text = joined(text)
    places = words(text)
    limit = max(1, min(MOST_WORDS, MOST_CHARACTERS // max(1, len(text))))
    spans = list(islice(places, limit))
    without = [text[:start] + text[end:] for start, end in spans]
    # what the vocabulary does not know is nothing to warn of in texts that nobody wrote
    outputs_VK = np.concatenate(list(scores.of([text, *without], UnknownText())))
    probabilities_K = decoder.probabilities(outputs_VK[:1])[0]
    logs_VK = decoder.log_probabilities(outputs_VK)
    explanations = []
    for index in decoder.given(probabilities_K) if asked is None else [asked]:
        effects_V = logs_VK[0, index] - logs_VK[1:, index]
        first = np.argsort(-np.abs(effects_V), kind="stable")[:most].tolist()
        explanations.append(
            LabelExplanation(
                decoder.output_names[index],
                float(probabilities_K[index]),
                tuple(_effect(text, spans[i], float(effects_V[i])) for i in first),
            )
        )
    return Explanation(text, tuple(explanations), len(spans), next(places, None) is None)


def _effect(text: str, span: tuple[int, int], effect: float) -> WordEffect:
    start, end = span
    return WordEffect(text[start:end], start, end, effect)


def _index_of(label: str, labels: Sequence[str]) -> int:
    """Returns the index of a label. Raises ValueError if the model does not know it."""
    index = LabelIds(labels).get(label)
    if index is None:
        raise ValueError(f"{shown(label)} is not one of this model's labels{did_you_mean(label, labels)}")
    return index
