"""A prediction for a person at a terminal: probabilities as bars, and the text with the words that count.

Every line fits a number of columns. A terminal's column holds one letter, or half of a wide character.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from custom_bert.reports.labels import cut, printable
from custom_bert.terminal import BAR, ELLIPSIS, displayable

LEAST_EFFECT = 0.001
"""Words with a smaller effect, in either direction, are not named: a tenth of a per cent of a probability is
nothing that a person would act on."""

MOST_LINES = 6
"""The largest number of lines in which the text is shown again."""

WIDEST_BAR = 40
"""The largest number of columns of a bar."""

BOLD, UNDERLINED, PLAIN = "\x1b[1m", "\x1b[4m", "\x1b[0m"
"""What a terminal understands as: bold and underlined from here on, and neither."""


@dataclass(frozen=True)
class Place:
    """A word of the text that counts.

    Attributes:
        start, end: where it stands in the text.
        effect: what it does for the label; below 0 it speaks against it.
    """

    start: int
    end: int
    effect: float


def cells(text: str) -> int:
    """Returns the number of a terminal's columns that a text takes."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def bar_lines(probabilities: Sequence[tuple[str, float]], columns: int) -> list[str]:
    """Returns a line for each label: the label, a bar, and the probability in per cent.

    Args:
        probabilities: labels and their probabilities, in the order of the lines.
        columns: the largest number of columns of a line.
    """
    ellipsis, bar = displayable(ELLIPSIS), displayable(BAR)
    names = [displayable(printable(label)) for label, _ in probabilities]
    names = [
        cut(name, columns // 3 if cells(name) == len(name) else columns // 6, ellipsis) for name in names
    ]
    width = max(map(cells, names), default=0)
    room = max(1, min(WIDEST_BAR, columns - width - 2 - 2 - 6))
    return [
        f"{name}{' ' * (width - cells(name))}  {bar * round(p * room):<{room}}  {p:6.1%}"
        for name, (_, p) in zip(names, probabilities, strict=True)
    ]


def word_lines(words: Sequence[tuple[str, float]], columns: int, about: str = "") -> list[str]:
    """Returns the words that count as a list in plain text, those for the label and those against it.

    Args:
        words: words and what they do for the label, those that count most first.
        columns: the largest number of columns of a line.
        about: what the words count for, if that is not clear.
    """
    counting = [(word, effect) for word, effect in words if abs(effect) >= LEAST_EFFECT]
    if not counting:
        nothing = f"no single word counts{about}: without any one of them, the answer is the same"
        return filled(nothing, columns)
    lines = []
    for heading, sign in ((f"words for it{about}", 1), (f"words against it{about}", -1)):
        words_of = [f"{printable(word)} {effect:+.2g}" for word, effect in counting if effect * sign > 0]
        if words_of:
            lines += filled(f"{heading}: {', '.join(words_of)}", columns, "  ")
    return lines


def marked_lines(text: str, places: Sequence[Place], columns: int) -> list[str]:
    """Returns the text in lines, with the words for the label bold and those against it underlined.

    Of a long text only the first lines are returned, with an ellipsis.
    """
    seen = _shown(text)
    spans = list(_lines_of(seen, columns))
    marks = {
        i: BOLD if one.effect > 0 else UNDERLINED
        for one in places
        if abs(one.effect) >= LEAST_EFFECT
        for i in range(one.start, one.end)
    }
    lines = []
    for start, end in spans[:MOST_LINES]:
        line, before = "", ""
        for i in range(start, end):
            mark = marks.get(i, "")
            line += ("" if mark == before else PLAIN + mark if before else mark) + seen[i]
            before = mark
        lines.append(line + (PLAIN if before else ""))
    return [*lines, displayable(ELLIPSIS)] if len(spans) > MOST_LINES else lines


def _shown(text: str) -> str:
    """Returns the text with a stand-in for each character that does not print or that standard output cannot
    show, so that all places stay."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return (
        text
        if displayable(text) == text
        else "".join(one if displayable(one) == one else "?" for one in text)
    )


def shortened(text: str, columns: int) -> str:
    """Returns the beginning of a text that fits on one line, with an ellipsis if it is longer."""
    seen, ellipsis = _shown(text), displayable(ELLIPSIS)
    ((start, end), *more) = _lines_of(seen, columns) or [(0, 0)]
    if not more:
        return seen
    ((start, end), *_) = _lines_of(seen, columns - len(ellipsis))
    return seen[start:end] + ellipsis


def _lines_of(text: str, columns: int, most: int = MOST_LINES) -> list[tuple[int, int]]:
    """Returns where each line begins and ends, if a text is broken at spaces, or within a word that is too
    long for a line. After `most` lines there may be one more, which only says that the text goes on."""
    lines, start, space, width = [], 0, -1, 0
    for i, one in enumerate(text):
        if one == " ":
            space = i
        width += cells(one)
        if width > columns:
            end = space if space > start else i
            lines.append((start, end))
            if len(lines) > most:
                return lines
            start = end + (text[end] == " ")
            width = cells(text[start : i + 1])
    return [*lines, (start, len(text))] if start < len(text) else lines


def filled(words: str, columns: int, hanging: str = "") -> list[str]:
    """Returns a sentence in lines; from the second on they begin with `hanging`."""
    seen = displayable(words)
    if cells(seen) == len(seen):
        return textwrap.wrap(seen, columns, subsequent_indent=hanging, break_on_hyphens=False)
    first = columns - len(hanging)  # a line of wide characters is broken where it is full
    return [hanging * (i > 0) + seen[a:b] for i, (a, b) in enumerate(_lines_of(seen, first, len(seen)))]
