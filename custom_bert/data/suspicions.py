"""Warns about files that can be used but look like a mistake: a header, columns of a table, JSON, missing
values.

The user may want any of these, so they are warnings and never errors. The checks look at the first lines and
at the different labels, so that a million lines cost about as much as a thousand.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from custom_bert.data.columns import TEXT_COLUMNS, header_way_out, names_columns
from custom_bert.data.labels import all_numbers, short_label
from custom_bert.data.line_formats import (
    FEWEST,
    SEPARATORS,
    are_indicators,
    column_text,
    common_separator,
    ends_with_separator,
    has_fraction,
    has_label,
    has_one_tab,
    is_fasttext,
    is_quoted,
    is_structured,
)
from custom_bert.data.lines import Lines, at
from custom_bert.errors import shown
from custom_bert.phrases import counted

SAMPLE = 1000
"""The number of lines of a file that are looked at."""

MANY_VALUES = 20
"""More different numbers than this, some with a fraction, look like measured values. Fewer may be ranks."""

REPEATED = 5
"""From this many lines a label on average, numbers with a fraction count as names, such as those of sections
or versions. A measured value hardly occurs so often."""

MISSING = ("nan", "NaN", "None", "null", "NULL", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT")
"""The ways in which pandas, Python, R, spreadsheets and databases write a missing value."""

ONE_TAB = ("hold one tab", "the texts on both sides of it would be read as one")
"""What lines of pairs look like, and what happens with them as single texts, for messages."""

LEAKS = "the model would see the label in the text"
"""The consequence of a label on the line of its text, for messages."""


@dataclass(frozen=True)
class Pair:
    """A text file and its label file, as the checks see them.

    Attributes:
        texts, label_lines: the lines of the two files, or of two columns of a table.
        first_texts: up to `SAMPLE` lines of the text file.
        labels: the different lines of a label file, by id. Some may occur only in another file.
        label_ids_N: (N,) the id of each line of the label file.
        hashes_N: (N,) a hash of each text; equal texts have equal hashes.
    """

    texts: Lines
    label_lines: Lines
    first_texts: Sequence[str]
    labels: Sequence[str]
    label_ids_N: np.ndarray
    hashes_N: np.ndarray

    def counts(self) -> list[tuple[str, int]]:
        """Returns the labels that occur, in the order of their ids, each with its number of lines."""
        counts = np.bincount(self.label_ids_N, minlength=len(self.labels)).tolist()
        return [(label, count) for label, count in zip(self.labels, counts, strict=True) if count]

    def place_of(self, label: str) -> str:
        """Returns the place of the first line with a label."""
        return self.label_lines.where(int(np.argmax(self.label_ids_N == self.labels.index(label))))


Suspicion = Callable[[Pair, list[str]], None]
"""A check. It appends a line to the warnings for each possible mistake, with the file, the line and the way
out."""


def suspicions(pair: Pair, about_labels: Suspicion) -> list[str]:
    """Runs all checks, and returns a line for each possible mistake, with the file, the line and the way out.

    Args:
        pair: the two files.
        about_labels: the check of the format of the labels.
    """
    warnings: list[str] = []
    for warn in (warn_header, warn_text_format, about_labels, warn_missing):
        warn(pair, warnings)
    return warnings


def warn_header(pair: Pair, warnings: list[str]) -> None:
    """Warns if the first line, and no other one like it, is the name of a column."""
    text, label = pair.first_texts[0], pair.labels[pair.label_ids_N[0]]
    in_texts = names_columns(text, TEXT_COLUMNS) and int((pair.hashes_N == pair.hashes_N[0]).sum()) == 1
    in_labels = names_columns(label) and int((pair.label_ids_N == pair.label_ids_N[0]).sum()) == 1
    words = pair.texts.words
    way_out = header_way_out(words)
    if in_texts and in_labels:
        warnings.append(
            f"{pair.texts.where(0)} and {pair.label_lines.where(0)}: {shown(text)} and {short_label(label)} "
            f"look like a header, the names of two columns; {way_out}"
        )
    elif in_texts or in_labels:
        lines, line = (pair.texts, text) if in_texts else (pair.label_lines, label)
        warnings.append(
            f"{lines.where(0)}: {shown(line)} looks like a header, the name of a column, "
            f"and no other {words.line} holds it; {way_out}"
        )


def warn_text_format(pair: Pair, warnings: list[str]) -> None:
    """Warns if texts look like the lines of another format. Only the first format that fits is reported."""
    texts, lines = pair.first_texts, pair.texts
    warning = (
        _about_lines(
            lines, texts, is_structured, "look like JSON", "brackets and names would be read as words"
        )
        or _about_lines(lines, texts, is_fasttext, "begin with a label, as fastText's files do", LEAKS)
        or _label_column(pair)
        or _quoted(lines, texts)
        or _numbered(lines, texts)
    )
    if warning:
        warnings.append(f"{warning}; write the texts alone, one a {lines.words.line}")
    elif not lines.pairs and (warning := _about_lines(lines, texts, has_one_tab, *ONE_TAB)):
        warnings.append(f"{warning}; if they are pairs of texts, set data.pairs (docs/how-to/pairs.md)")
    elif len(pair.hashes_N) >= 10 and (pair.hashes_N == pair.hashes_N[0]).all():
        warnings.append(
            f"{lines.where(0)}: every text is {shown(texts[0])}, from which nothing can be learned"
        )


def warn_label_format(pair: Pair, warnings: list[str]) -> None:
    """Warns if single labels look like those of another format. Only the first format that fits is
    reported."""
    counts, lines = pair.counts(), pair.label_lines
    first = [pair.labels[i] for i in pair.label_ids_N[:SAMPLE].tolist()]
    line = lines.words.line
    classes = f"write one class a {line}, by name or number"
    names = [label for label, _ in counts]
    if are_indicators(names):
        warnings.append(
            f"{lines.where(0)}: the labels look like rows of zeros and ones, such as "
            f"{short_label(first[0])}; {classes}"
        )
    elif warning := _about_lines(lines, first, is_structured, "look like JSON", "each would be one label"):
        warnings.append(f"{warning}; {classes}")
    elif warning := _quoted(lines, first):
        warnings.append(f"{warning}; {classes}, without quotes")
    elif warning := _about_lines(
        lines, first, ends_with_separator, "end with a separator", "it would be kept"
    ):
        warnings.append(f"{warning}; {classes}")
    elif not all_numbers(names) and (separator := common_separator(counts)):
        label = next(name for name in names if separator in name)
        warnings.append(
            f"{pair.place_of(label)}: the labels look like several classes per {line}, such as "
            f"{short_label(label)}; each combination would be a class of its own; {classes}, or take "
            f"--task multi_label --data.label-separator {separator!r}"
        )
    elif (
        len(names) > MANY_VALUES
        and len(pair.label_ids_N) < REPEATED * len(names)
        and all_numbers(names)
        and (broken := list(filter(has_fraction, names)))
    ):
        warnings.append(
            f"{pair.place_of(broken[0])}: the labels look like measured values, {len(names):,} "
            f"different numbers such as {short_label(broken[0])}, each of which would be a class; "
            f"put them into a few classes, or take --task regression"
        )


def warn_set_format(pair: Pair, separator: str, warnings: list[str]) -> None:
    """Warns if lines of several labels look like another format, or as if they had another separator."""
    counts, lines = pair.counts(), pair.label_lines
    first = [pair.labels[i] for i in pair.label_ids_N[:SAMPLE].tolist()]
    sets = f"write the names of a {lines.words.line}'s labels, with the separator between them"
    parts = Counter[str]()
    for line, count in counts:
        for label in line.split(separator):
            parts[label] += count
    if are_indicators([line.replace(separator, " ") for line, _ in counts]):
        warnings.append(
            f"{lines.where(0)}: the labels look like rows of zeros and ones, such as "
            f"{short_label(first[0])}; {sets}"
        )
    elif warning := _about_lines(lines, first, is_structured, "look like JSON", "each would be one label"):
        warnings.append(f"{warning}; {sets}")
    elif warning := _quoted(lines, first):
        warnings.append(f"{warning}; {sets}, without quotes")
    elif other := common_separator([(label, count) for label, count in parts.items() if label]):
        label = next(name for name in parts if other in name)
        warnings.append(
            f"{lines.name}: labels such as {short_label(label)} look like several labels with {other!r} "
            f"between them, and the separator is {separator!r}; each would be one label; set "
            f"data.label_separator"
        )


def warn_missing(pair: Pair, warnings: list[str]) -> None:
    """Warns about labels and texts that mean a missing value in files that were made from tables."""
    # the texts are only known by their hashes; those of MISSING are made in the same process
    hashes = np.fromiter(map(hash, MISSING), dtype=np.int64, count=len(MISSING))
    ids = [i for i, label in enumerate(pair.labels) if label in MISSING]
    for lines, noun, values_N, names in (
        (pair.texts, "text", pair.hashes_N, dict(zip(hashes.tolist(), MISSING, strict=True))),
        (pair.label_lines, "label", pair.label_ids_N, {i: pair.labels[i] for i in ids}),
    ):
        rows = np.flatnonzero(np.isin(values_N, list(names))) if names else np.empty(0, dtype=np.int64)
        if len(rows):
            one, words = len(rows) == 1, lines.words
            those = f"that {words.line}" if one else f"those {words.line}s"
            written = list(dict.fromkeys(names[value] for value in values_N[rows].tolist()))
            warnings.append(
                f"{lines.where(int(rows[0]))}: {counted(len(rows), noun)} {'is' if one else 'are'} "
                f"{' or '.join(map(repr, written))}, which often means a missing value{at(lines, rows)}; "
                f"if it is one, remove {those}{words.from_both}"
            )


def _about_lines(
    lines: Lines,
    first: Sequence[str],
    fits: Callable[[str], bool],
    look: str,
    consequence: str,
    *,
    most: bool = True,
) -> str:
    """Returns the beginning of a warning about the lines that fit; "" if they are too few.

    Args:
        lines: the file, or the column of a table.
        first: its first lines.
        fits: whether a line has the suspected format.
        look: what such lines look like.
        consequence: what would happen with them.
        most: whether more than half of the lines have to fit; otherwise `FEWEST` are enough.
    """
    fitting = [i for i, line in enumerate(first) if fits(line)]
    if len(fitting) < FEWEST or (most and 2 * len(fitting) <= len(first)):
        return ""
    return (
        f"{lines.where(fitting[0])}: {len(fitting):,} of the first {len(first):,} {lines.words.line}s "
        f"{look}, such as {short_label(first[fitting[0]])}, and {consequence}"
    )


def _label_column(pair: Pair) -> str:
    """Returns the beginning of a warning if most texts begin or end with a separator and a label, or ""."""
    known = {column_text(label) for label, _ in pair.counts()} - {""}
    for separator, name in SEPARATORS.items():
        for last, look in ((True, f"end with {name} and a label"), (False, f"begin with a label and {name}")):
            fits = functools.partial(has_label, separator=separator, last=last, known=known)
            if warning := _about_lines(pair.texts, pair.first_texts, fits, look, LEAKS):
                return warning
    return ""


def _quoted(lines: Lines, first: Sequence[str]) -> str:
    """Returns the beginning of a warning if most lines are quoted as in CSV, or exactly those that need
    it."""
    look, consequence = "are in double quotes, as fields of CSV are", "the quotes would be kept"
    need = sum("," in line or '"' in line for line in first)
    just_those = sum(map(is_quoted, first)) == need >= max(FEWEST, len(first) // 20)
    return _about_lines(lines, first, is_quoted, look, consequence, most=not just_those)


def _numbered(lines: Lines, first: Sequence[str]) -> str:
    """Returns the beginning of a warning if lines begin with, or are, numbers that count up; otherwise "".

    The first line is not looked at, because it may be a header.
    """
    matches = [re.match(r"([0-9]{1,18})(?:[,;|\t]|$)", line) for line in first[1:]]
    numbers = [int(one[1]) for one in matches if one]
    if len(numbers) < max(10, len(matches)) or (np.diff(numbers) != 1).any():
        return ""
    alone = all(line.isdigit() for line in first[1:])
    return (
        f"{lines.where(1)}: the texts {'are' if alone else 'begin with'} running numbers, such as "
        f"{short_label(first[1])}"
    )
