"""Reads and writes CoNLL files: a word a line, its tag in the last column, a blank line between sentences.

Columns are separated by a tab, or by spaces where a line has no tab. A line whose first column is -DOCSTART-
begins a document. Nothing else is special: a line that begins with # is a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from custom_bert.data.labels import nearest_label, short_label
from custom_bert.data.text import LineReader
from custom_bert.errors import DataError
from custom_bert.phrases import at_lines, counted
from custom_bert.spans.entity import OUTSIDE, Span
from custom_bert.spans.schemes import Scheme, TagError, WordSpan, parsed_tag, read_tags, scheme_of, write_tags
from custom_bert.spans.spanned import KnownTypes, Range, SpannedTexts

DOCUMENT = "-DOCSTART-"
"""The first column of a line that begins a document."""

BLANK = " \t"
"""What a line between two sentences may hold."""

LONG_SENTENCE = 500
"""A file that is one sentence of more words than this probably lacks its blank lines."""

EXPECTED = "expected a word and its tag, with a tab or a space between them"


@dataclass
class _Sentence:
    """The words and the tags of consecutive lines.

    Attributes:
        line: the number of its first line, from 1.
        document: the index of its document.
    """

    line: int
    document: int
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read_conll(path: str | Path, known: KnownTypes | None = None) -> SpannedTexts:
    """Reads a CoNLL file.

    Args:
        path: the file.
        known: the types of the training file; None to read the training file itself.

    Raises:
        DataError: for the first line that cannot be read, with its number.
    """
    reader = LineReader(path)
    sentences = list(_sentences(reader))
    if not sentences:
        raise DataError(str(path), "no line has a word")
    scheme = scheme_of(one.tags for one in sentences)
    texts, words, spans, strict = [], [], [], []
    repaired: list[int] = []
    lost: list[int] = []
    for one in sentences:
        text, ranges = joined(one.words)
        entities, faults = read_tags(one.tags, scheme)
        if known is not None:
            _check_known(path, one, entities, known)
        found = [_span(entity, ranges) for entity in entities]
        whole = [not any(begin <= i < end for i in faults) for begin, end, _ in entities]
        texts.append(text)
        words.append(ranges)
        spans.append([span for span in found if span is not None])
        strict.append([span for span, is_whole in zip(found, whole, strict=True) if span and is_whole])
        repaired += [one.line + i for i in faults]
        lost += [one.line + entities[i][0] for i, span in enumerate(found) if span is None]
    if known is None and not any(spans):
        raise DataError(
            str(path), f"every tag is {OUTSIDE}: no entity stands there, so there is nothing to learn"
        )
    return SpannedTexts(
        path=str(path),
        sha256=reader.sha256,
        texts=texts,
        spans=spans,
        strict=strict,
        words=words,
        lines=[one.line for one in sentences],
        document_of=[one.document for one in sentences],
        scheme=scheme,
        notes=_notes(str(path), sentences, scheme, repaired, lost, any(spans)),
    )


def joined(words: Sequence[str]) -> tuple[str, list[Range]]:
    """Returns the words with one space between two of them, and where each stands, without white space at its
    ends. A word of white space alone stands nowhere: its range is empty."""
    ranges, begin = [], 0
    for word in words:
        start = begin + len(word) - len(word.lstrip())
        ranges.append((start, start + len(word.strip())) if word.strip() else (begin, begin))
        begin += len(word) + 1
    return " ".join(words), ranges


def conll_lines(words: Iterable[str], entities: Sequence[WordSpan]) -> list[str]:
    """Returns the lines of a sentence: each word, a tab and its BIO tag, and an empty line after them.

    A tab or a line break inside a word becomes a space, since it would end a column or a line.
    """
    plain = [re.sub(r"[\t\r\n]", " ", word) for word in words]
    tags = write_tags(entities, len(plain))
    return [*(f"{word}\t{tag}" for word, tag in zip(plain, tags, strict=True)), ""]


def _span(entity: WordSpan, ranges: Sequence[Range]) -> Span | None:
    """Returns the characters of an entity; None if its words are of white space alone."""
    begin, end, name = entity
    filled = [one for one in ranges[begin:end] if one[0] < one[1]]
    return Span(filled[0][0], filled[-1][1], name) if filled else None


def _sentences(reader: LineReader) -> Iterator[_Sentence]:
    """Yields the sentences of a file; raises DataError for a line that cannot be read."""
    columns, first_line, number, document = 0, 0, 0, -1
    good: set[str] = set()
    now: _Sentence | None = None
    for block in reader.blocks():
        for line in block:
            number += 1
            cells = cells_of(line)
            if cells[0] == DOCUMENT or not line.strip(BLANK):
                if now is not None:
                    yield now
                now, document = None, document + (cells[0] == DOCUMENT)
                continue
            where = f"{reader.path}:{number}"
            columns, first_line = columns or len(cells), first_line or number
            _check_cells(where, cells, line, columns, first_line)
            if cells[-1] not in good:
                try:
                    parsed_tag(cells[-1])
                except TagError as error:
                    raise DataError(where, f"{error}{_hint(line, number, error)}") from None
                good.add(cells[-1])
            if now is None:
                document = max(0, document)  # words before the first -DOCSTART- are of a document too
                now = _Sentence(number, document)
            now.words.append(cells[0])
            now.tags.append(cells[-1])
    if now is not None:
        yield now


def cells_of(line: str) -> list[str]:
    """Returns the columns of a line: those between tabs, or where there is none those between spaces."""
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return re.split(" +", line.strip(" "))


def _check_cells(where: str, cells: list[str], line: str, columns: int, first_line: int) -> None:
    """Raises DataError if the columns of a line are not those of the first line, or one is empty."""
    if len(cells) == 1:
        form = "; it looks like JSON, whose files end with .jsonl" if line.lstrip()[:1] in "{[" else ""
        raise DataError(where, f"one column, {short_label(cells[0])}; {EXPECTED}{form}")
    if len(cells) != columns:
        if line.lstrip()[:1] == "{":
            raise DataError(
                where, f"{counted(len(cells), 'column')}; it looks like JSON, whose files end with .jsonl"
            )
        hint = "" if "\t" in line else "; if a word holds a space, separate the columns by tabs"
        raise DataError(where, f"{len(cells)} columns, while line {first_line} has {columns}{hint}")
    if not cells[0]:
        raise DataError(where, "the first column is empty; write the word into it, or nothing into the line")
    if not cells[-1]:
        raise DataError(where, f"the last column is empty; write the word's tag into it, or {OUTSIDE}")


def _hint(line: str, number: int, error: TagError) -> str:
    """Returns what else a line without a tag may be."""
    if line.startswith("#"):
        return "; if this line is a comment, remove it"
    if line.lstrip()[:1] == "{":
        return "; the line looks like JSON, whose files end with .jsonl"
    names = number == 1 and not error.is_like_a_tag
    return "; if this line names the columns, remove it" if names else ""


def _check_known(path: str | Path, one: _Sentence, entities: Iterable[WordSpan], known: KnownTypes) -> None:
    """Raises DataError for an entity whose type is not one of the training file's."""
    for begin, _, name in entities:
        if name not in known.names:
            raise unknown_type(f"{path}:{one.line + begin}", name, known)


def unknown_type(where: str, name: str, known: KnownTypes) -> DataError:
    """Returns the error for a type that does not occur in the training file."""
    hint = nearest_label(name, known.names)
    return DataError(where, f"type {short_label(name)} never occurs in {known.path}{hint}")


def _notes(
    path: str,
    sentences: Sequence[_Sentence],
    scheme: Scheme,
    repaired: list[int],
    lost: list[int],
    some: bool,
) -> list[str]:
    """Returns what was repaired and what looks wrong.

    Args:
        path: the file.
        sentences: its sentences.
        scheme: the scheme of its tags.
        repaired: the lines of tags that the scheme does not allow.
        lost: the first lines of entities without a visible character.
        some: whether any entity stands in the file.
    """
    notes = []
    if repaired:
        notes.append(
            f"{path}: {counted(len(repaired), 'tag')} that {scheme} does not allow, read as seqeval "
            f"does{at_lines(repaired)}"
        )
    if lost:
        what = "an entity" if len(lost) == 1 else f"{len(lost):,} entities"
        notes.append(f"{path}: {what} of white space alone, left out{at_lines(lost)}")
    if not some:
        notes.append(f"{path}: every tag is {OUTSIDE}, so nothing can be found there")
    if all(one.words == list(map(str, range(1, len(one.words) + 1))) for one in sentences):
        notes.append(
            f"{path}: the first column counts the words 1, 2, 3 of each sentence; the word has to stand there"
        )
    if len(sentences) == 1 and len(sentences[0].words) > LONG_SENTENCE:
        notes.append(
            f"{path}: no blank line, so its {len(sentences[0].words):,} words are one sentence; write one "
            "between sentences"
        )
    return notes
