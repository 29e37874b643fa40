"""Label files: what a label may be, and the messages for those that cannot be one."""

from __future__ import annotations

import itertools
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

import numpy as np

from custom_bert.data.columns import header_hint
from custom_bert.data.text import LineReader, composed, is_blank
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


def read_labels(
    reader: LineReader, labels: LabelIds, known_from: str | None, texts_path: str
) -> tuple[np.ndarray, int]:
    """(label ids in order of first sight, characters); new labels are added to `labels`."""
    ids, characters = [], 0
    for block in reader.blocks():
        start = reader.num_lines - len(block)
        characters += sum(map(len, block))
        distinct = set(block)
        new = {label for label in distinct if labels.get(label) is None}
        for i, label in enumerate(block if new else ()):
            if label in new and labels.get(label) is None:
                where = f"{reader.path}:{start + i + 1}"
                _check_label(where, label)
                if known_from is not None:
                    raise _unknown_label(where, label, labels.names, known_from, texts_path)
                labels.add(label)
        id_of = {label: labels.get(label) for label in distinct}
        ids.append(np.fromiter(map(id_of.__getitem__, block), dtype=np.int32, count=len(block)))
    return np.concatenate(ids), characters


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
        _check_label("", label)
        label.encode("utf-8")
    except (DataError, UnicodeEncodeError):
        return False
    return "\n" not in label


def _check_label(where: str, label: str) -> None:
    if is_blank(label):
        raise DataError(where, "empty label; write one, or remove the line from both files")
    if len(label) > MAX_LABEL_CHARACTERS:
        raise DataError(where, f"a label of {len(label):,} characters; are texts and labels swapped?")
    if "\t" in label:
        raise DataError(
            where,
            f"label {short_label(label)} holds a tab, which separates label and probability in predictions",
        )
    if "\r" in label:
        raise DataError(where, f"label {short_label(label)} holds a CR; end every line with LF or CR LF")


def _unknown_label(
    where: str, label: str, labels: Sequence[str], known_from: str, texts_path: str
) -> DataError:
    first_texts = next(LineReader(texts_path).blocks())[:100]
    if set(labels) >= set(first_texts):
        return DataError(
            where, f"the labels look like texts and {texts_path} like labels; are the two files swapped?"
        )
    hint = header_hint(where, label) or nearest_label(label, labels)
    return DataError(where, f"label {short_label(label)} never occurs in {known_from}{hint}")


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


def check_not_swapped(
    texts_path: str,
    labels_path: str,
    label_ids: np.ndarray,
    labels: Collection[str],
    label_characters: int,
    text_characters: int,
    hashes: np.ndarray,
) -> None:
    """Raises DataError if the two files seem to have changed places, or labels are no classes."""
    num_labels = len(labels)
    if label_characters > 2 * text_characters and len(np.unique(hashes)) < num_labels:
        raise DataError(
            f"{labels_path}:1",
            f"the labels look like texts and {texts_path} like labels; are the two files swapped?",
        )
    found = f"{num_labels:,} different ones in {len(label_ids):,} lines"
    too_many = f"; at most {MAX_LABELS:,} can be learned" if num_labels > MAX_LABELS else ""
    if num_labels > len(label_ids) // 2 and len(label_ids) >= 20:
        if all_numbers(labels):
            raise DataError(
                f"{labels_path}:1",
                f"the labels look like numbers that measure or count: {found}, such as "
                f"{short_label(list(labels)[1])}; put them into a few classes",
            )
        raise DataError(f"{labels_path}:1", f"the labels look like texts: {found}{too_many}")
    if too_many:
        raise DataError(f"{labels_path}:1", f"too many labels: {found}{too_many}")


def check_size(labels_path: str, labels: Iterable[str]) -> None:
    """Raises DataError if the different labels are together too long for the files of a run."""
    size = sum(len(json.dumps(label, ensure_ascii=False).encode()) for label in labels)
    if size > MAX_LABELS_BYTES:
        raise DataError(
            labels_path,
            f"the different labels take {size:,} bytes together, of at most {MAX_LABELS_BYTES:,}; "
            "write shorter ones, numbers, say",
        )


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


def label_counts(label_ids_N: np.ndarray, labels: Sequence[str]) -> dict[str, int]:
    """Examples of each label, in label order."""
    counts = Counter(label_ids_N.tolist())
    return {label: counts.get(i, 0) for i, label in enumerate(labels)}


def shown_label(label: str) -> str:
    """As it is if a terminal can show it."""
    return label if len(label) <= 40 and label.isprintable() else short_label(label)
