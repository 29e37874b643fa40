"""Reads texts with spans as JSON, an object a line: {"text": "Kim left", "spans": [{"start": 0, "end": 3,
"label": "PER"}]}.

`start` and `end` count characters (code points) from 0, and `end` is the index after the last character. The
list may be called "entities" too. A span may have its own "text", which is then checked, and any other key,
which is not read.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from custom_bert import files
from custom_bert.data.labels import is_label, short_label
from custom_bert.data.text import LineReader, is_blank
from custom_bert.data.words import words
from custom_bert.errors import DataError, shown
from custom_bert.phrases import at_lines, counted
from custom_bert.spans.conll import unknown_type
from custom_bert.spans.entity import Span
from custom_bert.spans.spanned import KnownTypes, SpannedTexts

LISTS = ("spans", "entities")
"""The names of the list of spans."""

WORDS = {"tokens", "words"}
"""Names under which other programs keep lists of words."""

NEEDED = ("start", "end", "label")
"""What every span has."""

EXAMPLE = '{"start": 0, "end": 3, "label": "PER"}'

LOOKED_AT = 1000
"""At the edges of this many spans the text is compared with its words."""

FEWEST = 3
"""Edges look wrong if at least this many spans have them."""


def read_json_spans(path: str | Path, known: KnownTypes | None = None) -> SpannedTexts:
    """Reads a file with one JSON object a line.

    Args:
        path: the file.
        known: the types of the training file; None to read the training file itself.

    Raises:
        DataError: for the first line that cannot be read, with its number.
    """
    reader = LineReader(path)
    reading = _Reading(str(path), known)
    number = 0
    for block in reader.blocks():
        for line in block:
            number += 1
            if line.strip():
                reading.add(line, number)
    if not reading.texts:
        raise DataError(str(path), "no line has a text")
    if known is None and not any(reading.spans):
        raise DataError(str(path), "no text has a span, so there is nothing to learn")
    return SpannedTexts(
        path=str(path),
        sha256=reader.sha256,
        texts=reading.texts,
        spans=reading.spans,
        strict=reading.spans,
        words=None,
        lines=reading.lines,
        document_of=list(range(len(reading.texts))),
        scheme=None,
        notes=reading.notes(),
    )


class _Reading:
    """What has been read of a file so far.

    Args:
        path: the file.
        known: the types that spans may have; None for any.
    """

    def __init__(self, path: str, known: KnownTypes | None) -> None:
        self._path, self._known = path, known
        self.texts: list[str] = []
        self.spans: list[list[Span]] = []
        self.lines: list[int] = []
        self._trimmed: list[int] = []
        self._twice: list[int] = []
        self._unread: Counter[str] = Counter()

    def add(self, line: str, number: int) -> None:
        """Reads a line; raises DataError if it is not a text with spans."""
        where = f"{self._path}:{number}"
        text, given, unread = _record(where, line)
        self._unread.update(unread)
        spans = [self._span(where, text, one, number) for one in given]
        spans.sort()
        for first, second in itertools.pairwise(spans):
            if first != second and second.start < first.end:
                raise DataError(
                    where,
                    f"two spans overlap: {_named(text, first)} and {_named(text, second)}; keep one of them",
                )
        distinct = [one for one, _ in itertools.groupby(spans)]
        self._twice += [number] * (len(spans) - len(distinct))
        self.texts.append(text)
        self.spans.append(distinct)
        self.lines.append(number)

    def _span(self, where: str, text: str, given: Any, number: int) -> Span:
        """Returns a span without white space at its ends; raises DataError if it cannot be one."""
        start, end, label = _values(where, given)
        place = f"the span from {start:,} to {end:,}"
        if end == start:
            raise DataError(where, f"{place} is empty; end is the index after its last character")
        if end < start:
            raise DataError(where, f"{place} ends before it begins")
        if start < 0 or end > len(text):
            raise DataError(
                where, f"{place} is not within the text, which has {counted(len(text), 'character')}"
            )
        part = text[start:end]
        if given.get("text", part) != part:
            raise DataError(
                where,
                f"{place} is {short_label(part)}, and its own text says {shown(given['text'])}; start and "
                "end count characters, not bytes, and end is the index after the last one",
            )
        if not part.strip():
            raise DataError(where, f"{place} is white space alone")
        if self._known is not None and label not in self._known.names:
            raise unknown_type(where, label, self._known)
        begin = start + len(part) - len(part.lstrip())
        stop = begin + len(part.strip())
        if (begin, stop) != (start, end):
            self._trimmed.append(number)
        return Span(begin, stop, label)

    def notes(self) -> list[str]:
        """Returns what was repaired and what looks wrong, once all lines are read."""
        path, notes = self._path, []
        if self._trimmed:
            what = counted(len(self._trimmed), "span")
            notes.append(
                f"{path}: {what} with white space at an end, read without it{at_lines(self._trimmed)}"
            )
        if self._twice:
            what = counted(len(self._twice), "span")
            notes.append(f"{path}: {what} given twice, read once{at_lines(self._twice)}")
        if self._unread:
            names = ", ".join(map(shown, sorted(self._unread)[:5]))
            more = ", ..." if len(self._unread) > 5 else ""
            notes.append(f"{path}: beside the text and its spans, {names}{more} is not read")
        if not any(self.spans):
            notes.append(f"{path}: no text has a span, so nothing can be found there")
        empty = [line for line, text in zip(self.lines, self.texts, strict=True) if is_blank(text)]
        if empty:
            notes.append(f"{path}: {counted(len(empty), 'empty text')}{at_lines(empty)}")
        return [*notes, *self._edges(), *self._letters()]

    def _edges(self) -> Iterator[str]:
        """Yields a warning if most spans begin or end inside a word, as with ends that are one too small."""
        seen, inside = 0, []
        for text, spans, line in zip(self.texts, self.spans, self.lines, strict=True):
            if spans and seen < LOOKED_AT:
                seen += len(spans)
                inside += [(line, text, *one) for one in _divided(text, spans)]
        if len(inside) >= FEWEST and 2 * len(inside) > seen:
            line, text, span, word = inside[0]
            yield (
                f"{self._path}: {len(inside):,} of {seen:,} spans begin or end inside a word, such as "
                f"{_named(text, span)} in {short_label(word)} (line {line}); start counts characters from 0, "
                "and end is the index after the last one"
            )

    def _letters(self) -> Iterator[str]:
        """Yields a warning if types look like tags."""
        labels = {span.label for spans in self.spans for span in spans}
        tags = sorted(label for label in labels if label[:2] in ("B-", "I-") and label[2:])
        pairs = [tag for tag in tags if tag[:1] == "B" and f"I-{tag[2:]}" in labels]
        if pairs:
            yield (
                f"{self._path}: the types {shown(pairs[0])} and {shown('I' + pairs[0][1:])} look like "
                "tags of one "
                f"type; write whole spans, with the type {shown(pairs[0][2:])}"
            )


def _record(where: str, line: str) -> tuple[str, list[Any], set[str]]:
    """Returns the text of a line, the items of its list of spans, and the keys that are not read."""
    try:
        record = files.parse_json(line.encode())
    except json.JSONDecodeError as error:
        raise DataError(where, f"not valid JSON at character {error.pos + 1}: {error.msg}") from None
    except ValueError as error:
        raise DataError(where, f"JSON that cannot be read: {error}") from None
    if not isinstance(record, dict):
        raise DataError(where, f"expected an object with a text and its spans, got {shown(record)}")
    text = record.get("text")
    if not isinstance(text, str):
        got = f"got {shown(text)}" if "text" in record else f"got only {_keys(record)}"
        words = (
            "; lists of words and tags belong into a .conll file, a word a line"
            if WORDS & record.keys()
            else ""
        )
        raise DataError(where, f'expected a string under "text", {got}{words}')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            where, f"character {error.start + 1} of the text is half of a surrogate pair"
        ) from None
    named = [name for name in LISTS if name in record]
    if len(named) != 1:
        lacking = f'no list "spans", only {_keys(record)}; write "spans": [] where there is none'
        raise DataError(where, 'both "spans" and "entities"; keep one' if named else lacking)
    given = record[named[0]]
    if not isinstance(given, list):
        raise DataError(where, f'expected a list under "{named[0]}", got {shown(given)}')
    return text, given, record.keys() - {"text", named[0]}


def _keys(record: dict[str, Any]) -> str:
    """Returns the first keys of an object, for a message."""
    return ", ".join(map(shown, list(record)[:5])) or "an empty object"


def _values(where: str, given: Any) -> tuple[int, int, str]:
    """Returns start, end and label of a span; raises DataError if one is missing or of another type."""
    if not isinstance(given, dict):
        raise DataError(where, f"expected a span such as {EXAMPLE}, got {shown(given)}")
    missing = [name for name in NEEDED if name not in given]
    if missing:
        others = f" (it has {_keys(given)})"
        raise DataError(where, f"a span without {missing[0]!r}{others}; write it as {EXAMPLE}")
    for name in NEEDED[:2]:
        if type(given[name]) is not int:
            raise DataError(where, f"{name!r} of a span is {shown(given[name])}; expected a whole number")
    label = given["label"]
    if not isinstance(label, str) or not is_label(label):
        raise DataError(where, f"'label' of a span is {shown(label)}; expected the name of a type")
    return given["start"], given["end"], label


def _named(text: str, span: Span) -> str:
    """Returns a span for a message: its characters, and where it stands."""
    return f"{short_label(text[span.start : span.end])} ({span.start:,} to {span.end:,})"


def _divided(text: str, spans: Sequence[Span]) -> Iterator[tuple[Span, str]]:
    """Yields each span with an edge inside of a word, and that word."""
    ranges = list(words(text))
    for span in spans:
        for begin, end in ranges:
            if begin < span.start < end or begin < span.end < end:
                yield span, text[begin:end]
                break
