"""The part of a text that a tokenizer reads, and where its characters are in the user's own text.

Before a text is tokenised, a long one is cut, and letters are composed with their accents. The normalizer of
the tokenizer then removes characters, folds case, and composes again. So the place of a token is traced back
in two steps. The tokenizers library reports which characters of the excerpt a token was made from. Where its
normalizer composes several characters to one, it reports only the first of them. This module finds such
characters, and gives a token that was made from some of them the place of all.

Shapes: C characters of an excerpt, L tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from custom_bert.config import LongTexts
from custom_bert.data.text import composed

Edges = tuple[Sequence[int] | np.ndarray, Sequence[int] | np.ndarray]
"""(C,) where each character of the excerpt begins in the user's text, and (C,) where it ends."""


class Excerpt:
    """The part of a text that is tokenised. At first it is the whole text.

    Args:
        text: the text as the user wrote it.
        traced: whether `places` will be called. Tracing takes time and memory.

    Attributes:
        text: the text that the tokenizer gets.
        was_cut: whether `cut` left characters out.
    """

    __slots__ = ("_edges", "_length", "text", "was_cut")

    def __init__(self, text: str, traced: bool = False) -> None:
        self.text, self.was_cut, self._length = text, False, len(text)
        self._edges: Edges | None = (range(len(text)), range(1, len(text) + 1)) if traced else None

    def cut(self, cap: int, long_texts: LongTexts) -> None:
        """Keeps at most about `cap` characters: the first ones, or with head_tail half of them from the
        end."""
        head, tail = (cap, 0) if long_texts != "head_tail" else (cap // 2, cap // 2)
        if self._edges is not None:
            starts, ends = (edge[:head] for edge in self._edges)
            if tail:
                lasts = tuple(edge[-tail:] for edge in self._edges)
                joint = lasts[0][:1]  # the space that joins the two parts is not in the user's text
                starts = np.concatenate([starts, joint, lasts[0]])
                ends = np.concatenate([ends, joint, lasts[1]])
            self._edges = starts, ends
        self.text = f"{self.text[:head]} {self.text[-tail:]}" if tail else self.text[:head]
        self.was_cut = True

    def strip(self) -> None:
        """Removes white space at both ends."""
        start = len(self.text) - len(self.text.lstrip())
        self.text = self.text.strip()
        if self._edges is not None:
            starts, ends = self._edges
            stop = start + len(self.text)
            self._edges = starts[start:stop], ends[start:stop]

    def compose(self) -> None:
        """Puts the text into Unicode's composed form. A composed character gets the place of all its
        parts."""
        before, self.text = self.text, composed(self.text)
        if self._edges is not None and self.text != before:
            # P parts of the text: how many characters each had, and how many it has now
            counts = [(stop - start, len(new)) for start, stop, new in _composed_parts(before)]
            old_P, new_P = np.array(counts, dtype=np.int64).T
            last_P = np.cumsum(old_P) - 1
            starts, ends = (np.asarray(edge, dtype=np.int64) for edge in self._edges)
            self._edges = np.repeat(starts[last_P - old_P + 1], new_P), np.repeat(ends[last_P], new_P)

    def places(self, tokens: Sequence[tuple[int, int]], normalize: Callable[[str], str]) -> np.ndarray:
        """Returns (L, 2) int64 where tokens begin and end in the user's text, without white space around
        them.

        Args:
            tokens: (L,) where the tokens begin and end in the excerpt, as the library reports it.
            normalize: the normalizer of the tokenizer.
        """
        assert self._edges is not None, "the excerpt is not traced"
        starts_C, ends_C = (np.asarray(edge, dtype=np.int64) for edge in self._edges)
        starts_C, ends_C = starts_C.copy(), ends_C.copy()
        for first, stop in _joined(self.text, normalize):
            starts_C[first:stop], ends_C[first:stop] = starts_C[first], ends_C[stop - 1]
        text, inside = self.text, list(tokens)
        empty = list[int]()
        for row, (start, stop) in enumerate(tokens):
            if start == stop:
                empty.append(row)
                inside[row] = (0, 1)
            elif text[start].isspace() or text[stop - 1].isspace():
                part = text[start:stop]
                if not part.isspace():
                    inside[row] = stop - len(part.lstrip()), start + len(part.rstrip())
        places_L2 = np.array(inside, dtype=np.int64).reshape(-1, 2)
        if len(starts_C):  # otherwise all tokens are made from no character
            places_L2[:, 0], places_L2[:, 1] = starts_C[places_L2[:, 0]], ends_C[places_L2[:, 1] - 1]
        for row in empty:  # made from no character, as the mark that SentencePiece puts before a text
            start = tokens[row][0]
            places_L2[row] = starts_C[start] if start < len(starts_C) else self._length
        return places_L2


def joins(character: str) -> bool:
    """Returns whether a character may be composed with one before it: accents, vowel signs, parts of
    Hangul."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff" or first in KIRAT_RAI


KIRAT_RAI = "\U00016d63\U00016d67\U00016d68\U00016d69\U00016d6a"
"""Vowels that are composed with others although their Unicode category is not that of a mark (Unicode 16)."""


def _composed_parts(text: str) -> Iterator[tuple[int, int, str]]:
    """Yields the parts of a text that can be composed independently: start, end, and the composed part."""
    start = 0
    for stop in range(1, len(text) + 1):
        if stop == len(text) or not _continues(text, start, stop):
            new = composed(text[start:stop])
            if new == text[start:stop]:
                yield from ((at, at + 1, text[at]) for at in range(start, stop))
            else:
                yield start, stop, new
            start = stop


def _continues(text: str, start: int, at: int) -> bool:
    """Returns whether the character at `at` belongs to the part that begins at `start`.

    It does if it is an accent, or is composed with what is before it.
    """
    character = text[at]
    if character.isascii() or not joins(character):
        return False
    if unicodedata.combining(character):
        return True
    return composed(text[start : at + 1]) != composed(text[start:at]) + composed(character)


def _joined(text: str, normalize: Callable[[str], str]) -> Iterator[tuple[int, int]]:
    """Yields the start and end of character groups that a normalizer composes or puts into another order.

    It looks for a character that is followed by joining ones. Characters that the normalizer removes may be
    between them, because it may compose after it has removed them.
    """
    if text.isascii():
        return
    kinds = {character for character in set(text) if not character.isascii() and joins(character)}
    if not kinds:
        return
    without = normalize("aa")
    removed = re.escape("".join(c for c in set(text) - kinds if normalize(f"a{c}a") == without))
    between = f"[{removed}]*" if removed else ""
    for group in re.finditer(rf"[^\s{removed}](?:{between}[{re.escape(''.join(kinds))}])+", text):
        if normalize(group[0]) != "".join(map(normalize, group[0])):
            yield group.span()
