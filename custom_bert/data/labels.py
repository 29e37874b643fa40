"""Labels: which strings can be labels, in which order they are numbered, and how messages show them."""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

from custom_bert.data.lines import LINES, Wording
from custom_bert.data.text import composed, is_blank
from custom_bert.errors import DataError, did_you_mean

MAX_LABELS = 65_536
MAX_LABEL_CHARACTERS = 1_000

MAX_LABELS_BYTES = 1 << 23
"""Largest number of bytes of all different labels together, as JSON writes them. run.json holds the labels
three times and the config.json of an export twice, and a larger file than `files.LARGEST_JSON` cannot be read
again."""

SEARCHED_CHARACTERS = 1 << 18
"""The label nearest to an unknown one is only looked for if all labels together have at most this many
characters. The search compares the unknown label with each of them, which takes up to two seconds at this
size."""


class LabelIds:
    """Labels and their ids. Spellings that are equal in Unicode's composed form are one label.

    Args:
        names: the labels, in the order of their ids.

    Attributes:
        names: the labels in the order of their ids, each as it was first written.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = list(names)
        self._ids = {composed(name): i for i, name in enumerate(self.names)}
        self._ids |= {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def get(self, label: str) -> int | None:
        """Returns the id of a label; None if it is unknown."""
        label_id = self._ids.get(label)
        if label_id is None and not label.isascii():
            label_id = self._ids.get(composed(label))
            if label_id is not None:
                self._ids[label] = label_id  # so that the next label of this spelling is found at once
        return label_id

    def add(self, label: str) -> None:
        """Gives a new label the next id."""
        self._ids[label] = self._ids[composed(label)] = len(self.names)
        self.names.append(label)


SHOWN = 12
"""The number of labels that `labels_by_id` shows."""


def labels_by_id(labels: Sequence[str]) -> str:
    """Returns a line that shows the labels in the order of their ids, or the first `SHOWN` of them."""
    named = ", ".join(shown_label(label) for label in labels[:SHOWN])
    more = f", ... and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else ""
    return f"labels by id, from 0: {named}{more}"


THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")


def label_order(label: str) -> tuple[bool, Decimal, str]:
    """Returns a key to sort labels by: numbers by their value, before all other labels.

    A comma separates thousands or decimals, as in 1,000 and 0,5.
    """
    plain = label.replace(",", "") if THOUSANDS.fullmatch(label) else label.replace(",", ".")
    try:
        number = Decimal(plain)  # a float would make long ids equal that differ in their last digits
    except ArithmeticError:
        return True, Decimal(0), label
    return (False, number, label) if number.is_finite() else (True, Decimal(0), label)


def is_label(label: str) -> bool:
    """Returns whether training accepts a string as a label: one line without a tab, which UTF-8 can
    encode."""
    try:
        check_label("", label)
        label.encode("utf-8")
    except (DataError, UnicodeEncodeError):
        return False
    return True


def check_label(where: str, label: str, words: Wording = LINES) -> None:
    """Raises DataError, at the place `where`, if a string cannot be a label.

    Args:
        where: the place of the label.
        label: the label.
        words: how messages speak of lines.
    """
    if is_blank(label):
        raise DataError(where, f"empty label; write one, or remove the {words.line}{words.from_both}")
    if len(label) > MAX_LABEL_CHARACTERS:
        raise DataError(where, f"a label of {len(label):,} characters; are texts and labels swapped?")
    if "\n" in label:
        raise DataError(where, f"label {short_label(label)} holds a line break; write labels of one line")
    if "\t" in label and all(map(SHARE.fullmatch, label.split("\t"))):
        raise DataError(
            where, f"label {short_label(label)} looks like shares of labels; take --task soft_labels"
        )
    if "\t" in label:
        raise DataError(
            where,
            f"label {short_label(label)} holds a tab; to learn several labels a {words.line}, separated by "
            f"tabs, take --task multi_label",
        )
    if "\r" in label:
        raise DataError(
            where, f"label {short_label(label)} holds a CR; end every {words.line} with LF or CR LF"
        )


SHARE = re.compile(r".+:\s*\d*\.?\d+\s*")
"""A label with its share of a text, such as `refund:0.8`."""


def nearest_label(label: str, labels: Sequence[str]) -> str:
    """Returns `" (did you mean 'x'?)"` with the label that looks the same or is closest; "" if none is close.

    Among very many labels (`SEARCHED_CHARACTERS`) only one that looks the same is found.
    """
    by_form = {folded(known): known for known in labels}
    if folded(label) in by_form:
        return f" (did you mean {short_label(by_form[folded(label)])}?)"
    return did_you_mean(label, labels) if sum(map(len, labels)) <= SEARCHED_CHARACTERS else ""


def folded(label: str) -> str:
    """Returns a label without differences that are easily overlooked.

    These are case, surrounding space, full width, ligatures and invisible joiners.
    """
    shown = "".join(letter for letter in label if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", shown).strip().casefold()


def all_numbers(labels: Collection[str]) -> bool:
    """Returns whether all labels, or all except one, are numbers. The one may be a header."""
    others = (label for label in labels if as_number(label) is None)
    return len(list(itertools.islice(others, 2))) < 2


def as_number(label: str) -> float | None:
    """Returns the finite number that a label is, with a decimal point or comma; None if it is no number."""
    try:
        value = float(label.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def short_label(label: str) -> str:
    """Returns a label in quotes, shortened to 40 characters."""
    return repr(label if len(label) <= 40 else label[:37] + "...")


def shown_label(label: str) -> str:
    """Returns a label as it is if it is short and printable, and otherwise `short_label` of it."""
    return label if len(label) <= 40 and label.isprintable() else short_label(label)
