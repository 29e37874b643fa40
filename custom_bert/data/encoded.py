"""The result of tokenising texts: token ids, and the positions of the special tokens around a text or around
the two texts of a pair.

A special token here is one that the tokenizer adds, and it is recognised by its position. A text may contain
the same token as a word of its own ("[SEP]"); that one is a token like any other.

Shapes: N texts, L tokens of a text, S special tokens of each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around a text, `[CLS] text [SEP]`, or around the two texts of
    a pair, `[CLS] first [SEP] second [SEP]`.

    Attributes:
        before, after: the ids of the special tokens before and after a text, in order.
        between: those between the two texts of a pair, in order; none where there are single texts.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    between: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """S, the number of special tokens of a text or a pair."""
        return len(self.before) + len(self.between) + len(self.after)

    def framed(self, *texts: Sequence[int]) -> list[int]:
        """Returns the ids of a text, or of the two texts of a pair, with the special tokens."""
        ids = [*self.before, *texts[0]]
        for second in texts[1:]:
            ids += [*self.between, *second]
        return [*ids, *self.after]

    def special(self, lengths_N: np.ndarray, seconds_N: np.ndarray | None = None) -> np.ndarray:
        """Returns (N, S) int64 the positions, ascending, of the special tokens in texts of these lengths.

        Args:
            lengths_N: (N,) the number of tokens of each text or pair, special ones included.
            seconds_N: (N,) the position at which the second text of each pair begins; None for single texts.
        """
        first, last, between = len(self.before), len(self.after), len(self.between)
        special_NS = np.empty((len(lengths_N), self.size), dtype=np.int64)
        special_NS[:, :first] = np.arange(first)
        if seconds_N is not None:
            special_NS[:, first : first + between] = seconds_N[:, None] - np.arange(between, 0, -1)
        special_NS[:, first + between :] = lengths_N[:, None] - np.arange(last, 0, -1)
        return special_NS

    def offsets(self, offsets_L2: np.ndarray, characters: int, *second: tuple[np.ndarray, int]) -> np.ndarray:
        """Returns (S + L, 2) int64 the offsets of all tokens of a text or a pair, each within its own text.

        A special token gets an empty range at the beginning or at the end of the text before it.

        Args:
            offsets_L2: (L, 2) where each of the text's own tokens begins and ends.
            characters: the length of the text.
            second: both of the second text of a pair.
        """
        parts = [np.zeros((len(self.before), 2))]
        for (places_L2, length), count in zip(
            ((offsets_L2, characters), *second),
            (*(len(self.between) for _ in second), len(self.after)),
            strict=True,
        ):
            parts += [places_L2, np.full((count, 2), length)]
        return np.concatenate(parts).astype(np.int64)


@dataclass(frozen=True)
class EncodedTexts:
    """Tokenised texts in memory.

    Attributes:
        sequences: the token ids, one int64 array for each text.
        special_NS: (N, S) int64 the positions, ascending, of the special tokens in each text.
        lost_N: (N,) int64 the number of tokens that were cut off each text. For a text that was cut before
            tokenising (`CHARACTERS_PER_TOKEN`) it is a lower bound, at least 1.
        unknown_N: (N,) int64 the number of characters in `characters_N` that the vocabulary does not know.
        characters_N: (N,) int64 the number of characters of each text, without white space. For a text that
            lost tokens it is about the number of those that the kept tokens cover.
        offsets: one (L, 2) int64 array for each text, if offsets were asked for: where each token begins and
            ends among the characters of the text as the user wrote it. The range of a special token is empty.
        seconds_N: (N,) int64 the position at which the second text of each pair begins; None where texts are
            single.
        units: one (U, 3) int64 array for each text, if units were asked for: the position of the first token
            of each of its U units, and where the unit begins and ends in the text as the user wrote it. See
            `units_of`.
    """

    sequences: Sequence[np.ndarray]
    special_NS: np.ndarray
    lost_N: np.ndarray
    unknown_N: np.ndarray
    characters_N: np.ndarray
    offsets: Sequence[np.ndarray] | None = None
    seconds_N: np.ndarray | None = None
    units: Sequence[np.ndarray] | None = None

    @cached_property
    def lengths_N(self) -> np.ndarray:
        """(N,) the number of tokens of each text, special ones included."""
        return np.fromiter(map(len, self.sequences), dtype=np.int64, count=len(self.sequences))

    def __getitem__(self, row: int) -> np.ndarray:
        return self.sequences[row]

    def tokens(self, rows: np.ndarray) -> np.ndarray:
        """Returns (L,) int64 the token ids of some texts, one text after the other."""
        return np.concatenate([self[row] for row in rows.tolist()])

    def special(self, rows: np.ndarray) -> np.ndarray:
        """Returns (len(rows), S) the positions, ascending, of the special tokens in some of the texts."""
        return np.asarray(self.special_NS[rows])

    def seconds(self, rows: np.ndarray) -> np.ndarray | None:
        """Returns (len(rows),) where the second text of some pairs begins; None where texts are single."""
        return None if self.seconds_N is None else np.asarray(self.seconds_N[rows])


def units_of(
    words_L: Sequence[int | None], places_L2: np.ndarray, text: str, left_out: slice = slice(0, 0)
) -> np.ndarray:
    """Returns (U, 3) int64 the units of a text: what its tokenizer takes for words, before it cuts these into
    tokens. Each row has the position of the unit's first token, and where the unit begins and ends.

    White space alone is no unit, and neither is a token that stands for no character, and no unit begins or
    ends with them. Two of the tokenizer's words that were made from the same character, such as the parts of
    a fraction, are one unit. So units follow one another without overlap.

    Args:
        words_L: (L,) the number of the word of each token, as the library reports it.
        places_L2: (L, 2) where the tokens begin and end in the text, without white space around them, as
            `Excerpt.places` returns it.
        text: the text as the user wrote it.
        left_out: which tokens are left out. Units that begin there are left out too.
    """
    numbers_L = np.fromiter((-1 if word is None else word for word in words_L), np.int64, len(words_L))
    # a byte-level word begins with the space before it, which may be a token of its own
    seen_V = np.flatnonzero([start < end and not text[start].isspace() for start, end in places_L2.tolist()])
    numbers_V = numbers_L[seen_V]
    begins_V = np.ones(len(seen_V), dtype=bool)
    begins_V[1:] = (numbers_V[1:] != numbers_V[:-1]) | (numbers_V[1:] < 0)
    first_U = seen_V[begins_V]
    last_U = seen_V[np.append(np.flatnonzero(begins_V)[1:], len(seen_V))[: len(first_U)] - 1]
    stop, removed = left_out.stop, left_out.stop - left_out.start
    found: list[tuple[int, int, int]] = []
    starts, ends = places_L2[first_U, 0].tolist(), places_L2[last_U, 1].tolist()
    for first, start, end in zip(first_U.tolist(), starts, ends, strict=True):
        if found and start < found[-1][2]:
            found[-1] = (*found[-1][:2], max(end, found[-1][2]))
        else:
            found.append((first, start, end))
    kept = [
        (first - removed * (first >= stop), start, end)
        for first, start, end in found
        if not left_out.start <= first < stop
    ]
    return np.array(kept, dtype=np.int64).reshape(-1, 3)
