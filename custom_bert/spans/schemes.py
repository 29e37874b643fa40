"""Schemes of tags: how a sequence of tags, one a word, says which words are an entity.

    words     Alex    Smith   met     Kim     Berlin  Germany
    BIO       B-PER   I-PER   O       B-PER   B-LOC   B-LOC
    BIOES     B-PER   E-PER   O       S-PER   S-LOC   S-LOC
    IOB1      I-PER   I-PER   O       I-PER   I-LOC   B-LOC

BIO is also called IOB2, and BIOES is also written as IOBES, BILOU (L for E, U for S) and BMES (M for I). In
IOB1 a B stands only where an entity directly follows another one of its type.

A sequence that its scheme does not allow is read all the same, by one rule for all schemes, which is that of
seqeval's default mode: an entity begins at a B or an S, at an I or an E that follows no entity of its type,
and after an E or an S. It ends before the next word that is outside or begins an entity. What the scheme
would have written for these entities is then compared with what stands there, and every difference is a
repair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from custom_bert.spans.entity import OUTSIDE

Scheme = Literal["BIO", "BIOES", "IOB1"]

WordSpan = tuple[int, int, str]
"""The index of an entity's first word, the index after its last word, and its type."""

SPELLINGS = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I"}
"""The first letters of tags, and the letters of BIOES that they stand for."""


class TagError(ValueError):
    """A string that is no tag. The message says what is wrong with it.

    Attributes:
        is_like_a_tag: whether it is a tag but for how it is written.
    """

    def __init__(self, fault: str, *, is_like_a_tag: bool) -> None:
        super().__init__(fault)
        self.is_like_a_tag = is_like_a_tag


@lru_cache(maxsize=4096)  # a file has many tags, and few different ones
def parsed_tag(tag: str) -> tuple[str, str]:
    """Returns the letter of a tag, as BIOES writes it, and the type; `("O", "")` for what is outside.

    Raises:
        TagError: if it is no tag of a known scheme.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, dash, name = tag[:1], tag[1:2], tag[2:]
    if letter in SPELLINGS and dash == "-" and name.strip():
        return SPELLINGS[letter], name
    fault = _fault(tag)
    shown = tag if len(tag) <= 40 else tag[:37] + "..."
    unlike = f"{shown!r} is no tag; expected O, or a letter of the scheme and a type, as in B-PER"
    raise TagError(fault or unlike, is_like_a_tag=bool(fault))


def _fault(tag: str) -> str:
    """Returns what is wrong with a string that is a tag but for how it is written; "" for any other one."""
    if tag in ("o", "0"):
        return f"{tag!r} in the place of the capital letter O, which says that a word is outside"
    if tag in SPELLINGS or (tag[:1] in SPELLINGS and not tag[2:].strip() and tag[1:2] == "-"):
        return f"{tag!r} names no type; write it after the letter, as in {tag[:1]}-PER"
    if tag[:1].upper() in SPELLINGS and tag[1:2] == "-" and tag[2:].strip():
        return f"{tag!r} begins with a small letter; write {tag[:1].upper()}{tag[1:]}"
    if tag[:1] in SPELLINGS and tag[1:2] == "_" and tag[2:].strip():
        return f"{tag!r} has an underscore in the place of a hyphen; write {tag[:1]}-{tag[2:]}"
    if tag[-2:-1] == "-" and tag[-1:] in SPELLINGS and tag[:-2].strip():
        return f"{tag!r} has the letter at its end; write {tag[-1:]}-{tag[:-2]}"
    return ""


def read_tags(tags: Sequence[str], scheme: Scheme) -> tuple[list[WordSpan], list[int]]:
    """Returns the entities of a sequence of tags, and the indices of the tags that its scheme does not allow.

    The entities are those of seqeval's default mode. Those without any repaired tag inside are the entities
    of its strict mode.

    Args:
        tags: the tags of a sentence's words.
        scheme: the scheme that they are meant in.

    Raises:
        TagError: for the first string that is no tag.
    """
    parsed = [parsed_tag(tag) for tag in tags]
    entities: list[WordSpan] = []
    begin, before = -1, (OUTSIDE, "")
    for i, (letter, name) in enumerate([*parsed, (OUTSIDE, "")]):
        follows = before[0] in ("B", "I") and before[1] == name  # an entity of the type is still open
        goes_on = letter in ("I", "E") and follows
        if begin >= 0 and not goes_on:
            entities.append((begin, i, before[1]))
            begin = -1
        if letter != OUTSIDE and not goes_on:
            begin = i
        before = letter, name
    wanted = [parsed_tag(tag) for tag in write_tags(entities, len(tags), scheme)]
    return entities, [
        i for i, (is_now, right) in enumerate(zip(parsed, wanted, strict=True)) if is_now != right
    ]


def write_tags(entities: Iterable[WordSpan], words: int, scheme: Scheme = "BIO") -> list[str]:
    """Returns the tags of a sentence's words.

    Args:
        entities: the entities, which do not overlap, in order.
        words: the number of words.
        scheme: the scheme to write.
    """
    tags = [OUTSIDE] * words
    last_end, last_name = -1, ""
    for begin, end, name in entities:
        first = "B"
        if scheme == "IOB1" and not (begin == last_end and name == last_name):
            first = "I"
        tags[begin:end] = [f"{first}-{name}", *[f"I-{name}"] * (end - begin - 1)]
        if scheme == "BIOES":
            tags[end - 1] = f"{'S' if end - begin == 1 else 'E'}-{name}"
        last_end, last_name = end, name
    return tags


def scheme_of(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Returns the scheme that some sentences' tags are meant in.

    An E, S, L, U or M is of BIOES only. Otherwise the entities decide that do not follow one of their type at
    once: BIO begins them with B, and IOB1 with I. What more of them do is the scheme, and BIO where they are
    equally many.

    Raises:
        TagError: for the first string that is no tag.
    """
    with_b = with_i = 0
    for tags in sentences:
        before = OUTSIDE, ""
        for tag in tags:
            letter, name = parsed_tag(tag)
            if letter in ("E", "S") or tag[:1] == "M":
                return "BIOES"
            if letter != OUTSIDE and before[1] != name:
                with_b, with_i = with_b + (letter == "B"), with_i + (letter == "I")
            before = letter, name
    return "IOB1" if with_i > with_b else "BIO"
