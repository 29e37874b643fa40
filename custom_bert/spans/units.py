"""Units are what gets a tag: the parts into which a tokenizer divides a text before it looks up tokens.

They are words and punctuation marks for most tokenizers. A unit is the range of its characters in the user's
text. Units do not overlap, and stand in the order of the text. Spans become BIO tags of units here, and tags
become spans again. The words of a CoNLL file are units in the same sense.
"""

from __future__ import annotations

from collections.abc import Sequence

from custom_bert.spans.entity import Span
from custom_bert.spans.schemes import WordSpan, read_tags, write_tags
from custom_bert.spans.spanned import Range


def unit_spans(units: Sequence[Range], spans: Sequence[Span]) -> list[WordSpan]:
    """Returns the units of each span: the index of its first one, the index after its last one, its type.

    A unit belongs to a span if they share a character. Of two spans that share characters with a unit, the
    first one gets it. A span that gets no unit is left out.

    Args:
        units: the units, in order.
        spans: the spans, which do not overlap, in order.
    """
    found, at = [], 0
    for span in spans:
        while at < len(units) and units[at][1] <= span.start:
            at += 1
        begin = at
        while at < len(units) and units[at][0] < span.end:
            at += 1
        if at > begin:
            found.append((begin, at, span.label))
    return found


def unit_tags(units: Sequence[Range], spans: Sequence[Span]) -> list[str]:
    """Returns the BIO tag of each unit; see `unit_spans` for the arguments and the rule."""
    return write_tags(unit_spans(units, spans), len(units))


def spans_of(tags: Sequence[str], units: Sequence[Range]) -> list[Span]:
    """Returns the spans that BIO tags of units mean: from the first character of the first unit to the last
    character of the last one."""
    return spans_of_units(read_tags(tags, "BIO")[0], units)


def spans_of_units(entities: Sequence[WordSpan], units: Sequence[Range]) -> list[Span]:
    """Returns the characters of some entities, which are given as ranges of units."""
    return [Span(units[begin][0], units[end - 1][1], label) for begin, end, label in entities]


def changed_spans(units: Sequence[Range], spans: Sequence[Span]) -> list[Span]:
    """Returns the spans that tags of units cannot say exactly, because an edge lies inside of a unit, or
    beside a character that no unit has. A model cannot learn them as they are."""
    kept = set(spans_of_units(unit_spans(units, spans), units))
    return [span for span in spans if span not in kept]


def word_tags(spans: Sequence[Span], words: Sequence[Range]) -> list[str]:
    """Returns the BIO tag of each word of a CoNLL file, by the rule of `unit_spans`."""
    return unit_tags(words, spans)


def snapped(spans: Sequence[Span], words: Sequence[Range]) -> list[Span]:
    """Returns spans with the edges of words: what `word_tags` says of them, in characters.

    Scores of a CoNLL file compare these, as every program does that predicts a tag for each word.
    """
    return spans_of_units(unit_spans(words, spans), words)
