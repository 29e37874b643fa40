"""Which words of a text count most for its label: the text is predicted again without each of them. Of a pair
of texts, each word of either text is left out in turn.

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
from custom_bert.data.given_pairs import checked_pair
from custom_bert.data.labels import LabelIds
from custom_bert.data.text_pairs import paired, sides
from custom_bert.data.unknown import UnknownText
from custom_bert.data.words import words
from custom_bert.decoding.decoder import Decoder
from custom_bert.errors import RunError, did_you_mean, shown
from custom_bert.inference.scores import ScoreModel

MOST_WORDS = 256
"""At most this many words of a text are left out, from the first on. Each takes one more prediction. Of a
pair it is half as many of either text, or more of one if the other has fewer."""

MOST_CHARACTERS = 1 << 22
"""All texts that are predicted have together at most about this many characters: of a text with more than
16,384 characters, fewer words are left out."""


@dataclass(frozen=True)
class WordEffect:
    """A word of a text, and what it does for a label.

    Attributes:
        word: the word.
        start, end: where it stands: `text[start:end]` is the word, in the text that it belongs to.
        effect: by how much the natural logarithm of the label's probability is higher with the word. Below 0
            the word speaks against the label.
        second: whether it belongs to the second text of a pair; None if there is one text only.
    """

    word: str
    start: int
    end: int
    effect: float
    second: bool | None = None

    @property
    def name(self) -> str:
        """The word, and for a pair the number of its text in brackets, such as `river (2)`."""
        return self.word if self.second is None else f"{self.word} ({1 + self.second})"

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON; `second` only for a pair."""
        fields = {"word": self.word, "start": self.start, "end": self.end, "effect": self.effect}
        return fields if self.second is None else {**fields, "second": self.second}


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
        effects = [f"{one.name} {one.effect:+.3f}" for one in self.words]
        return "\t".join([self.label, f"{self.probability:.6f}", *effects])

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON."""
        words_of = [one.as_dict() for one in self.words]
        return {"label": self.label, "probability": self.probability, "words": words_of}


@dataclass(frozen=True)
class Explanation:
    """The words of a text that count most for its labels.

    Attributes:
        text: the text, or the first one of a pair.
        labels: an explanation for each label that was asked for or predicted. A multi-label model may predict
            none.
        tried: the number of words that were left out, one at a time, from the first word of each text on.
        complete: whether these are all words.
        second_text: the second text of a pair; None if there is one text only.
    """

    text: str
    labels: tuple[LabelExplanation, ...]
    tried: int
    complete: bool
    second_text: str | None = None

    def line(self) -> str:
        """Returns a line for each label, which holds words and effects with tabs between them."""
        return "\n".join(one.line() for one in self.labels)

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields for JSON; `second_text` only for a pair."""
        return {
            "text": self.text,
            **({} if self.second_text is None else {"second_text": self.second_text}),
            "labels": [one.as_dict() for one in self.labels],
            "tried": self.tried,
            "complete": self.complete,
        }


def explained(
    text: str | Sequence[str],
    decoder: Decoder,
    scores: ScoreModel,
    *,
    pairs: bool,
    label: str | None,
    most: int,
) -> Explanation:
    """Returns the explanation of a text, or with `pairs` of two; `Classifier.explain` says more."""
    if type(most) is not int or most < 0:
        raise ValueError(f"most: expected a whole number from 0 on, got {shown(most)}")
    if not decoder.output_names:
        raise RunError("explanations say which words count for a label, and this model has no labels")
    texts = sides(checked_pair(text, "text")) if pairs else (_single(text),)
    asked = None if label is None else _index_of(label, decoder.output_names)
    left_out, complete = _left_out(texts)
    without = [
        _joined([*texts[:i], texts[i][:start] + texts[i][end:], *texts[i + 1 :]])
        for i, start, end in left_out
    ]
    # what the vocabulary does not know is nothing to warn of in texts that nobody wrote
    outputs_VK = np.concatenate(list(scores.of([_joined(texts), *without], UnknownText())))
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
                tuple(_effect(texts, left_out[i], float(effects_V[i])) for i in first),
            )
        )
    first_text, *others = texts
    return Explanation(
        first_text, tuple(explanations), len(left_out), complete, others[0] if others else None
    )


Span = tuple[int, int, int]
"""The index of a text, and where a word of it begins and ends."""


def _left_out(texts: Sequence[str]) -> tuple[list[Span], bool]:
    """Returns the words that are left out, and whether these are all words of one text or two."""
    limit = max(1, min(MOST_WORDS, MOST_CHARACTERS // max(1, sum(map(len, texts)))))
    found = [[(i, *span) for span in islice(words(text), limit + 1)] for i, text in enumerate(texts)]
    counts = [len(some) for some in found]
    if len(counts) > 1:
        first = max(limit - limit // 2, limit - counts[1])
        kept = [some[:room] for some, room in zip(found, (first, limit - min(first, counts[0])), strict=True)]
    else:
        kept = [found[0][:limit]]
    return [span for some in kept for span in some], [len(some) for some in kept] == counts


def _single(text: Any) -> str:
    """Returns a single text. Raises TypeError if it is no string."""
    if not isinstance(text, str):
        raise TypeError(f"text: expected a string, got {shown(text)}")
    return joined(text)


def _joined(texts: Sequence[str]) -> str:
    """Returns a text as it is, and two texts as the pair that a model reads."""
    return texts[0] if len(texts) == 1 else paired(*texts)


def _effect(texts: Sequence[str], span: Span, effect: float) -> WordEffect:
    index, start, end = span
    second = bool(index) if len(texts) > 1 else None
    return WordEffect(texts[index][start:end], start, end, effect, second)


def _index_of(label: str, labels: Sequence[str]) -> int:
    """Returns the index of a label. Raises ValueError if the model does not know it."""
    index = LabelIds(labels).get(label)
    if index is None:
        raise ValueError(f"{shown(label)} is not one of this model's labels{did_you_mean(label, labels)}")
    return index
