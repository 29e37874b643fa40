"""The part of a text that a tokenizer reads, and where its characters stand in the user's own text.

Before tokens are made, a long text is cut and letters are composed with their accents; a normalizer then
takes characters out, folds case, and composes again. So a token's place is followed back in two steps. The
library says which characters of the excerpt a token was made from, but of letters that its normalizer
composes it names the first alone. Those are found here, and a token of some of them has the place of all.

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
"""(C,) of each character where it begins in the user's text, and (C,) where it ends."""


class Excerpt:
    """What is left of a text to be read; at first all of it.

    Args:
        text: as the user wrote it.
        traced: whether it will be asked where characters stand.

    Attributes:
        text: as it is read.
        was_cut: whether characters were left out that tokens could have been made from.
    """

    __slots__ = ("_edges", "_length", "text", "was_cut")

    def __init__(self, text: str, traced: bool = False) -> None:
        self.text, self.was_cut, self._length = text, False, len(text)
        self._edges: Edges | None = (range(len(text)), range(1, len(text) + 1)) if traced else None

    def cut(self, cap: int, long_texts: LongTexts) -> None:
        """Leaves about `cap` characters at most: the first, or with head_tail half of them from the end."""
        head, tail = (cap, 0) if long_texts != "head_tail" else (cap // 2, cap // 2)
        if self._edges is not None:
            starts, ends = (edge[:head] for edge in self._edges)
            if tail:
                lasts = tuple(edge[-tail:] for edge in self._edges)
                joint = lasts[0][:1]  # the space between both stands nowhere
                starts = np.concatenate([starts, joint, lasts[0]])
                ends = np.concatenate([ends, joint, lasts[1]])
            self._edges = starts, ends
        self.text = f"{self.text[:head]} {self.text[-tail:]}" if tail else self.text[:head]
        self.was_cut = True

    def strip(self) -> None:
        """Leaves out white space around."""
        start = len(self.text) - len(self.text.lstrip())
        self.text = self.text.strip()
        if self._edges is not None:
            starts, ends = self._edges
            stop = start + len(self.text)
            self._edges = starts[start:stop], ends[start:stop]

    def compose(self) -> None:
        """Puts the text into Unicode's composed form. A character of several has the place of all of them."""
        before, self.text = self.text, composed(self.text)
        if self._edges is not None and self.text != before:
            counts = [(stop - start, len(new)) for start, stop, new in _composed_parts(before)]
            old_P, new_P = np.array(counts, dtype=np.int64).T
            last_P = np.cumsum(old_P) - 1
            starts, ends = (np.asarray(edge, dtype=np.int64) for edge in self._edges)
            self._edges = np.repeat(starts[last_P - old_P + 1], new_P), np.repeat(ends[last_P], new_P)

    def places(self, tokens: Sequence[tuple[int, int]], normalize: Callable[[str], str]) -> np.ndarray:
        """(L, 2) int64 where tokens begin and end in the user's text, white space around them aside.

        Args:
            tokens: (L,) where they begin and end in the excerpt, as the library has it.
            normalize: what the library does to a text before it looks for tokens.
        """
        assert self._edges is not None, "an excerpt that is not traced"
        starts_C, ends_C = (np.asarray(edge, dtype=np.int64) for edge in self._edges)
        starts_C, ends_C = starts_C.copy(), ends_C.copy()
        for first, stop in _joined(self.text, normalize):
            starts_C[first:stop], ends_C[first:stop] = starts_C[first], ends_C[stop - 1]
        found = np.empty((len(tokens), 2), dtype=np.int64)
        for row, (start, stop) in enumerate(tokens):
            part = self.text[start:stop]
            if not part:  # made of nothing, as a mark that is put before a text
                found[row] = starts_C[start] if start < len(starts_C) else self._length
                continue
            if not part.isspace():
                start, stop = stop - len(part.lstrip()), start + len(part.rstrip())
            found[row] = starts_C[start], ends_C[stop - 1]
        return found


def joins(character: str) -> bool:
    """Whether a character may become one with a character before it: accents, vowel signs, Hangul's parts."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff" or first in KIRAT_RAI


KIRAT_RAI = "\U00016d63\U00016d67\U00016d68\U00016d69\U00016d6a"
"""Vowels that are no marks by their category and join nevertheless (Unicode 16)."""


def _composed_parts(text: str) -> Iterator[tuple[int, int, str]]:
    """The parts of a text that composing changes each by itself: where they stand, and what they become."""
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
    """Whether a character belongs to the part that begins before it: an accent, or what composes with it."""
    character = text[at]
    if character.isascii() or not joins(character):
        return False
    if unicodedata.combining(character):
        return True
    return composed(text[start : at + 1]) != composed(text[start:at]) + composed(character)


def _joined(text: str, normalize: Callable[[str], str]) -> Iterator[tuple[int, int]]:
    """Where characters stand that a normalizer makes one of, or puts into another order."""
    kinds = {character for character in set(text) if not character.isascii() and joins(character)}
    if not kinds:
        return
    without = normalize("aa")
    silent = re.escape("".join(c for c in set(text) - kinds if normalize(f"a{c}a") == without))
    between = f"[{silent}]*" if silent else ""
    for found in re.finditer(rf"[^\s{silent}](?:{between}[{re.escape(''.join(kinds))}])+", text):
        if normalize(found[0]) != "".join(map(normalize, found[0])):
            yield found.span()
