"""Measures how much of some texts a vocabulary does not know.

It is counted in characters, because one unknown token may be a single emoji or a whole Thai sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from custom_bert.data.encoded import EncodedTexts
from custom_bert.data.lines import Lines, at
from custom_bert.phrases import at_lines, counted

MOST_CHARACTERS = 0.05
"""Largest share of all characters that may be unknown without a warning."""

MOST_TEXTS = 0.01
"""Largest share of all texts that may be mostly unknown without a warning."""

FEWEST = 20
"""Fewest unknown characters that are worth a warning about training data. In a few lines of data their share
says little."""

NAMED = 5
"""The number of texts that a warning names."""


@dataclass
class UnknownText:
    """Counts of texts and characters, which grow while texts are encoded.

    Attributes:
        texts, characters: the numbers of encoded texts and of their characters, without white space.
        unknown: the number of these characters that the vocabulary does not know.
        mostly_unknown: the number of texts in which more than half of the characters are unknown.
        first: the indices, from 0, of the first `NAMED` of these texts.
    """

    texts: int = 0
    characters: int = 0
    unknown: int = 0
    mostly_unknown: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, encoded: EncodedTexts) -> None:
        """Adds the counts of the next texts."""
        rows = np.flatnonzero(2 * encoded.unknown_N > encoded.characters_N)
        self.first += (rows[: NAMED - len(self.first)] + self.texts).tolist()
        self.mostly_unknown += len(rows)
        self.texts += len(encoded.sequences)
        self.characters += int(encoded.characters_N.sum())
        self.unknown += int(encoded.unknown_N.sum())

    @property
    def hinders_learning(self) -> bool:
        """Whether so much of the training or validation texts is unknown that the user is warned."""
        much = self.unknown > MOST_CHARACTERS * self.characters
        return self.unknown >= FEWEST and (much or self.mostly_unknown > MOST_TEXTS * self.texts)

    @property
    def spoils_predictions(self) -> bool:
        """Whether the user is warned about predictions. Each prediction matters, so one bad text is
        enough."""
        return self.mostly_unknown > 0 or self.hinders_learning

    def message(self, to: str = "to the vocabulary", *, lines: bool = True, of: Lines | None = None) -> str:
        """Returns a line that says how much is unknown, to which the caller adds a consequence or a way out.

        Args:
            to: the vocabulary that does not know the characters, as in "to the vocabulary".
            lines: whether texts are named as lines of a file, from 1; otherwise as items of a list, from 0.
            of: the lines that the texts are; None where only their order is known.
        """
        share = self.unknown / max(1, self.characters)
        shown = f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"
        message = f"{shown} of the characters are unknown {to}"
        if self.mostly_unknown:
            where = at(of, self.first, self.mostly_unknown) if of else self._where(lines)
            message += f"; in {counted(self.mostly_unknown, 'text')}{where} it is more than half"
        return message

    def _where(self, lines: bool) -> str:
        """Returns the numbers of the first texts that are mostly unknown, in parentheses."""
        if lines:
            return at_lines([index + 1 for index in self.first], self.mostly_unknown)
        return at_lines(self.first, self.mostly_unknown).replace("line", "item")


OF_A_CHECKPOINT = "choose a checkpoint whose vocabulary knows this script, or train from scratch"
OF_A_GIVEN_VOCABULARY = "choose a vocabulary that knows this script, or train one on these texts"
OF_TRAINING_TEXTS = "a larger model.vocab_size knows more characters"
OF_OTHER_TEXTS = "add training texts with these characters, or start from a checkpoint that knows this script"
OF_A_MODEL = "predictions for such texts are unreliable"
OF_VECTORS = "embeddings of such texts are unreliable"
"""Ways out and consequences, which callers put after a message."""
