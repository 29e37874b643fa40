"""Labels: what can be one, in which order they stand, and how messages name them."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from custom_bert.data.text import composed, is_blank
from custom_bert.errors import DataError, did_you_mean

MAX_LABELS = 65_536
MAX_LABEL_CHARACTERS = 1_000

MAX_LABELS_BYTES = 1 << 23
"""Bytes of all different labels together, as JSON writes them. run.json holds them three times and the
config.json of an export twice, and neither may become larger than what is read (`files.LARGEST_JSON`)."""

SEARCHED_CHARACTERS = 1 << 18
"""Characters of all labels together up to which the one nearest to an unknown label is looked for: it is
compared with each of them, which takes a second or two at the worst."""


class LabelIds:
    """Labels and their ids. Labels that are the same in Unicode's composed form are one label.

    Args:
        names: the labels, in the order of their ids.

    Attributes:
        names: each label as it was first written.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = list(names)
        self._ids = {composed(name): i for i, name in enumerate(self.names)}
        self._ids |= {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def get(self, label: str) -> int | None:
        """The id; None of an unknown label."""
        found = self._ids.get(label)
        if found is None and not label.isascii():
            found = self._ids.get(composed(label))
            if found is not None:
                self._ids[label] = found  # the next one of this spelling is found at once
        return found

    def add(self, label: str) -> None:
        """Gives a label that is not known the next id."""
        self._ids[label] = self._ids[composed(label)] = len(self.names)
        self.names.append(label)


SHOWN = 12
"""Labels that `labels_by_id` names."""


def labels_by_id(labels: Sequence[str]) -> str:
    """The labels in the order of their ids, or the first of them."""
    named = ", ".join(shown_label(label) for label in labels[:SHOWN])
    more = f", ... and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else ""
    return f"labels by id, from 0: {named}{more}"


THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


def label_order(label: str) -> tuple[bool, Decimal, str]:
    """A key to sort labels by: numbers by their value, before all other labels."""
    plain = label.replace(",", "") if THOUSANDS.fullmatch(label) else label.replace(",", ".")
    try:
        number = Decimal(plain)  # exact, whatever the number of digits
    except ArithmeticError:
        return True, Decimal(0), label
    return (False, number, label) if number.is_finite() else (True, Decimal(0), label)


def is_label(label: str) -> bool:
    """Whether training would take it: one line, no tab, text that can be written as UTF-8."""
    try:
        check_label("", label)
        label.encode("utf-8")
    except (DataError, UnicodeEncodeError):
        return False
    return "\n" not in label


def check_label(where: str, label: str) -> None:
    """Raises DataError, at `where`, for what cannot be a label."""
    if is_blank(label):
        raise DataError(where, "empty label; write one, or remove the line from both files")
    if len(label) > MAX_LABEL_CHARACTERS:
        raise DataError(where, f"a label of {len(label):,} characters; are texts and labels swapped?")
    if "\t" in label:
        raise DataError(
            where,
            f"label {short_label(label)} holds a tab; to learn several labels a line, separated by tabs, "
            f"take --task multi_label",
        )
    if "\r" in label:
        raise DataError(where, f"label {short_label(label)} holds a CR; end every line with LF or CR LF")


def nearest_label(label: str, labels: Sequence[str]) -> str:
    """`" (did you mean 'x'?)"` for the label that looks the same, or for the closest one where there are few
    enough to compare; nothing where none is close."""
    by_form = {folded(known): known for known in labels}
    if folded(label) in by_form:
        return f" (did you mean {short_label(by_form[folded(label)])}?)"
    return did_you_mean(label, labels) if sum(map(len, labels)) <= SEARCHED_CHARACTERS else ""


def folded(label: str) -> str:
    """Without what is easily overlooked: case, surrounding space, full width, ligatures, joiners."""
    shown = "".join(letter for letter in label if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", shown).strip().casefold()


def all_numbers(labels: Collection[str]) -> bool:
    """Whether all labels are numbers, but for one that may be a header."""
    others = (label for label in labels if as_number(label) is None)
    return len(list(itertools.islice(others, 2))) < 2


def as_number(label: str) -> float | None:
    """The finite number that a label writes, with a decimal point or comma; None if it writes none."""
    try:
        value = float(label.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def short_label(label: str) -> str:
    """In quotes, at most 40 characters of it."""
    return repr(label if len(label) <= 40 else label[:37] + "...")


def shown_label(label: str) -> str:
    """As it is if a terminal can show it."""
    return label if len(label) <= 40 and label.isprintable() else short_label(label)
