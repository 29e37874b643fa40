"""The words of a text, as a reader sees them, with their places in it.

A word is a run of letters, digits and underscores. An apostrophe or a hyphen between two of them belongs to
the word (don't, well-made), and so does a point or a comma between digits (3.5). In a script that is written
without spaces each character is a word, and each emoji is one. Marks, such as accents, belong to what they
stand on. Punctuation and white space are no words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31F0, 0x31FF),  # more Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),  # Katakana of half the width
    (0x20000, 0x3FFFF),
)
"""The first and the last code points of scripts that are written without spaces between words."""

ALWAYS = "'\u2019-\u2010\u2011"
"""Apostrophes and hyphens, which join what stands on their two sides."""

BETWEEN_DIGITS = ".,"
"""What joins two digits."""

JOINER = "\u200d"
"""Joins two emoji to one."""

INVISIBLE = JOINER + "\u200c\u00ad"
"""Characters inside words that are not seen: joiners, and where a word may be divided."""

SKIN = range(0x1F3FB, 0x1F400)
"""Colours of skin, which belong to the emoji before them."""


def words(text: str) -> Iterator[tuple[int, int]]:
    """Yields where each word of a text begins and ends, in order: `text[begin:end]` is the word."""
    begin = end = -1  # of the last word that was seen; no word yet
    grows = False  # whether a letter at its end would belong to it
    for i, character in enumerate(text):
        category, touches = unicodedata.category(character), end == i
        if touches and (category[0] == "M" or character in INVISIBLE or ord(character) in SKIN):
            end = i + 1
            continue
        is_letter = category[0] in "LN" or character == "_"
        is_single = (is_letter and _is_without_spaces(character)) or category == "So"
        goes_on = text[i - 1] == JOINER if is_single else is_letter and grows
        if touches and goes_on:
            end = i + 1
        elif is_letter or is_single:
            if end >= 0:
                yield begin, end
            begin, end, grows = i, i + 1, not is_single
        elif touches and grows and _joins(text, i):
            end = i + 1
    if end >= 0:
        yield begin, end


def _joins(text: str, i: int) -> bool:
    """Returns whether the character at a place joins the word before it and a letter or digit after it."""
    after = text[i + 1 : i + 2]
    if text[i] in ALWAYS:
        return unicodedata.category(after or " ")[0] in "LN" and not _is_without_spaces(after)
    return text[i] in BETWEEN_DIGITS and text[i - 1].isdigit() and after.isdigit()


def _is_without_spaces(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in WITHOUT_SPACES)
