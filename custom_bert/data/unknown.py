"""How much of some texts a vocabulary does not know.

It is counted in characters. One unknown token may stand for a single emoji or for a whole Thai sentence, so a
count of tokens says little.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from custom_bert.data.encoded import EncodedTexts
from custom_bert.phrases import at_lines, counted

MOST_CHARACTERS = 0.05
"""Largest share of all characters that may be unknown without a warning."""

MOST_TEXTS = 0.01
"""Largest share of all texts that may be mostly unknown without a warning."""

FEWEST = 20
"""Fewest unknown characters that are worth a warning about training data: a few lines of it have fewer."""

NAMED = 5
"""Texts that a warning names."""


@dataclass
class UnknownText:
    """Counts of texts and characters. They grow as texts are encoded.

    Attributes:
        texts, characters: that were encoded; white space is not counted.
        unknown: characters of these that the vocabulary does not know.
        mostly_unknown: texts in which more than half of the characters are unknown.
        first: indices, from 0, of the first of these texts.
    """

    texts: int = 0
    characters: int = 0
    unknown: int = 0
    mostly_unknown: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, encoded: EncodedTexts) -> None:
        """Counts the next texts."""
        rows = np.flatnonzero(2 * encoded.unknown_N > encoded.characters_N)
        self.first += (rows[: NAMED - len(self.first)] + self.texts).tolist()
        self.mostly_unknown += len(rows)
        self.texts += len(encoded.sequences)
        self.characters += int(encoded.characters_N.sum())
        self.unknown += int(encoded.unknown_N.sum())

    @property
    def hinders_learning(self) -> bool:
        """Whether so much of training or validation texts is unknown that a warning is due."""
        much = self.unknown > MOST_CHARACTERS * self.characters
        return self.unknown >= FEWEST and (much or self.mostly_unknown > MOST_TEXTS * self.texts)

    @property
    def spoils_predictions(self) -> bool:
        """Whether a warning about predictions is due: each one counts by itself."""
        return self.mostly_unknown > 0 or self.hinders_learning

    def message(self, to: str = "to the vocabulary", *, lines: bool = True) -> str:
        """What is unknown, in one line without its end.

        Args:
            to: whose vocabulary it is.
            lines: name lines of a file, which count from 1; otherwise items of a list, from 0.
        """
        share = self.unknown / max(1, self.characters)
        shown = f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
        message = f"{shown} of the characters are unknown {to}"
        if self.mostly_unknown:
            texts = f"{counted(self.mostly_unknown, 'text')}{self._where(lines)}"
            message += f"; in {texts} it is more than half"
        return message

    def _where(self, lines: bool) -> str:
        if lines:
            return at_lines([index + 1 for index in self.first], self.mostly_unknown)
        return at_lines(self.first, self.mostly_unknown).replace("line", "item")


OF_A_CHECKPOINT = "choose a checkpoint whose vocabulary knows this script, or train from scratch"
OF_A_GIVEN_VOCABULARY = "choose a vocabulary that knows this script, or train one on these texts"
OF_TRAINING_TEXTS = "a larger model.vocab_size knows more characters"
OF_OTHER_TEXTS = "add training texts with these characters, or start from a checkpoint that knows this script"
OF_A_MODEL = "predictions for such texts are unreliable"
OF_VECTORS = "embeddings of such texts are unreliable"
"""Ways out and consequences, to stand behind a message."""
