"""What looks wrong about files of texts with spans that can be read; warnings with counts and line
numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from custom_bert.data.labels import folded, short_label
from custom_bert.data.text import composed
from custom_bert.phrases import at_lines, counted
from custom_bert.spans.spanned import SpannedTexts

RARE = 3
"""Types with fewer training spans than this are warned about."""

FEWEST_WORDS = 4
"""A text of fewer words that also trains is not warned about: a heading or a score is often the same."""


def doubts(train: SpannedTexts, others: Mapping[str, SpannedTexts]) -> list[str]:
    """Returns warnings about the training file and the others together, a line each.

    Args:
        train: the training file.
        others: the other files, by what their scores are called, such as "validation".
    """
    found = [*_spelling(train), *_rare(train)]
    for file in (train, *others.values()):
        found += _conflicts(file)
    for name, file in others.items():
        found += [*_leaks(train, file, name), *_absent(train, file)]
    return found


def type_counts(file: SpannedTexts) -> dict[str, int]:
    """Returns the number of spans of each type, sorted by type."""
    counts = Counter(span.label for spans in file.spans for span in spans)
    return dict(sorted(counts.items()))


def first_line(file: SpannedTexts, name: str) -> int:
    """Returns the line of the first text that has a span of a type. The type has to occur."""
    return next(
        line
        for line, spans in zip(file.lines, file.spans, strict=True)
        if any(one.label == name for one in spans)
    )


def repeats(file: SpannedTexts) -> list[tuple[int, int]]:
    """Returns the index of the first text with the same characters, and the index of each text that repeats
    it."""
    seen: dict[str, int] = {}
    pairs = [(seen.setdefault(composed(text), i), i) for i, text in enumerate(file.texts)]
    return [(first, other) for first, other in pairs if first != other]


def _spelling(file: SpannedTexts) -> list[str]:
    """Warns about types that differ only in how they are written."""
    seen: dict[str, str] = {}
    twins = [(seen.setdefault(folded(name), name), name) for name in file.types]
    twins = [(first, second) for first, second in twins if first != second]
    if not twins:
        return []
    names = ", ".join(f"{short_label(first)} and {short_label(second)}" for first, second in twins[:5])
    lines = [first_line(file, second) for _, second in twins[:5]]
    return [
        f"{file.path}: {counted(len(twins), 'type')} like another except for case, spaces or width, "
        "counted as "
        f"different: {names}{at_lines(lines, len(twins))}"
    ]


def _rare(file: SpannedTexts) -> list[str]:
    """Warns about types that have too few spans to be learned."""
    rare = [name for name, count in type_counts(file).items() if count < RARE]
    if not rare:
        return []
    names = ", ".join(map(short_label, rare[:5]))
    lines = [first_line(file, name) for name in rare[:5]]
    return [
        f"{file.path}: {counted(len(rare), 'type')} with fewer than {RARE} spans: "
        f"{names}{at_lines(lines, len(rare))}"
    ]


def _conflicts(file: SpannedTexts) -> list[str]:
    """Warns about equal texts whose spans differ, with the first two such lines of each text."""
    first_other: dict[int, int] = {}
    for first, other in repeats(file):
        same = file.texts[first] == file.texts[other]  # otherwise places differ by how letters are composed
        if same and file.spans[first] != file.spans[other]:
            first_other.setdefault(first, other)
    if not first_other:
        return []
    lines = [f"{file.lines[first]} and {file.lines[other]}" for first, other in list(first_other.items())[:5]]
    more = ", ..." if len(first_other) > 5 else ""
    return [
        f"{file.path}: {counted(len(first_other), 'text')} with other spans where it stands again "
        f"(lines {', '.join(lines)}{more})"
    ]


def _leaks(train: SpannedTexts, file: SpannedTexts, name: str) -> list[str]:
    """Warns about texts with spans that are among the training texts."""
    known = set(map(composed, train.texts))
    lines = [
        line
        for line, text, spans in zip(file.lines, file.texts, file.spans, strict=True)
        if spans and len(text.split()) >= FEWEST_WORDS and composed(text) in known
    ]
    if not lines:
        return []
    return [
        f"{file.path}: {counted(len(lines), 'text')} also in {train.path}{at_lines(lines)}; the {name} "
        "scores are "
        "too high because of these texts"
    ]


def _absent(train: SpannedTexts, file: SpannedTexts) -> list[str]:
    """Warns about types that a file lacks, so that it says nothing of them."""
    lacking = [name for name in train.types if name not in file.types]
    if not lacking or not any(file.spans):
        return []
    more = ", ..." if len(lacking) > 5 else ""
    names = ", ".join(map(short_label, lacking[:5]))
    return [f"{file.path}: no span of {counted(len(lacking), 'type')} of {train.path}: {names}{more}"]
