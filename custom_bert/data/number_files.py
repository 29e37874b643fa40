"""Reads label files of numbers: one or several a line, as many on every line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from custom_bert.data.columns import header_hint
from custom_bert.data.labels import LabelIds
from custom_bert.data.lines import Lines
from custom_bert.data.numbers import MOST_NUMBERS, NUMBER, Numbers, parsed_number
from custom_bert.data.suspicions import Pair
from custom_bert.data.targets import LineTargets
from custom_bert.data.text import is_blank
from custom_bert.errors import DataError
from custom_bert.phrases import counted

LEAST_SPREAD = 1e-30
"""Numbers whose standard deviation is smaller are constant, as far as single precision can tell."""


class NumberReader:
    """Reads label files with the same number of numbers on every line. It is a `LabelReader`.

    Args:
        separator: the text between two numbers of a line.
    """

    def __init__(self, separator: str) -> None:
        self.labels, self.characters = LabelIds(), 0
        self._separator, self._count, self._counted_in = separator, 0, ""

    def warn_format(self, pair: Pair, warnings: list[str], /) -> None:
        """Warns of nothing: what is no number is refused."""

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> Numbers:
        """Reads the numbers of each line. Arguments and errors are those of `LabelReader.read`."""
        self.characters, rows = 0, []
        known: dict[str, list[float]] = {}
        for block in lines.blocks():
            self.characters += sum(map(len, block))
            start = lines.num_lines - len(block)
            for i, line in enumerate(block):
                numbers = known.get(line)
                if numbers is None:
                    numbers = known[line] = self._numbers(lines.where(start + i), line, texts)
                rows.append(numbers)
        return Numbers(np.array(rows, dtype=np.float64).reshape(len(rows), self._count))

    def _numbers(self, where: str, line: str, texts: Lines) -> list[float]:
        """Returns the numbers of a line."""
        words = texts.words
        if is_blank(line):
            raise DataError(where, f"no number; write one, or remove the {words.line}{words.from_both}")
        try:
            numbers = parsed_numbers(line, self._separator)
        except ValueError as error:
            first_texts = list(islice(next(iter(texts.blocks())), 20))
            if all(NUMBER.fullmatch(text.strip()) for text in first_texts):
                raise DataError(
                    where,
                    f"the labels look like texts and {texts.name} like numbers; are the two "
                    f"{words.sides} swapped?",
                ) from None
            raise DataError(where, f"{error}{header_hint(where, line)}") from None
        if not self._count:
            self._count, self._counted_in = len(numbers), where
            if self._count > MOST_NUMBERS:
                raise DataError(where, f"{self._count:,} numbers; at most {MOST_NUMBERS:,} can be learned")
        if len(numbers) != self._count:
            raise DataError(
                where,
                f"{counted(len(numbers), 'number')}, while {self._counted_in} has {self._count:,}; write "
                f"as many on every {words.line}",
            )
        return numbers

    def check(self, lines: Lines, targets: LineTargets) -> None:
        """Raises DataError if one of the numbers is the same on every line."""
        values_NK = targets.values(np.arange(len(targets)))
        with np.errstate(under="ignore"):
            constant_K = values_NK.std(axis=0) < LEAST_SPREAD
        if constant_K.any():
            index, line = int(np.flatnonzero(constant_K)[0]), lines.words.line
            which = "the number" if self._count == 1 else f"number {index + 1} of {self._count:,}"
            if np.ptp(values_NK[:, index]):
                raise DataError(
                    lines.name,
                    f"{which} differs by less than {LEAST_SPREAD:g} between two {line}s; write the numbers "
                    f"in another unit",
                )
            raise DataError(
                lines.name,
                f"{which} is {values_NK[0, index]:g} on every {line}; two different ones are needed",
            )

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """Returns the different lines of numbers, in the order of `Numbers.distinct_ids_N`."""
        values_NK = targets.values(np.arange(len(targets)))
        return [self._separator.join(map(repr, row)) for row in np.unique(values_NK, axis=0).tolist()]

    def sorted(self, targets: LineTargets) -> LineTargets:
        """Returns the targets as they are: they hold no ids."""
        return targets

    def ordered(self) -> tuple[str, ...]:
        """Returns no labels."""
        return ()


def parsed_numbers(line: str, separator: str) -> list[float]:
    """Returns the numbers of a line.

    Raises:
        ValueError: for the first that is no number; says why, and which of several it is.
    """
    cells = line.strip(" \r").split(separator) if separator.strip() == "" else line.split(separator)
    numbers = []
    for i, cell in enumerate(cells):
        try:
            numbers.append(parsed_number(cell))
        except ValueError as error:
            place = f"number {i + 1}: " if len(cells) > 1 else ""
            raise ValueError(f"{place}{error}") from None
    return numbers
