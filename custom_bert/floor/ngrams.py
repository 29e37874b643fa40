"""N-grams of words and of characters, weighted by tf-idf, as columns of a sparse matrix.

Each text of a pair has columns of its own. What n-grams of two texts do not say is how much these have in
common, so there are columns for that too (docs/decisions/0018).

scikit-learn and scipy take a second to import, so they are imported where they are used.

Shapes: N texts, F features.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from custom_bert.data.text_pairs import BETWEEN, sides
from custom_bert.floor.limits import LONG_TEXT, TEXT

WORD = r"\w+|[^\w\s]"
"""A word of the n-grams. Punctuation is a word too."""

SHARES = 10
"""The number of classes into which the share of common words of a pair is divided."""

LONG_WORD = 15
"""If the text between spaces has more characters than this on average, the script has no spaces between
words, and only n-grams of characters are counted."""

FEW = 2_000
"""With more texts than this, n-grams of characters that are in one text only are left out."""

FEATURES = 200_000
"""The most features of each kind: the most frequent ones are kept."""

WEIGHTS = 64_000_000
"""The most features times classes, so that a floor of many classes takes at most a quarter of a gigabyte."""


class NoFloorError(Exception):
    """There is no floor for some data. The text says why, in a few words."""


def whole(text: str) -> str:
    """Returns what is read of a text."""
    return text[:TEXT]


def first(pair: str) -> str:
    """Returns what is read of the first text of a pair."""
    return sides(pair)[0][:TEXT]


def second(pair: str) -> str:
    """Returns what is read of the second text of a pair."""
    return sides(pair)[1][:TEXT]


def in_common(pair: str) -> str:
    """Returns a word that says which share of the words of a pair both texts have, such as "share7" from 0.7
    on."""
    one, other = (set(re.findall(WORD, text.lower())) for text in (first(pair), second(pair)))
    return f"share{int(SHARES * len(one & other) / max(1, len(one | other)))}"


@dataclass(frozen=True)
class Kind:
    """One kind of n-grams.

    Attributes:
        analyzer: scikit-learn's name: word; char_wb for characters inside words; char for all characters.
        shortest, longest: the range of n.
        of: returns the text whose n-grams are counted, of a text or a pair.
    """

    analyzer: str
    shortest: int
    longest: int
    of: Callable[[str], str] = whole

    def vectorizer(self, **given: Any) -> Any:
        """Returns a `TfidfVectorizer` that has learned nothing yet."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(
            analyzer=self.analyzer,
            ngram_range=(self.shortest, self.longest),
            token_pattern=WORD if self.analyzer == "word" else None,
            sublinear_tf=True,
            dtype=np.float32,
            **given,
        )


OF_TEXTS = {
    "words": Kind("word", 1, 2),
    "characters": Kind("char_wb", 2, 5),
    "characters without words": Kind("char", 1, 3),
}
"""The kinds of n-grams of single texts."""

SIDES = {"of first texts": first, "of second texts": second}
IN_COMMON = "words in common"

KINDS = {
    **OF_TEXTS,
    **{
        f"{name} {side}": replace(kind, of=of)
        for name, kind in OF_TEXTS.items()
        for side, of in SIDES.items()
    },
    IN_COMMON: Kind("word", 1, 1, in_common),
}
"""All kinds, by the names under which a floor is stored."""


def kinds_for(texts: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the kinds of n-grams that fit some texts, by the rules above."""
    characters = sum(map(len, texts))
    words = sum(len(text.split()) for text in texts)
    if characters > LONG_WORD * max(1, words):
        return ("characters without words",)
    return ("words",) if characters >= LONG_TEXT * len(texts) else ("words", "characters")


def kinds_for_pairs(pairs: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the kinds of n-grams that fit some pairs of texts, by the same rules."""
    own = kinds_for([f"{first(pair)} {second(pair)}" for pair in pairs])
    return (*(f"{name} {side}" for name in own for side in SIDES), IN_COMMON)


@dataclass(frozen=True)
class Columns:
    """The columns that one kind of n-grams has in the matrix.

    Attributes:
        kind: the name of the kind.
        terms: the n-grams, in the order of their columns.
        idf_F: (F,) float32 the inverse document frequency of each.
    """

    kind: str
    terms: tuple[str, ...]
    idf_F: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        """Leaves out what counts the n-grams, which whoever reads a pickle makes anew."""
        return Columns, (self.kind, self.terms, self.idf_F)

    @cached_property
    def vectorizer(self) -> Any:
        """Counts these n-grams."""
        made = KINDS[self.kind].vectorizer(vocabulary={term: i for i, term in enumerate(self.terms)})
        made.idf_ = self.idf_F
        return made


@dataclass(frozen=True)
class NGrams:
    """The n-grams that were found in the training texts.

    Attributes:
        parts: the columns of each kind, one kind after the other.
    """

    parts: tuple[Columns, ...]

    @staticmethod
    def learn(texts: Sequence[str], num_classes: int) -> tuple[NGrams, Any]:
        """Finds the n-grams of training texts, and returns them with the sparse (N, F) matrix of these texts.

        Raises:
            NoFloorError: if there is no n-gram, as in texts of nothing but white space.
        """
        import scipy.sparse

        most, pairs = min(FEATURES, WEIGHTS // num_classes), bool(texts) and BETWEEN in texts[0]
        names = kinds_for_pairs(texts) if pairs else kinds_for(list(map(whole, texts)))
        most = most // len(SIDES) if pairs else most  # the texts of a pair share the columns of a single one
        parts, matrices = [], []
        for name in names:
            kind = KINDS[name]
            rare = 2 if kind.analyzer != "word" and len(texts) > FEW else 1
            vectorizer = kind.vectorizer(min_df=rare, max_features=most)
            try:
                matrices.append(vectorizer.fit_transform(list(map(kind.of, texts))))
            except ValueError:  # not one n-gram of this kind is frequent enough
                continue
            terms = tuple(vectorizer.get_feature_names_out().tolist())
            parts.append(Columns(name, terms, vectorizer.idf_.astype(np.float32)))
        if not parts:
            raise NoFloorError("the texts have no n-gram")
        return NGrams(tuple(parts)), scipy.sparse.hstack(matrices, format="csr")

    @property
    def num_features(self) -> int:
        """F, the number of columns."""
        return sum(len(part.terms) for part in self.parts)

    def rows(self, texts: Sequence[str]) -> Any:
        """Returns the sparse (N, F) matrix of some texts."""
        import scipy.sparse

        matrices = [part.vectorizer.transform(list(map(KINDS[part.kind].of, texts))) for part in self.parts]
        return scipy.sparse.hstack(matrices, format="csr")
