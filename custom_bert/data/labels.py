"""Label files: what a label may be, and the messages for those that cannot be one."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from custom_bert.data.columns import header_hint
from custom_bert.data.text import LineReader
from custom_bert.errors import DataError, did_you_mean

MAX_LABELS = 65_536
MAX_LABEL_CHARACTERS = 1_000


def read_labels(
    reader: LineReader, labels: dict[str, int], known_from: str | None, texts_path: str
) -> tuple[np.ndarray, int]:
    """(label ids in order of first sight, characters); new labels are added to `labels`."""
    ids, characters = [], 0
    for block in reader.blocks():
        start = reader.num_lines - len(block)
        characters += sum(map(len, block))
        if not labels.keys() >= set(block):
            for i, label in enumerate(block):
                if label not in labels:
                    where = f"{reader.path}:{start + i + 1}"
                    _check_label(where, label)
                    if known_from is not None:
                        raise _unknown_label(where, label, labels, known_from, texts_path)
                    labels[label] = len(labels)
        ids.append(np.fromiter(map(labels.__getitem__, block), dtype=np.int32, count=len(block)))
    return np.concatenate(ids), characters


def is_label(label: str) -> bool:
    """Whether training would take it: one line, no tab, text that can be written as UTF-8."""
    try:
        _check_label("", label)
        label.encode("utf-8")
    except (DataError, UnicodeEncodeError):
        return False
    return "\n" not in label


def _check_label(where: str, label: str) -> None:
    if not label.strip():
        raise DataError(where, "empty label; write one or remove the line")
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
    where: str, label: str, labels: dict[str, int], known_from: str, texts_path: str
) -> DataError:
    first_texts = next(LineReader(texts_path).blocks())[:100]
    if labels.keys() >= set(first_texts):
        return DataError(
            where, f"the labels look like texts and {texts_path} like labels; are the two files swapped?"
        )
    hint = header_hint(where, label) or _nearest(label, list(labels))
    return DataError(where, f"label {short_label(label)} never occurs in {known_from}{hint}")


def _nearest(label: str, labels: Sequence[str]) -> str:
    by_form = {folded(known): known for known in labels}
    if folded(label) in by_form:
        return f" (did you mean {short_label(by_form[folded(label)])}?)"
    return did_you_mean(label, labels) if len(labels) <= 5_000 else ""


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
    if (num_labels > len(label_ids) // 2 and len(label_ids) >= 20) or num_labels > MAX_LABELS:
        counts = f"{num_labels:,} different ones in {len(label_ids):,} lines"
        if all_numbers(labels):
            raise DataError(
                f"{labels_path}:1",
                f"the labels look like numbers that measure or count: {counts}, such as "
                f"{short_label(list(labels)[1])}; put them into a few classes",
            )
        raise DataError(f"{labels_path}:1", f"the labels look like texts: {counts}")


def all_numbers(labels: Collection[str]) -> bool:
    """Whether all labels are numbers, but for one that may be a header."""
    others = (label for label in labels if as_number(label) is None)
    return len(list(itertools.islice(others, 2))) < 2


def as_number(label: str) -> float | None:
    """The finite number that a label writes, with a decimal point or comma; None if it is none."""
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
