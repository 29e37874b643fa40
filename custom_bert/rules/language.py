"""The language gate: whether texts are of the kind that an English checkpoint was trained on.

The rule looks at a sample of the texts. It does not recognise languages: it asks how well the checkpoint's
vocabulary cuts the texts. A vocabulary knows the words of its language, and cuts those of another one, code
and random letters into many pieces. docs/reference/pretrained-encoders.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SAMPLE = 1000
"""The largest number of texts that are looked at; they are spread evenly over the training texts."""

CHARACTERS = 2000
"""The number of characters that are looked at of each of them, from its beginning."""

MOST_UNKNOWN = 0.05
"""Largest share of the characters that the vocabulary may not know."""

MOST_PIECES = 2.2
"""Largest mean number of pieces that the vocabulary may cut a word into. White space stands between words."""

FEWEST_LETTERS = 0.5
"""Smallest share of letters among the characters: tables of numbers are not language."""

FEWEST_LATIN = 0.8
"""Smallest share of Latin letters among the letters."""

LONGEST_WORDS = 12.0
"""Largest mean number of characters of a word."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How texts are written. Characters are counted without white space, and words stand between it.

    Attributes:
        texts, characters, words: how many were looked at.
        letters: the number of the characters that are letters of any script.
        latin: the number of the letters that are Latin, with and without marks.
    """

    texts: int
    characters: int
    words: int
    letters: int
    latin: int


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How a vocabulary cuts texts.

    Attributes:
        characters: the number of characters, without white space.
        unknown: how many of them the vocabulary does not know.
        pieces: the number of tokens, without special ones.
    """

    characters: int
    unknown: int
    pieces: int


def writing(texts: Iterable[str]) -> Writing:
    """Returns how texts are written."""
    count = words = characters = letters = latin = 0
    for text in texts:
        count, parts = count + 1, text.split()
        words += len(parts)
        for character in "".join(parts):
            characters += 1
            if character.isalpha():
                letters += 1
                # Basic Latin to Latin Extended-B, and Latin Extended Additional
                latin += character < "\u0250" or "\u1e00" <= character < "\u1f00"
    return Writing(texts=count, characters=characters, words=words, letters=letters, latin=latin)


def not_of_its_language(written: Writing, cut: Cutting | None) -> tuple[bool, str]:
    """Decides whether texts should not be given to a checkpoint of a language in Latin letters.

    Args:
        written: how the texts are written.
        cut: how the checkpoint's vocabulary cuts them; None if it is not at hand. Then only the writing
            counts, by which German and English do not differ.

    Returns:
        Whether the texts are of another kind, and what was measured, in words.
    """
    if not written.words or not written.characters:
        return True, "the texts have no words"
    letters = written.letters / written.characters
    if letters < FEWEST_LETTERS:
        return True, f"only {letters:.0%} of the characters are letters"
    latin = written.latin / written.letters
    if latin < FEWEST_LATIN:
        return True, f"only {latin:.0%} of the letters are Latin"
    if cut is not None:
        unknown, pieces = cut.unknown / max(1, cut.characters), cut.pieces / written.words
        measured = f"{pieces:.1f} pieces a word, {unknown:.0%} of the characters unknown"
        return unknown > MOST_UNKNOWN or pieces > MOST_PIECES, measured
    length = written.characters / written.words
    return length > LONGEST_WORDS, f"{length:.0f} characters a word"
