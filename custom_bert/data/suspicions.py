"""What looks like a mistake in files that can be used: a header, columns of a table, JSON, missing values.

Each of it may be what the user wants, so it is a warning and never an error. It is told from the first lines
and from the different labels, so that a million lines cost no more than a thousand.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from custom_bert.data.columns import HEADER_WAY_OUT, TEXT_COLUMNS, names_columns
from custom_bert.data.labels import all_numbers, as_number, short_label
from custom_bert.data.phrases import at_lines, counted
from custom_bert.errors import shown

SAMPLE = 1000
"""Lines that are looked at."""

FEWEST = 3
"""Lines that make a suspicion about most lines."""

MANY_VALUES = 20
"""Different numbers with a fraction that are more than ranks."""

REPEATED = 5
"""Lines a label, in the mean, from which numbers with a fraction are names, as those of sections or versions:
a measured value hardly occurs so often."""

FASTTEXT = "__label__"
"""How fastText's format begins a label, on the line of its text."""

MISSING = ("nan", "NaN", "None", "null", "NULL", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT")
"""How pandas, Python, R, spreadsheets and databases write a missing value."""

LEAKS = "the model would see the label in the text"

SEPARATORS = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a vertical bar"}


@dataclass(frozen=True)
class Pair:
    """A text file and its labels, of which something may be suspected.

    Attributes:
        texts_path, labels_path: the two files.
        first_texts: up to `SAMPLE` lines.
        labels: the different labels, by id; not each of them has to occur.
        label_ids_N: (N,) of the lines.
        hashes_N: (N,) of the texts; equal texts have equal hashes.
    """

    texts_path: str
    labels_path: str
    first_texts: Sequence[str]
    labels: Sequence[str]
    label_ids_N: np.ndarray
    hashes_N: np.ndarray

    def counts(self) -> list[tuple[str, int]]:
        """The labels that occur, in the order of their ids, with their lines' number."""
        counts = np.bincount(self.label_ids_N, minlength=len(self.labels)).tolist()
        return [(label, count) for label, count in zip(self.labels, counts, strict=True) if count]

    def line_of(self, label: str) -> int:
        """The first line (from 1) with a label."""
        return int(np.argmax(self.label_ids_N == self.labels.index(label))) + 1


def suspicions(pair: Pair) -> list[str]:
    """One line for each suspicion, with the file, the line and the way out."""
    warnings: list[str] = []
    for warn in (warn_header, warn_text_format, warn_label_format, warn_missing):
        warn(pair, warnings)
    return warnings


def warn_header(pair: Pair, warnings: list[str]) -> None:
    """A first line that names a column, as no other line does."""
    text, label = pair.first_texts[0], pair.labels[pair.label_ids_N[0]]
    in_texts = names_columns(text, TEXT_COLUMNS) and int((pair.hashes_N == pair.hashes_N[0]).sum()) == 1
    in_labels = names_columns(label) and int((pair.label_ids_N == pair.label_ids_N[0]).sum()) == 1
    if in_texts and in_labels:
        warnings.append(
            f"{pair.texts_path}:1 and {pair.labels_path}:1: {shown(text)} and {short_label(label)} "
            f"look like a header, the names of two columns; {HEADER_WAY_OUT}"
        )
    elif in_texts or in_labels:
        path, line = (pair.texts_path, text) if in_texts else (pair.labels_path, label)
        warnings.append(
            f"{path}:1: {shown(line)} looks like a header, the name of a column, "
            f"and no other line holds it; {HEADER_WAY_OUT}"
        )


def warn_text_format(pair: Pair, warnings: list[str]) -> None:
    """Texts that look like the lines of another format; the first that fits is told."""
    texts, path = pair.first_texts, pair.texts_path
    found = (
        _told(path, texts, _is_structured, "look like JSON", "brackets and names would be read as words")
        or _told(path, texts, _is_fasttext, "begin with a label, as fastText's files do", LEAKS)
        or _label_column(pair)
        or _quoted(path, texts)
        or _numbered(path, texts)
    )
    if found:
        warnings.append(f"{found}; write the texts alone, one a line")
    elif len(pair.hashes_N) >= 10 and (pair.hashes_N == pair.hashes_N[0]).all():
        warnings.append(f"{path}:1: every text is {shown(texts[0])}, from which nothing can be learned")


def warn_label_format(pair: Pair, warnings: list[str]) -> None:
    """Labels that look like those of another format; the first that fits is told."""
    counts, path = pair.counts(), pair.labels_path
    first = [pair.labels[i] for i in pair.label_ids_N[:SAMPLE].tolist()]
    classes = "write one class a line, by name or number"
    names = [label for label, _ in counts]
    if _are_indicators(names):
        warnings.append(
            f"{path}:1: the labels look like rows of zeros and ones, as {short_label(first[0])}; {classes}"
        )
    elif found := _told(path, first, _is_structured, "look like JSON", "each would be one label"):
        warnings.append(f"{found}; {classes}")
    elif found := _quoted(path, first):
        warnings.append(f"{found}; {classes}, without quotes")
    elif found := _told(path, first, _ends_with_separator, "end with a separator", "it would be kept"):
        warnings.append(f"{found}; {classes}")
    elif not all_numbers(names) and (separator := _combined(counts)):
        label = next(name for name in names if separator in name)
        warnings.append(
            f"{path}:{pair.line_of(label)}: the labels look like several classes per line, as "
            f"{short_label(label)}; each combination would be a class of its own; {classes}"
        )
    elif (
        len(names) > MANY_VALUES
        and len(pair.label_ids_N) < REPEATED * len(names)
        and all_numbers(names)
        and (broken := list(filter(_has_fraction, names)))
    ):
        warnings.append(
            f"{path}:{pair.line_of(broken[0])}: the labels look like measured values, {len(names):,} "
            f"different numbers such as {short_label(broken[0])}, each of which would be a class; "
            f"put them into a few classes"
        )


def warn_missing(pair: Pair, warnings: list[str]) -> None:
    """Labels and texts that stand for a missing value where files are made from tables."""
    hashes = np.fromiter(map(hash, MISSING), dtype=np.int64, count=len(MISSING))
    ids = [i for i, label in enumerate(pair.labels) if label in MISSING]
    for path, noun, values_N, names in (
        (pair.texts_path, "text", pair.hashes_N, dict(zip(hashes.tolist(), MISSING, strict=True))),
        (pair.labels_path, "label", pair.label_ids_N, {i: pair.labels[i] for i in ids}),
    ):
        rows = np.flatnonzero(np.isin(values_N, list(names))) if names else np.empty(0, dtype=np.int64)
        if len(rows):
            said = list(dict.fromkeys(names[value] for value in values_N[rows].tolist()))
            warnings.append(
                f"{path}:{rows[0] + 1}: {counted(len(rows), noun)} {'is' if len(rows) == 1 else 'are'} "
                f"{' or '.join(map(repr, said))}, which often means a missing value{at_lines(rows + 1)}; "
                f"if it is one, remove {'that line' if len(rows) == 1 else 'those lines'} from both files"
            )


def _told(
    path: str,
    lines: Sequence[str],
    fits: Callable[[str], bool],
    look: str,
    consequence: str,
    *,
    most: bool = True,
) -> str:
    """What most lines look like, or at least some, with the first of them; "" if they do not."""
    found = [i for i, line in enumerate(lines) if fits(line)]
    if len(found) < FEWEST or (most and 2 * len(found) <= len(lines)):
        return ""
    return (
        f"{path}:{found[0] + 1}: {len(found):,} of the first {len(lines):,} lines {look}, as "
        f"{short_label(lines[found[0]])}, and {consequence}"
    )


def _is_structured(line: str) -> bool:
    """Whether a line is an object or a list of JSON, or looks like one that Python's print has written."""
    line = line.strip().removesuffix(",")  # inside a list that is written over several lines
    if line[:1] + line[-1:] not in ("{}", "[]"):
        return len(line) > 2 and line[0] == line[-1] == '"' and "\\" in line and _is_json(line)
    if line[1:2] == "'":
        return line[0] == "{" or line[-2] == "'"
    return _is_json(line)


def _is_fasttext(line: str) -> bool:
    return line.startswith(FASTTEXT)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _label_column(pair: Pair) -> str:
    """Whether most texts begin or end with a separator and a label."""
    known = {_field(label) for label, _ in pair.counts()} - {""}
    for separator, name in SEPARATORS.items():
        for last, look in ((True, f"end with {name} and a label"), (False, f"begin with a label and {name}")):
            fits = functools.partial(_has_label, separator=separator, last=last, known=known)
            if found := _told(pair.texts_path, pair.first_texts, fits, look, LEAKS):
                return found
    return ""


def _has_label(line: str, *, separator: str, last: bool, known: Collection[str]) -> bool:
    """Whether the last column of a line, or its first, is one of the labels."""
    before, found, after = line.rpartition(separator) if last else line.partition(separator)
    return bool(found) and _field(after if last else before) in known


def _field(field: str) -> str:
    """Without the spaces and quotes around it."""
    return field.strip().strip('"')


def _quoted(path: str, lines: Sequence[str]) -> str:
    """Whether lines are quoted as in CSV: most of them, or just those that need it there."""
    look, consequence = "stand in double quotes, as fields of CSV do", "the quotes would be kept"
    need = sum("," in line or '"' in line for line in lines)
    just_those = sum(map(_is_quoted, lines)) == need >= max(FEWEST, len(lines) // 20)
    return _told(path, lines, _is_quoted, look, consequence, most=not just_those)


def _is_quoted(line: str) -> bool:
    inside = line[1:-1]
    return len(line) > 2 and line[0] == line[-1] == '"' and '"' not in inside.replace('""', "")


def _numbered(path: str, lines: Sequence[str]) -> str:
    """Whether lines begin with numbers that count up, or are such numbers; the first line may be a header."""
    found = [re.match(r"([0-9]{1,18})(?:[,;|\t]|$)", line) for line in lines[1:]]
    numbers = [int(one[1]) for one in found if one]
    if len(numbers) < max(10, len(found)) or (np.diff(numbers) != 1).any():
        return ""
    alone = all(line.isdigit() for line in lines[1:])
    return (
        f"{path}:2: the texts {'are' if alone else 'begin with'} running numbers, as {short_label(lines[1])}"
    )


def _are_indicators(labels: Sequence[str]) -> bool:
    """Whether labels are rows of zeros and ones, all of one length."""
    lengths = set()
    for label in labels:
        row = re.split(r"[\s,;]+", label.strip(" []()"))
        if len(row) < 2 or not set(row) <= {"0", "1", "0.0", "1.0"}:
            return False
        lengths.add(len(row))
    return len(lengths) == 1


def _has_fraction(label: str) -> bool:
    return bool((as_number(label) or 0) % 1)


def _ends_with_separator(label: str) -> bool:
    return label.endswith((",", ";", "|"))


def _combined(counts: Sequence[tuple[str, int]]) -> str:
    """The separator by which most lines are one or several of the same few parts; "" if there is none.

    Parts recur in several combinations, and lines differ in how many they have: a name with a comma in it,
    or a pair of two properties, is a label.
    """
    for separator in SEPARATORS:
        rows = [([part.strip() for part in label.split(separator)], count) for label, count in counts]
        if sum(len(parts) > 1 for parts, _ in rows) < FEWEST:
            continue
        uses = Counter(part for parts, _ in rows for part in parts)
        few = {part for part, labels in uses.items() if labels > 1}
        combined = [(parts, count) for parts, count in rows if few.issuperset(parts)]
        joint = sum(len(parts) > 1 for parts, _ in combined)
        most = 2 * sum(count for _, count in combined) > sum(count for _, count in rows)
        if most and joint >= FEWEST and len(few) < len(rows) and len({len(parts) for parts, _ in rows}) > 1:
            return separator
    return ""
