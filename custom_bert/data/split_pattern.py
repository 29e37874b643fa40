r"""The one regular expression in our tokenizer files: where text is split before words are looked for.

A WordPiece tokenizer gives up a whole word for one character that it does not know, and a word of more than
100 characters for its length alone. So trained vocabularies split first: each unknown character stands by
itself, and a run of characters without a space or a punctuation mark is cut every 100 characters. Scripts
that are written without spaces (Thai, Khmer), DNA and long links keep their content that way.

    [^\sabc...]|[^\s\p{P}$+<=>\^`|~]{100}

Both halves match a bounded number of characters, so the time to split is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST_WORD = 100
"""Characters of a word that WordPiece looks at, the tokenizers library's own limit. Its search for the
longest known piece takes time that grows with the square of the word, so it stays and words are cut."""

LONG_RUN = rf"[^\s\p{{P}}$+<=>\^`|~]{{{LONGEST_WORD}}}"
"""BERT splits at white space and punctuation; for it the ASCII symbols named here are punctuation too."""

SPECIAL = "\\[]^&-"
"""Characters that mean something inside [...]."""

_ONE = r"(?:[^\\\[\]^&-]|\\[\\\[\]^&-])"
_PATTERN = re.compile(rf"\[\^\\s(?:{_ONE}(?:-{_ONE})?)*\]\|{re.escape(LONG_RUN)}", re.DOTALL)


def split_pattern(known: Iterable[str]) -> str:
    """The expression for a vocabulary.

    Args:
        known: the single characters that it knows, at the start of a word and inside one.
    """
    ranges = "".join(
        _escaped(first) if first == last else f"{_escaped(first)}-{_escaped(last)}"
        for first, last in _runs(sorted(known))
    )
    return rf"[^\s{ranges}]|{LONG_RUN}"


def is_split_pattern(text: str) -> bool:
    """Whether `split_pattern` could have made it. Any other expression might take time without end."""
    return _PATTERN.fullmatch(text) is not None


def _escaped(character: str) -> str:
    return "\\" + character if character in SPECIAL else character


def _runs(characters: list[str]) -> Iterator[tuple[str, str]]:
    """First and last of each run of neighbouring code points."""
    start = 0
    for i in range(1, len(characters) + 1):
        if i == len(characters) or ord(characters[i]) != ord(characters[i - 1]) + 1:
            yield characters[start], characters[i - 1]
            start = i
