"""What a run's model, its floor and its encoder alone score on the same texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_bert.reports.facts import encoder_line, floor_line, together_line
from custom_bert.tasks.parts import Measured


@dataclass(frozen=True)
class Evaluated:
    """How good a run's model is on some texts, and how good encoder and floor are alone on the same texts.

    Attributes:
        model: of what predicts.
        floor: of the floor, the linear model on n-grams; None if the run has none.
        encoder: of the encoder alone; None if nothing else predicts.
        notes: what a user should know of how a table was read, one line each.
        swapped: the share of pairs of texts for which something else is predicted when their texts are
            swapped; None if it was not measured.
    """

    model: Measured
    floor: Measured | None = None
    encoder: Measured | None = None
    notes: tuple[str, ...] = ()
    swapped: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns the numbers of what predicts, for JSON, and with the keys `floor` and `encoder` the
        measures of each alone."""
        sides = {"floor": self.floor, "encoder": self.encoder}
        swapped = {} if self.swapped is None else {"changed_when_swapped": self.swapped}
        return {
            **self.model.as_dict(),
            **{name: one.numbers for name, one in sides.items() if one},
            **swapped,
        }

    def lines(self) -> list[str]:
        """Returns the table of what predicts, and a line about each side alone, for a terminal."""
        lines = [] if self.floor is None else ["", floor_line(self.floor.numbers)]
        if self.encoder is not None:
            lines += [encoder_line(self.encoder.numbers), together_line(self.model.numbers)]
        if self.swapped is not None:
            lines += ["", f"{self.swapped:.1%} of the pairs get other labels when their texts are swapped"]
        return [*self.model.lines(), *lines]
