r"""The regular expression in our tokenizer files, which splits text before words are looked up.

A WordPiece tokenizer makes one unknown token of a whole word that has one unknown character or more than 100
characters. So trained vocabularies split text first: each unknown character becomes a word of its own, and a
run of known characters without a space or a punctuation mark is cut every 100 characters. This keeps the
content of scripts that are written without spaces (Thai, Khmer), of DNA and of long links.

    [^\s!abc...]|[abc...]{100}      not a known character, or 100 known ones that are not punctuation

Both alternatives match a bounded number of characters, so the time to split is linear in the length of the
text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

LONGEST_WORD = 100
"""The largest number of characters of a word that WordPiece divides into tokens; it is the default of the
tokenizers library. The time to divide a word grows with the square of its length, so words are cut instead of
raising the limit."""

ASCII_PUNCTUATION = "$+<=>^`|~"
"""Symbols that BERT treats as punctuation, although their Unicode category is another one."""

SPECIAL = "\\[]^&-"
"""Characters with a meaning of their own inside [...], which have to be escaped there."""

_ONE = r"(?:[^\\\[\]^&-]|\\[\\\[\]^&-])"
_RANGES = rf"(?:{_ONE}(?:-{_ONE})?)"
_PATTERN = re.compile(rf"\[\^\\s{_RANGES}*\](?:\|\[{_RANGES}+\]\{{{LONGEST_WORD}\}})?", re.DOTALL)


def split_pattern(known: Iterable[str]) -> str:
    """Returns the regular expression for a vocabulary.

    Args:
        known: the single characters that the vocabulary has both at the start of a word and inside one.
    """
    every = sorted(set(known))
    of_words = _ranges([character for character in every if not _is_punctuation(character)])
    long_run = f"|[{of_words}]{{{LONGEST_WORD}}}" if of_words else ""
    return rf"[^\s{_ranges(every)}]{long_run}"


def is_split_pattern(text: str) -> bool:
    """Returns whether `split_pattern` could have made an expression.

    Any other expression from a file is refused, because matching it might never end.
    """
    return _PATTERN.fullmatch(text) is not None


def _is_punctuation(character: str) -> bool:
    return character in ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")


def _ranges(characters: list[str]) -> str:
    """Returns sorted characters in the notation of [...], with neighbouring ones as ranges."""
    return "".join(
        _escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}"
        for first, last in _runs(characters)
    )


def _escaped(character: str) -> str:
    return "\\" + character if character in SPECIAL else character


def _runs(characters: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the first and the last character of each run of neighbouring code points."""
    start = 0
    for i in range(1, len(characters) + 1):
        if i == len(characters) or ord(characters[i]) != ord(characters[i - 1]) + 1:
            yield characters[start], characters[i - 1]
            start = i
