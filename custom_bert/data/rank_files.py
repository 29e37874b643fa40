"""Reads label files of ranks: one label a line, of labels that have an order."""

from __future__ import annotations

from custom_bert.data.columns import header_hint
from custom_bert.data.label_files import ClassReader
from custom_bert.data.labels import LabelIds, label_order, nearest_label, short_label
from custom_bert.data.lines import Lines
from custom_bert.data.targets import LineTargets
from custom_bert.errors import DataError

MOST_RANKS = 1_000
"""The largest number of ranks. Numbers with more different values are a matter of regression."""


def parsed_order(order: str) -> list[str]:
    """Returns the labels of `data.label_order`, which have tabs or, if there is none, commas between them."""
    return [label.strip() for label in order.split("\t" if "\t" in order else ",")]


class RankReader(ClassReader):
    """Reads label files with one label a line, in an order that is given or that of the numbers.

    Args:
        order: the labels from the lowest rank to the highest; None for labels that are numbers.
    """

    def __init__(self, order: list[str] | None) -> None:
        super().__init__()
        self._order = None if order is None else LabelIds(order)
        self._values: dict[object, str] = {}

    def admit(self, where: str, label: str) -> None:
        """Raises DataError if a new label has no place in the order."""
        if self._order is not None:
            if self._order.get(label) is None:
                hint = header_hint(where, label) or nearest_label(label, self._order.names)
                raise DataError(where, f"label {short_label(label)} is not in data.label_order{hint}")
            return
        is_no_number, value, _ = label_order(label)
        if is_no_number:
            way_out = header_hint(where, label) or (
                "; give the order of the labels by data.label_order, from the lowest to the highest"
            )
            raise DataError(where, f"label {short_label(label)} is no number{way_out}")
        other = self._values.setdefault(value, label)
        if other != label:
            raise DataError(
                where,
                f"labels {short_label(other)} and {short_label(label)} are one number, so they have no "
                f"order; write it in one way",
            )

    def check(self, lines: Lines, targets: LineTargets) -> None:
        """Raises DataError if a label of the order does not occur, or what `ClassReader.check` refuses."""
        if self._order is not None:
            for label in self._order.names:
                if self.labels.get(label) is None:
                    raise DataError(
                        lines.name,
                        f"label {short_label(label)} of data.label_order never occurs; leave it out there",
                    )
        super().check(lines, targets)
        if len(self.labels) > MOST_RANKS:
            raise DataError(
                lines.name,
                f"{len(self.labels):,} different ranks, at most {MOST_RANKS:,} can be learned; take --task "
                f"regression",
            )

    def ordered(self) -> tuple[str, ...]:
        """Returns the labels from the lowest rank to the highest."""
        if self._order is None:
            return super().ordered()
        place = {label: self._order.get(label) or 0 for label in self.labels.names}
        return tuple(sorted(self.labels.names, key=place.__getitem__))
