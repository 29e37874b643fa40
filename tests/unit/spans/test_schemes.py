"""Tags of every scheme become the same entities, as seqeval reads them, and what is repaired is said."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import get_args

import pytest

from custom_bert.spans.schemes import (
    Scheme,
    TagError,
    WordSpan,
    parsed_tag,
    read_tags,
    scheme_of,
    write_tags,
)

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
ENTITIES = [(0, 2, "PER"), (3, 4, "PER"), (4, 5, "LOC"), (5, 6, "LOC")]
WRITTEN = {
    "BIO": "B-PER I-PER O B-PER B-LOC B-LOC",
    "BIOES": "B-PER E-PER O S-PER S-LOC S-LOC",
    "IOB1": "I-PER I-PER O I-PER I-LOC B-LOC",
}


def drawn_tags(draw: random.Random, letters: str, length: int = 12) -> list[str]:
    """Tags in any order, most of which no scheme allows."""
    tags = ["O", *(f"{letter}-{name}" for letter in letters for name in ("PER", "LOC", "A-B"))]
    return draw.choices(tags, k=draw.randint(0, length))


def drawn_entities(draw: random.Random, length: int = 20) -> list[WordSpan]:
    """Entities of a sentence of `length` words, some of them side by side."""
    found, at = [], draw.randint(0, 2)
    while at < length - 3:
        end = at + draw.randint(1, 3)
        found.append((at, end, draw.choice(["PER", "LOC"])))
        at = end + draw.randint(0, 2)
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_s_example_is_written_and_read(scheme: Scheme) -> None:
    tags = WRITTEN[scheme].split()
    assert write_tags(ENTITIES, 6, scheme) == tags
    assert read_tags(tags, scheme) == (ENTITIES, [])


@pytest.mark.parametrize("tags", ["B-PER L-PER O U-PER U-LOC U-LOC", "B-PER E-PER O S-PER S-LOC S-LOC"])
def test_other_spellings_of_bioes_are_read_without_repairs(tags: str) -> None:
    assert scheme_of([tags.split()]) == "BIOES"
    assert read_tags(tags.split(), "BIOES") == (ENTITIES, [])
    assert scheme_of([["B-X", "M-X"]]) == "BIOES"
    assert read_tags(["B-X", "M-X", "M-X", "E-X"], "BIOES") == ([(0, 4, "X")], [])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_written_is_read_back_without_repairs(scheme: Scheme) -> None:
    draw = random.Random(0)
    for _ in range(500):
        entities = drawn_entities(draw)
        assert read_tags(write_tags(entities, 20, scheme), scheme) == (entities, [])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_of_a_file_is_found_from_its_tags(scheme: Scheme) -> None:
    draw = random.Random(1)
    for _ in range(50):
        sentences = [write_tags(drawn_entities(draw), 20, scheme) for _ in range(20)]
        assert scheme_of(sentences) == scheme


def test_a_few_wrong_tags_do_not_change_the_scheme() -> None:
    assert scheme_of([["B-X", "I-X", "O", "B-X"], ["O", "I-X"]]) == "BIO"
    assert scheme_of([["I-X", "I-X", "O", "I-X"], ["O", "B-X"]]) == "IOB1"
    assert scheme_of([["O", "O"]]) == scheme_of([]) == "BIO"


def test_iob1_that_is_read_as_bio_does_not_pass_in_silence() -> None:
    tags = WRITTEN["IOB1"].split()
    entities, repaired = read_tags(tags, "BIO")
    assert entities == ENTITIES and repaired == [0, 3, 4]
    # in the other direction too: each B where IOB1 writes an I
    assert read_tags(WRITTEN["BIO"].split(), "IOB1")[1] == [0, 3, 4]


@pytest.mark.parametrize(
    ("tags", "scheme", "entities", "repaired"),
    [
        ("O I-X I-X", "BIO", [(1, 3, "X")], [1]),
        ("B-X I-Y", "BIO", [(0, 1, "X"), (1, 2, "Y")], [1]),
        ("B-X O I-X", "BIO", [(0, 1, "X"), (2, 3, "X")], [2]),
        ("O B-X O", "IOB1", [(1, 2, "X")], [1]),
        ("B-X I-X O", "BIOES", [(0, 2, "X")], [1]),
        ("B-X O", "BIOES", [(0, 1, "X")], [0]),
        ("S-X E-X", "BIOES", [(0, 1, "X"), (1, 2, "X")], [1]),
        ("B-X E-X E-X", "BIOES", [(0, 2, "X"), (2, 3, "X")], [2]),
    ],
)
def test_what_a_scheme_does_not_allow_is_read_by_seqeval_s_rule_and_named(
    tags: str, scheme: Scheme, entities: list[WordSpan], repaired: list[int]
) -> None:
    assert read_tags(tags.split(), scheme) == (entities, repaired)


def test_a_type_may_hold_hyphens() -> None:
    assert parsed_tag("B-GPE-LOC") == ("B", "GPE-LOC")


@pytest.mark.parametrize(
    ("tag", "fault"),
    [
        ("0", "'0' in the place of the capital letter O, which says that a word is outside"),
        ("o", "'o' in the place of the capital letter O, which says that a word is outside"),
        ("B", "'B' names no type; write it after the letter, as in B-PER"),
        ("I-", "'I-' names no type; write it after the letter, as in I-PER"),
        ("b-PER", "'b-PER' begins with a small letter; write B-PER"),
        ("B_PER", "'B_PER' has an underscore in the place of a hyphen; write B-PER"),
        ("PER-B", "'PER-B' has the letter at its end; write B-PER"),
        ("NN", "'NN' is no tag; expected O, or a letter of the scheme and a type, as in B-PER"),
        ("", "'' is no tag; expected O, or a letter of the scheme and a type, as in B-PER"),
    ],
)
def test_what_is_no_tag_is_refused_with_a_way_out(tag: str, fault: str) -> None:
    with pytest.raises(TagError) as caught:
        parsed_tag(tag)
    assert str(caught.value) == fault


def as_seqeval(entities: Sequence[WordSpan]) -> list[tuple[str, int, int]]:
    """Entities as seqeval's `get_entities` gives them, whose ends are the last words."""
    return [(name, begin, end - 1) for begin, end, name in entities]


def test_the_entities_are_those_of_seqeval_s_default_mode() -> None:
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    draw = random.Random(2)
    for letters in ("BI", "BIES"):
        for _ in range(3000):
            tags = drawn_tags(draw, letters)
            wanted = labeling.get_entities(tags)
            assert as_seqeval(read_tags(tags, "BIOES")[0]) == wanted, tags
            assert as_seqeval(read_tags(tags, "BIO")[0]) == wanted, tags


@pytest.mark.parametrize(("scheme", "name", "letters"), [("BIO", "IOB2", "BI"), ("BIOES", "IOBES", "BIES")])
def test_the_entities_without_repairs_are_those_of_seqeval_s_strict_mode(
    scheme: Scheme, name: str, letters: str
) -> None:
    module = pytest.importorskip("seqeval.scheme")
    draw = random.Random(3)
    for _ in range(3000):
        tags = drawn_tags(draw, letters)
        entities, repaired = read_tags(tags, scheme)
        strict = [one for one in entities if not any(one[0] <= i < one[1] for i in repaired)]
        found = module.Entities([tags], getattr(module, name)).entities[0]
        assert strict == [(one.start, one.end, one.tag) for one in found], tags


def test_good_iob1_has_the_entities_of_seqeval_s_strict_mode() -> None:
    module = pytest.importorskip("seqeval.scheme")
    draw = random.Random(4)
    for _ in range(1000):
        entities = drawn_entities(draw)
        found = module.Entities([write_tags(entities, 20, "IOB1")], module.IOB1).entities[0]
        assert entities == [(one.start, one.end, one.tag) for one in found]
