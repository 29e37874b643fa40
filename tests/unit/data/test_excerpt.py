"""Offsets: where tokens stand in a text as the user wrote it, whatever was cut, composed, removed, folded."""

from __future__ import annotations

import sys
import time
import unicodedata
from functools import cache

import numpy as np
import pytest
from data_files import SPECIALS, sentences
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from custom_bert.config import LongTexts
from custom_bert.data.excerpt import Excerpt, joins
from custom_bert.data.text import composed
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import from_vocab
from custom_bert.data.vocabulary import train_tokenizer

KNOWN = "abefijlmost\u00e9\u00df\u01f0\u597d\ud55c\u0301\u0307\u1ea1\u30ac"
TEXTS = [
    *sentences(200),
    *[f"{' '.join(KNOWN)} film films \u0130i 🙂 \u0928\u092e\u0938\u094d\u0924\u0947"] * 3,
]


@cache
def tokenizer(name: str) -> TextTokenizer:
    if name.startswith("trained"):
        characters = sum(map(len, TEXTS))
        lowercase = name == "trained"
        return train_tokenizer(lambda: [TEXTS], vocab_size=900, lowercase=lowercase, characters=characters)
    if name.startswith("byte-level"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator(TEXTS, trainer)
        if name == "byte-level":  # which says itself that spaces are of no token's place
            made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        made.decoder = decoders.ByteLevel()
        return TextTokenizer(made)
    found = from_vocab([*SPECIALS, *KNOWN, *("##" + c for c in KNOWN)], lowercase=True, strip_accents=True)
    if name == "nfkc":
        folding = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        found.backend.normalizer = folding
    return found


NAMES = ("trained", "trained cased", "bert", "byte-level", "byte-level untrimmed", "nfkc")

PARTS = [
    *("a", "b", "e", "J", "T", "film", "FILMS", " ", "  ", "-", "'", "[SEP]"),
    *(
        "\u00e9",
        "e\u0301",
        "e\u200b\u0301",
        "J\u030c",
        "a\u0323\u0301",
        "a\u0301\u0323",
    ),  # accents, in any order
    *("\u0301", "\u0323", "\u0307", "\u0344", "\u030c"),  # those without a letter
    *("\u200b", "\u200d", "\x00", "\x1c", "\u00ad", "\ufeff", "\ue000", "\ufffd"),  # what is taken out
    *("\u0130", "\u1e9e", "\u03a3", "\ufb01", "\u212b", "\uf900", "\u0958"),  # folding changes lengths
    *(
        "\u1112\u1161\u11ab",
        "\u1112\u200b\u1161",
        "\ud55c",
        "\u597d",
        "\uff76\uff9e",
        "\u0928\u092e\u0938\u094d",
    ),
    *("🙂", "👍🏽", "\u2764\ufe0f", "\r", "\n", "\r\n", "\t", "\u3000", "\u00a0", "\u2028"),
]
TEXT = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)


def told(made: TextTokenizer, text: str, length: int, long_texts: LongTexts) -> tuple[list[int], np.ndarray]:
    """Ids and offsets of a text; the ids are those that are given without offsets."""
    encoded = made.encode([text], length, long_texts, offsets=True)
    (ids,), offsets = encoded.sequences, encoded.offsets
    assert offsets is not None
    assert made.encode([text], length, long_texts).sequences[0].tolist() == ids.tolist()
    return ids.tolist(), offsets[0]


def groups(ids: list[int], offsets: np.ndarray) -> list[tuple[int, int, list[int]]]:
    """Tokens that share characters, as the bytes of an emoji do, together: begin, end, and ids."""
    found: list[tuple[int, int, list[int]]] = []
    for token_id, (start, end) in zip(ids, offsets.tolist(), strict=True):
        if found and start < found[-1][1]:
            first, last, members = found.pop()
            found.append((first, max(last, end), [*members, token_id]))
        else:
            found.append((start, end, [token_id]))
    return found


def letters(made: TextTokenizer, ids: list[int]) -> str:
    tokens = [str(made.backend.id_to_token(token_id)) for token_id in ids]
    if made.backend.decoder is not None:
        return "".join(str(made.backend.decoder.decode(tokens)).split())
    return "".join(token.removeprefix("##") for token in tokens)


def normalized(made: TextTokenizer, text: str) -> str:
    found = composed(text) if made.composes else text
    if made.backend.normalizer is not None:
        found = made.backend.normalizer.normalize_str(found)
    return "".join(found.split())


@pytest.mark.parametrize("long_texts", ["head", "head_tail", "windows"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(text=TEXT, length=st.sampled_from([4, 9, 64]))
@example(text="e\u200b\u0301 J\u030c film", length=64)
@example(text="a" + "\u0301\u0323" * 3, length=64)
@example(text="film " * 2000, length=4)
def test_the_text_at_a_tokens_place_is_the_token(
    name: str, long_texts: LongTexts, text: str, length: int
) -> None:
    made = tokenizer(name)
    ids, offsets = told(made, text, length, long_texts)
    assert offsets.shape == (len(ids), 2) and offsets.dtype == np.int64
    assert (offsets[:, 0] <= offsets[:, 1]).all() and offsets[0].tolist() == [0, 0]
    assert offsets[-1].tolist() == [len(text)] * 2
    assert (np.diff(offsets, axis=0) >= 0).all(), "never backwards"
    was_cut = made.encode([text], length, long_texts).lost_N[0] > 0
    special = {*made.special_ids, *range(len(SPECIALS))}
    for start, end, members in groups(ids[1:-1], offsets[1:-1]):
        if special & set(members):  # [UNK], and what a text has of "[SEP]"
            assert start < end
            continue
        wanted, found = normalized(made, text[start:end]), letters(made, members)
        if was_cut and found != wanted:  # cut through the tokens of a character
            assert wanted.startswith(found.strip("\ufffd")) or wanted.endswith(found.strip("\ufffd"))
        else:
            assert found == wanted


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("trained", "a film", [(0, 1), (2, 6)]),
        ("trained", "e\u0301 film", [(0, 2), (3, 7)]),
        ("trained", "e\u200b\u0301 film", [(0, 3), (4, 8)]),  # composed only after the space is taken out
        ("trained", "J\u030c film", [(0, 2), (3, 7)]),  # and only after case is folded
        ("trained", "\ufefffilm\r\nfilm", [(1, 5), (7, 11)]),
        ("trained", "fi\u00adlm", [(0, 5)]),
        ("trained", "\u1112\u1161\u11ab\u597d", [(0, 3), (3, 4)]),
        ("trained", "🙂\u2028film", [(0, 1), (2, 6)]),
        ("bert", "e\u0301b", [(0, 2), (2, 3)]),  # an accent that is taken out belongs to its letter
        ("nfkc", "\uff76\uff9e \ufb01", [(0, 2), (3, 4), (3, 4)]),
        ("byte-level", "a film", [(0, 1), (2, 6)]),
        ("byte-level untrimmed", "a film \n", [(0, 1), (2, 6), (6, 7), (7, 8)]),
    ],
)
def test_places_of_tokens(name: str, text: str, wanted: list[tuple[int, int]]) -> None:
    _, offsets = told(tokenizer(name), text, 64, "head")
    assert [tuple(place) for place in offsets[1:-1].tolist()] == wanted


def test_places_in_a_long_text_are_those_of_its_ends() -> None:
    made = tokenizer("trained")
    text = "   " + "film " * 4000 + "e\u0301 films are e\u0301"
    for long_texts in ("head", "head_tail"):
        _, offsets = told(made, text, 10, long_texts)  # type: ignore[arg-type]
        words = [text[start:end].lower() for start, end in offsets[1:-1].tolist()]
        assert words[:2] == ["film", "film"] and offsets[1].tolist() == [3, 7]
        assert words[-1] == ("e\u0301" if long_texts == "head_tail" else "film")


def test_offsets_are_told_on_request_alone() -> None:
    assert tokenizer("bert").encode(["film"], 8).offsets is None
    assert tokenizer("bert").encode([], 8, offsets=True).offsets == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "film " * 2_000_000,
            " " * 10_000_000 + "film",
            "\u200b" * 5_000_000,
            "a" + "\u0301\u0323" * 3_000_000,
        ),
        *("\u1112\u1161" * 3_000_000, "\u597d\ufe0f" * 3_000_000, "\u0301" + "\u00ad" * 5_000_000 + "\u0301"),
    ],
    ids=["words", "space", "zero width", "accents", "hangul", "variants", "hyphens"],
)
def test_offsets_of_an_endless_line_take_no_endless_time(text: str) -> None:
    made = tokenizer("trained")
    started = time.process_time()
    made.encode([text], 128, "head_tail", offsets=True)
    assert time.process_time() - started < 3


def test_a_mark_that_joins_nothing_has_its_own_place() -> None:
    excerpt = Excerpt("a\u0337e\u0301", traced=True)
    tokens = [(at, at + 1) for at in range(4)]
    assert excerpt.places(tokens, str).tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert excerpt.places(tokens, composed).tolist() == [[0, 1], [1, 2], [2, 4], [2, 4]]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(TEXT)
def test_composing_keeps_track_of_every_character(text: str) -> None:
    excerpt = Excerpt(text, traced=True)
    excerpt.compose()
    assert excerpt.text == composed(text)
    tokens = [(at, at + 1) for at in range(len(excerpt.text))]
    places = excerpt.places(tokens, lambda part: part)
    for character, (start, end) in zip(excerpt.text, places.tolist(), strict=True):
        assert character in composed(text[start:end])
    covered = {at for start, end in places.tolist() for at in range(start, end)}
    assert covered == set(range(len(text)))


def test_every_character_that_composes_with_one_before_it_is_known() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.combining(character):
            assert joins(character), hex(code)
        parts = unicodedata.decomposition(character)
        if len(parts.split()) == 2 and "<" not in parts:
            assert joins(chr(int(parts.split()[1], 16))), hex(code)
