"""The units of every kind of tokenizer, in 10,000 hostile texts: each stands where it says, in the user's own
characters, whatever was composed, removed, folded or put into bytes."""

from __future__ import annotations

import random
import unicodedata
from functools import cache

import numpy as np
import pytest
from data_files import SPECIALS, sentences
from hostile_texts import PARTS, hostile
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import from_vocab
from custom_bert.data.vocabulary import train_tokenizer
from custom_bert.spans.units import changed_spans, spans_of, unit_tags

TEXTS = [*sentences(200), *[" ".join(PARTS)] * 3]


def byte_level(*, trimmed: bool, prefix: bool) -> TextTokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    trainer = trainers.BpeTrainer(
        vocab_size=400,  # so few that a space and the word after it are often two tokens
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    if trimmed:
        made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    return TextTokenizer(made)


@cache
def tokenizer(name: str) -> TextTokenizer:
    if name.startswith("trained"):
        characters = sum(map(len, TEXTS))
        lowercase = name == "trained"
        return train_tokenizer(lambda: [TEXTS], vocab_size=900, lowercase=lowercase, characters=characters)
    if name.startswith("byte-level"):
        return byte_level(trimmed="trimmed" in name, prefix="prefix" in name)
    letters = "abdeinortwßéå"
    found = from_vocab(
        [*SPECIALS, *letters, *("##" + c for c in letters)], lowercase=True, strip_accents=True
    )
    if name == "nfkc":
        found.backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    if name == "nfc byte-level":
        found = byte_level(trimmed=True, prefix=False)
        found.backend.normalizer = normalizers.NFC()
    return found


NAMES = ("trained", "trained cased", "bert", "nfkc", "byte-level", "byte-level trimmed", "nfc byte-level")


def encoded(name: str, texts: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    found = tokenizer(name).encode(texts, 512, units=True)
    assert found.units is not None
    return list(found.sequences), list(found.units)


@pytest.mark.parametrize("name", [*NAMES, "byte-level trimmed prefix"])
def test_units_are_places_of_the_user_s_text_in_order_without_white_space_around_them(name: str) -> None:
    texts = hostile(1, 10_000 // len(NAMES) + 1)
    for text, ids, units in zip(texts, *encoded(name, texts), strict=True):
        stop, row = 0, 0
        for first, start, end in units.tolist():
            part = text[start:end]
            assert start >= stop and first > row, (text, units)
            assert part and part == part.strip(), (text, part)
            assert 0 < first < len(ids) - 1, "a special token is no unit"
            stop, row = end, first


@pytest.mark.parametrize("name", NAMES)
def test_every_letter_is_in_a_unit(name: str) -> None:
    texts = hostile(2, 500)
    for text, _, units in zip(texts, *encoded(name, texts), strict=True):
        inside = {i for _, start, end in units.tolist() for i in range(start, end)}
        letters = {i for i, one in enumerate(text) if unicodedata.category(one)[0] in "LN"}
        assert letters <= inside, (text, units)


@pytest.mark.parametrize("name", NAMES)
def test_spans_of_units_cut_the_text_where_they_say(name: str) -> None:
    draw, texts = random.Random(3), hostile(3, 500)
    for text, _, units_U3 in zip(texts, *encoded(name, texts), strict=True):
        units = [(start, end) for _, start, end in units_U3.tolist()]
        spans = spans_of(draw.choices(["O", "B-X", "I-X", "B-Y", "I-Y"], k=len(units)), units)
        assert changed_spans(units, spans) == []
        assert spans_of(unit_tags(units, spans), units) == spans
        for span in spans:
            assert text[span.start : span.end].strip() == text[span.start : span.end] != ""


@pytest.mark.parametrize("name", ["bert", "trained", "byte-level"])
@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Zoe left.", ["Zoe", "left", "."]),
        ("  Kim\r\n\r\nleft ", ["Kim", "left"]),
        ("\u00a0Kim\u3000left\u2028", ["Kim", "left"]),
    ],
)
def test_units_of_plain_words_are_the_words(name: str, text: str, units: list[str]) -> None:
    if name != "bert":
        assert "".join(units) == "".join(text.split())
    _, (found,) = encoded(name, [text])
    pieces = [text[start:end] for _, start, end in found.tolist()]
    assert pieces == units or (name == "trained" and "".join(pieces) == "".join(units))


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Cafe\u0301 Müller", ["Cafe\u0301", "Müller"]),
        ("Stra\u00dfe", ["Stra\u00dfe"]),
        ("Ber\u200blin", ["Ber\u200blin"]),
        ("\u200bKim\u200b left", ["Kim", "left"]),
        ("U.S.", ["U", ".", "S", "."]),
        ("北京 is", ["北", "京", "is"]),
        ("🙂 ok", ["🙂", "ok"]),
        ("İstanbul", ["İstanbul"]),
        ("a\x00b", ["a\x00b"]),
    ],
)
def test_a_bert_tokenizer_has_the_units_that_a_reader_expects(text: str, units: list[str]) -> None:
    _, (found,) = encoded("bert", [text])
    assert [text[start:end] for _, start, end in found.tolist()] == units


def test_the_characters_of_one_ligature_or_fraction_are_one_unit() -> None:
    text = "½ ①② ﬁn"
    _, (found,) = encoded("nfkc", [text])
    pieces = [text[start:end] for _, start, end in found.tolist()]
    assert "".join(pieces) == "½①②ﬁn" and "½" in pieces
    starts = [start for _, start, _ in found.tolist()]
    assert starts == sorted(set(starts))


def test_the_first_token_of_a_unit_is_no_space() -> None:
    """Where the vocabulary lacks " x", the tokens of that word are a space and x, and x carries the tag."""
    text = "a x  y"
    for name in ("byte-level", "byte-level trimmed"):
        (ids,), (found,) = encoded(name, [text])
        places = tokenizer(name).encode([text], 512, offsets=True).offsets
        assert places is not None
        for first, start, end in found.tolist():
            begin, stop = places[0][first].tolist()
            assert start <= begin < stop <= end
            assert text[begin:stop].strip(), f"token {ids[first]} is white space"
