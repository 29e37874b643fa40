"""Reads label files whose lines divide a text among labels, such as `refund:0.8<TAB>card:0.2`.

A label and its share stand on the two sides of the last colon, so that labels may contain colons. Shares that
do not add up to 1 are votes: they are divided by their sum, and a warning counts such lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from custom_bert.data.columns import header_hint
from custom_bert.data.label_files import Reader, split_labels
from custom_bert.data.labels import short_label
from custom_bert.data.lines import Lines, at
from custom_bert.data.shares import ClassShares
from custom_bert.data.suspicions import Pair
from custom_bert.data.targets import LineTargets
from custom_bert.data.text import is_blank
from custom_bert.errors import DataError
from custom_bert.phrases import counted

TOLERANCE = 0.02
"""Shares whose sum is this close to 1 are taken as rounded, and not as votes. Shares with two digits may be
as far from it, such as 0.33, 0.33 and 0.33. They are divided by their sum, too."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

FORM = "write label:share"


class ShareError(ValueError):
    """A line of a label file does not divide a text among labels. The message says what is wrong with it."""


@dataclass(frozen=True)
class SharesOfLine:
    """What a line says.

    Attributes:
        ids: the classes that it names.
        shares: their shares, which add up to 1.
        are_votes: whether the numbers in the line add up to something else.
    """

    ids: tuple[int, ...]
    shares: tuple[float, ...]
    are_votes: bool


def shares_of_line(line: str, separator: str, id_of: Callable[[str], int]) -> SharesOfLine:
    """Reads a line.

    Args:
        line: the line.
        separator: what stands between two labels with their shares.
        id_of: returns the class of a label; it may raise an error of its own for an unknown one.

    Raises:
        ShareError: for the first thing that is wrong.
    """
    ids, numbers = list[int](), list[float]()
    fields = split_labels(line, separator)
    if not fields:
        raise ShareError(f"an empty line; {FORM}, such as refund:0.8")
    for field in fields:
        if is_blank(field):
            raise ShareError(f"nothing beside a separator ({separator!r}); remove one of the two")
        label, colon, number = (part.strip() for part in field.rpartition(":"))
        if not colon:
            raise ShareError(f"{short_label(field)} has no share; {FORM}, such as {field[:40]}:1")
        if is_blank(label):
            raise ShareError(f"{short_label(field)} has no label before the colon; {FORM}")
        numbers.append(_share(label, number))
        index = id_of(label)
        if index in ids:
            raise ShareError(f"the label {short_label(label)} occurs twice in this line; add up its shares")
        ids.append(index)
    largest = max(numbers)
    if not largest:
        raise ShareError("the shares add up to 0; give at least one label a share above 0")
    # by the largest first, because the sum of the numbers themselves may be infinite
    relative = [number / largest for number in numbers]
    total = sum(relative)
    shares = tuple(number / total for number in relative)
    return SharesOfLine(tuple(ids), shares, abs(total * largest - 1) > TOLERANCE)


def _share(label: str, number: str) -> float:
    """Returns the number of a share or a vote, from 0 on."""
    value = float(number) if NUMBER.fullmatch(number) else np.nan
    if not np.isfinite(value) or value < 0:
        wanted = "a finite number from 0 on, with a decimal point, such as 0.8"
        raise ShareError(f"the share of {short_label(label)} is {short_label(number)}; write {wanted}")
    return value


def votes_in(lines: Lines, rows: Sequence[int]) -> str:
    """Returns a warning of lines whose numbers do not add up to 1.

    Args:
        lines: the lines of the label file.
        rows: the indices of those lines, from 0; at least one.
    """
    many = counted(len(rows), lines.words.line)
    return (
        f"{lines.name}: the shares of {many} do not add up to 1; they are taken as votes and divided by "
        f"their sum{at(lines, rows)}"
    )


class ShareReader(Reader):
    """Reads label files whose lines hold labels with shares.

    Args:
        separator: the text between two labels with their shares, which no label contains.
    """

    def __init__(self, separator: str) -> None:
        super().__init__()
        self.separator = separator
        self._votes: list[int] = []

    def warn_format(self, pair: Pair, warnings: list[str], /) -> None:
        """Warns about lines of votes in the file that was read last, and about labels that look like several
        shares with another separator."""
        lines = pair.label_lines
        if self._votes:
            warnings.append(votes_in(lines, self._votes))
        inside = (one for one in self.labels.names if INSIDE.search(one))
        if label := next(inside, None):
            warnings.append(
                f"{lines.name}: the label {short_label(label)} looks like several labels with shares, and "
                f"the separator is {self.separator!r}; set data.label_separator"
            )

    def read(self, lines: Lines, texts: Lines, known_from: str | None) -> ClassShares:
        """Reads the shares of each line. Arguments and errors are those of `LabelReader.read`."""
        found: list[tuple[Sequence[int], Sequence[float]]] = []
        known: dict[str, SharesOfLine] = {}
        self._votes = []
        for start, block in self._blocks(lines):
            for i, line in enumerate(block):
                one = known.get(line)
                if one is None:
                    one = known[line] = self._line(lines.where(start + i), line, texts, known_from)
                if one.are_votes:
                    self._votes.append(start + i)
                found.append((one.ids, one.shares))
        return ClassShares.of_lines(found, len(self.labels))

    def _line(self, where: str, line: str, texts: Lines, known_from: str | None) -> SharesOfLine:
        def id_of(label: str) -> int:
            if self.labels.get(label) is None:
                self._add(where, label, texts, known_from)
            index = self.labels.get(label)
            assert index is not None
            return index

        try:
            return shares_of_line(line, self.separator, id_of)
        except ShareError as error:
            raise DataError(where, f"{error}{header_hint(where, line)}") from None

    def check(self, lines: Lines, targets: LineTargets) -> None:
        """Raises DataError if there is one label, a label without a share, or one distribution; or if the
        labels are too long."""
        line, name, labels = lines.words.line, lines.name, self.labels.names
        if len(labels) == 1:
            only = short_label(labels[0])
            raise DataError(name, f"every {line} has only the label {only}; two different ones are needed")
        missing = np.flatnonzero(targets.counts(len(labels)) == 0)
        if len(missing):
            label = short_label(labels[int(missing[0])])
            raise DataError(name, f"the label {label} has the share 0 in every {line}; leave it out")
        if len(np.unique(targets.distinct_ids_N)) == 1:
            raise DataError(name, f"every {line} has the same shares; two different {line}s are needed")
        self._check_size(name)

    def line_names(self, targets: LineTargets) -> Sequence[str]:
        """Returns each different distribution as a line would write it, in the order of their ids."""
        names = []
        for row in np.unique(targets.distinct_ids_N, return_index=True)[1].tolist():
            (shares_C,) = targets.values(np.array([row]))
            pairs = ((self.labels.names[i], float(shares_C[i])) for i in targets.classes_of(row))
            names.append(self.separator.join(f"{label}:{share:.4g}" for label, share in pairs))
        return names


INSIDE = re.compile(r":\s*\d*\.?\d+\s*[,;|/ ]")
"""A label with a share and a separator in it, such as `refund:0.8,card`."""
