"""A trained vocabulary loses no text: long runs, unknown characters, and accents however they are stored."""

import random
import time
import unicodedata
from typing import Any

import pytest
from data_files import sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers

from custom_bert.data.split_pattern import LONGEST_WORD, is_split_pattern, split_pattern
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_json import checked
from custom_bert.data.vocabulary import train_tokenizer

THAI = ["ร้าน", "อาหาร", "โรงแรม", "ห้อง", "บริการ", "พนักงาน", "อร่อย", "สะอาด", "แย่", "สกปรก", "ช้า", "แพง"]


def trained(texts: list[str], *, vocab_size: int = 1000, lowercase: bool = True) -> TextTokenizer:
    characters = sum(map(len, texts))
    return train_tokenizer(lambda: [texts], vocab_size=vocab_size, lowercase=lowercase, characters=characters)


def tokens(tokenizer: TextTokenizer, text: str) -> list[str]:
    return list(tokenizer.backend.encode(text, add_special_tokens=False).tokens)


def thai_texts(words: int) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices(THAI, k=words)) for _ in range(200)]


ENGLISH = trained(sentences(300))
RUNS = trained(thai_texts(40))


def test_a_run_of_more_than_a_hundred_characters_keeps_its_content() -> None:
    for text in thai_texts(40)[:20]:
        assert len(text) > LONGEST_WORD
        found = tokens(RUNS, text)
        assert "[UNK]" not in found
        assert "".join(token.removeprefix("##") for token in found) == unicodedata.normalize("NFC", text)


def test_two_long_texts_of_other_words_have_other_tokens() -> None:
    first, second = (text * 2 for text in thai_texts(15)[:2])
    assert tokens(RUNS, first) != tokens(RUNS, second)


def test_long_words_of_plain_text_keep_their_content_too() -> None:
    link = "https://example.org/" + "abcdefghij" * 15 + "?q=" + "x" * 250
    assert "[UNK]" not in tokens(trained([*sentences(300), link, link]), link)


def test_a_word_up_to_the_limit_is_divided_as_bert_divides_it() -> None:
    bert = Tokenizer.from_str(ENGLISH.to_json())
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    for text in [*sentences(100, seed=3), "a" * LONGEST_WORD, "don't-stop/" * 40, "x," * 300]:
        assert tokens(ENGLISH, text) == bert.encode(text, add_special_tokens=False).tokens


def test_of_a_word_with_an_unknown_character_the_rest_is_kept() -> None:
    word = max(sentences(1)[0].split(), key=len)
    assert tokens(ENGLISH, f"{word}\U0001fae0{word}") == [
        *tokens(ENGLISH, word),
        "[UNK]",
        *tokens(ENGLISH, word),
    ]
    assert tokens(ENGLISH, f"\U0001fae0\U0001fae0{word}") == ["[UNK]", "[UNK]", *tokens(ENGLISH, word)]


@pytest.mark.parametrize("strange", ["N", "\U0001fae0", "\u4e00"])
def test_an_unknown_character_in_a_long_run_costs_itself(strange: str) -> None:
    draw = random.Random(0)
    made = trained(["".join(draw.choices("ACGT", k=300)) for _ in range(50)])
    run = "".join(draw.choices("ACGT", k=300))
    for places in ([50], [0, 60, 120, 180, 240], [150], [99], [100], [299]):
        text = "".join(f"{strange}{letter}" if i in places else letter for i, letter in enumerate(run))
        found = tokens(made, text)
        assert found.count("[UNK]") == len(places)
        kept = "".join(token.removeprefix("##") for token in found if token != "[UNK]")
        assert kept == run.lower()
        encoded = made.encode([text], 512)
        assert encoded.unknown_N.tolist() == [len(places)]


def test_characters_that_the_normalizer_takes_out_are_unknown() -> None:
    """BERT's takes private-use characters out, and no token tells that they were there."""
    encoded = ENGLISH.encode(["\ue000\ue001", "\ue000 film", "\ufffd", "film", "a\u200bb"], 16)
    assert encoded.unknown_N.tolist() == [2, 1, 1, 0, 0]
    assert encoded.characters_N.tolist()[:4] == [2, 5, 1, 4]
    assert ENGLISH.encode_plain(["\ue000\ue001"]).unknown_N.tolist() == [2]


def test_no_share_is_above_one_and_white_space_does_not_count() -> None:
    known, strange = "a b c d " * 200, "\u0416" * 50
    texts = [
        f"{strange} " * 100 + known,
        known + f" {strange}" * 100,
        "\u0416  \u0416  \u0416",
        " ".join(strange),
    ]
    for long_texts in ("head", "head_tail"):
        encoded = ENGLISH.encode(texts, 64, long_texts)  # type: ignore[arg-type]
        assert (encoded.unknown_N <= encoded.characters_N).all()
        assert encoded.unknown_N[2:].tolist() == encoded.characters_N[2:].tolist() == [3, 50]


@pytest.mark.parametrize("long_texts", ["head", "head_tail", "windows"])
def test_long_texts_lose_the_same_in_either_form(long_texts: Any) -> None:
    draw = random.Random(0)
    syllables = [chr(draw.randrange(0xAC00, 0xD7A4)) for _ in range(60)]
    texts = ["".join(draw.choices(syllables, k=9000)) for _ in range(8)]
    made = trained(texts)
    one, other = (
        made.encode([unicodedata.normalize(form, text) for text in texts], 64, long_texts)
        for form in ("NFC", "NFD")
    )
    assert one.lost_N.tolist() == other.lost_N.tolist() and one.lost_N.all()
    for a, b in zip(one.sequences, other.sequences, strict=True):
        assert a.tolist() == b.tolist()


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.text(max_size=60))
def test_texts_that_look_the_same_have_the_same_tokens(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert tokens(ENGLISH, unicodedata.normalize(form, text)) == tokens(ENGLISH, text)


def test_accents_are_learned_once() -> None:
    composed = ["déjà vu à Nîmes", "élève très âgé", "où es-tu naïf"] * 20
    made = [
        trained([unicodedata.normalize(form, text) for text in composed]).to_json() for form in ("NFC", "NFD")
    ]
    assert made[0] == made[1]


def test_a_letter_finds_its_accent_across_a_zero_width_character() -> None:
    made = trained(["café"] * 30)
    assert tokens(made, "cafe\u200b\u0301") == tokens(made, "café")


def test_time_grows_with_the_length_of_a_run_and_not_with_its_square() -> None:
    """A twentyfold run takes 20 times as long; of quadratic time 400 times. Far apart, whatever else runs."""
    seconds = []
    for count in (5_000, 100_000):
        begun = time.process_time()
        RUNS.backend.encode("กข" * (count // 2), add_special_tokens=False)
        seconds.append(time.process_time() - begun)
    assert seconds[1] < 120 * seconds[0]


# The expression that stands in tokenizer.json


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.sets(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), max_size=30))
def test_every_alphabet_gives_an_expression_that_we_read_and_that_finds_the_others(known: set[str]) -> None:
    pattern = split_pattern(known)
    assert is_split_pattern(pattern)
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    text = "".join(sorted(known))[: LONGEST_WORD - 1]
    assert [part for part, _ in split.pre_tokenize_str(text)] == ([text] if text else [])
    strange = next(letter for letter in "\U00010348\U00010349" if letter not in known)
    assert [part for part, _ in split.pre_tokenize_str(f"{strange}{strange}")] == [strange, strange]


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "[^\\sab",
        ".*",
        "[^\\sa]|(.+)+",
        "[^\\sa\\w]",
        "[^\\sa]|[a]{99}",
        split_pattern("ab") + "+",
        "",
    ],
)
def test_no_other_expression_is_read(pattern: str) -> None:
    assert not is_split_pattern(pattern)
    value = ENGLISH.to_json().replace(__import__("json").dumps(split_pattern(known_letters()))[1:-1], pattern)
    if value != ENGLISH.to_json():
        with pytest.raises(ValueError):
            checked(value.encode())


def known_letters() -> list[str]:
    vocabulary = ENGLISH.backend.get_vocab()
    return [token for token in vocabulary if len(token) == 1 and "##" + token in vocabulary]


def test_the_expression_names_the_characters_that_are_known() -> None:
    assert split_pattern(known_letters()) in ENGLISH.to_json().replace("\\\\", "\\")


def test_what_is_written_is_read_and_the_same() -> None:
    for made in (ENGLISH, RUNS):
        read = Tokenizer.from_str(checked(made.to_json().encode()))
        for text in (*thai_texts(40)[:5], *sentences(5), "great\U0001fae0movie", "Cafe\u0301"):
            assert read.encode(text).ids == made.backend.encode(text).ids
