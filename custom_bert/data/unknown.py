"""How much of some texts a vocabulary does not know.

It is counted in characters. One unknown token may stand for a single emoji or for a whole Thai sentence, so a
count of tokens says little.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from custom_bert.data.findings import at_lines, counted
from custom_bert.data.tokenizer import EncodedTexts

SHARE = 0.05
"""Of all characters: a warning is due where more are unknown."""

TEXTS = 0.01
"""Of all texts: a warning is due where of more texts the larger part is unknown."""

FEWEST = 20
"""Unknown characters that are worth a warning; a few lines of test data have fewer."""

NAMED = 5
"""Lines that a warning names."""


@dataclass
class UnknownText:
    """Counts that grow as texts are encoded.

    Attributes:
        texts, characters: that were encoded.
        unknown: characters of them that became unknown tokens.
        mostly: texts of which more than half is unknown.
        first: line numbers, from 1, of the first of these.
    """

    texts: int = 0
    characters: int = 0
    unknown: int = 0
    mostly: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, encoded: EncodedTexts) -> None:
        """Counts the next texts."""
        rows = np.flatnonzero(2 * encoded.unknown_N > encoded.characters_N)
        self.first += (rows[: NAMED - len(self.first)] + self.texts + 1).tolist()
        self.mostly += len(rows)
        self.texts += len(encoded.sequences)
        self.characters += int(encoded.characters_N.sum())
        self.unknown += int(encoded.unknown_N.sum())

    @property
    def matters(self) -> bool:
        """Whether so much is unknown that learning suffers."""
        much = self.unknown > SHARE * self.characters or self.mostly > TEXTS * self.texts
        return much and self.unknown >= FEWEST

    def words(self, to: str = "to the vocabulary") -> str:
        """`12% of the characters are unknown to the vocabulary; of 3 texts it is more than half (...)`."""
        share = self.unknown / max(1, self.characters)
        shown = f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
        words = f"{shown} of the characters are unknown {to}"
        if self.mostly:
            lines = at_lines(self.first, self.mostly)
            words += f"; of {counted(self.mostly, 'text')} it is more than half{lines}"
        return words


OF_A_CHECKPOINT = "choose a checkpoint whose vocabulary knows this script, or train from scratch"
OF_A_TRAINED_VOCABULARY = "a larger model.vocab_size knows more"
OF_A_GIVEN_VOCABULARY = "choose another data.tokenizer, or leave it out to train a vocabulary"
OF_A_MODEL = "the answers for such texts are guesses"
"""Ways out, to be put behind `words`."""
