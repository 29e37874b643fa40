r"""The one regular expression in our tokenizer files: where text is split before words are looked for.

A WordPiece tokenizer gives up a whole word for one character that it does not know, and a word of more than
100 characters for its length alone. So trained vocabularies split first: each unknown character stands by
itself, and a run of known characters without a space or a punctuation mark is cut every 100 characters.
Scripts that are written without spaces (Thai, Khmer), DNA and long links keep their content that way.

    [^\s!abc...]|[abc...]{100}      every known character; the known ones that are no punctuation

Both halves match a bounded number of characters, so the time to split is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

LONGEST_WORD = 100
"""Characters of a word that WordPiece looks at, the tokenizers library's own limit. Its search for the
longest known piece takes time that grows with the square of a word's length, so the limit stays and words
are cut."""

ASCII_PUNCTUATION = "$+<=>^`|~"
"""Symbols that BERT splits at as at punctuation, although Unicode does not call them so."""

SPECIAL = "\\[]^&-"
"""Characters that mean something inside [...]."""

_ONE = r"(?:[^\\\[\]^&-]|\\[\\\[\]^&-])"
_RANGES = rf"(?:{_ONE}(?:-{_ONE})?)"
_PATTERN = re.compile(rf"\[\^\\s{_RANGES}*\](?:\|\[{_RANGES}+\]\{{{LONGEST_WORD}\}})?", re.DOTALL)


def split_pattern(known: Iterable[str]) -> str:
    """The expression for a vocabulary.

    Args:
        known: the single characters that it knows, at the start of a word and inside one.
    """
    every = sorted(set(known))
    of_words = _ranges([character for character in every if not _is_punctuation(character)])
    long_run = f"|[{of_words}]{{{LONGEST_WORD}}}" if of_words else ""
    return rf"[^\s{_ranges(every)}]{long_run}"


def is_split_pattern(text: str) -> bool:
    """Whether `split_pattern` could have made it. Any other expression might take time without end."""
    return _PATTERN.fullmatch(text) is not None


def _is_punctuation(character: str) -> bool:
    return character in ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")


def _ranges(characters: list[str]) -> str:
    """Sorted characters as they stand inside [...]."""
    return "".join(
        _escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}"
        for first, last in _runs(characters)
    )


def _escaped(character: str) -> str:
    return "\\" + character if character in SPECIAL else character


def _runs(characters: list[str]) -> Iterator[tuple[str, str]]:
    """First and last of each run of neighbouring code points."""
    start = 0
    for i in range(1, len(characters) + 1):
        if i == len(characters) or ord(characters[i]) != ord(characters[i - 1]) + 1:
            yield characters[start], characters[i - 1]
            start = i
