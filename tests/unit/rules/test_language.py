"""The language gate: English is let through, and what its vocabulary cuts to pieces is not."""

import base64
import random
from pathlib import Path

import pytest
from real_checkpoints import data_set, lines_of, minilm

from custom_bert.data.text_sample import spread
from custom_bert.model_files.pretrained import load_pretrained
from custom_bert.rules.language import CHARACTERS, SAMPLE, Cutting, Writing, not_of_its_language, writing
from custom_bert.training.start import cutting

ENGLISH = ["The delivery came two weeks late, and the parcel was damaged.", "Where can I find a chemist?"]
GERMAN = [
    "Heute morgen bin ich mit dem Fahrrad zur Arbeit gefahren, weil die Sonne schien.",
    "Der Kundendienst hat mir nach drei Tagen endlich geantwortet, aber das Problem besteht weiter.",
    "Das Hotelzimmer war sauber, das Frühstück reichhaltig und das Personal sehr freundlich.",
    "Die Bundesregierung hat gestern ein neues Gesetz zur Förderung erneuerbarer Energien beschlossen.",
    "Wo finde ich die Bedienungsanleitung für diese Waschmaschine?",
    "Mein Großvater erzählt gern Geschichten aus seiner Kindheit auf dem Bauernhof.",
    "Ich habe mein Passwort vergessen und kann mich nicht mehr anmelden.",
    "Nach dem Gewitter war die Straße zwischen den beiden Dörfern gesperrt.",
]
CHINESE = ["房间很干净、服务员态度也很好、下次还会住这里。", "早餐太差了、隔音不好、不推荐。"]
THAI = ["โรงแรมสะอาดมากพนักงานบริการดีอาหารอร่อย", "ห้องสกปรกและบริการช้ามากผิดหวัง"]
RANDOM = random.Random(0)
BASE64 = [base64.b64encode(RANDOM.randbytes(57)).decode() for _ in range(50)]
NUMBERS = [" ".join(str(RANDOM.randrange(1000)) for _ in range(12)) for _ in range(50)]
CODE = [line for line in Path(random.__file__).read_text(encoding="utf-8").split("\n") if line.strip()]


def test_how_texts_are_written_is_counted() -> None:
    assert writing(["Über 3 cafés,", "да"]) == Writing(texts=2, characters=13, words=4, letters=11, latin=9)


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (CHINESE, "only 0% of the letters are Latin"),
        (THAI, "only 0% of the letters are Latin"),
        (BASE64, "76 characters a word"),
        (NUMBERS, "only 0% of the characters are letters"),
        ([" ", ""], "the texts have no words"),
    ],
)
def test_without_a_vocabulary_the_writing_tells(texts: list[str], told: str) -> None:
    assert not_of_its_language(writing(texts), None) == (True, told)


def test_without_a_vocabulary_languages_in_latin_letters_do_not_differ() -> None:
    assert [not_of_its_language(writing(texts), None)[0] for texts in (ENGLISH, GERMAN)] == [False, False]


@pytest.mark.parametrize(
    ("unknown", "pieces", "other"), [(5, 220, False), (6, 100, True), (0, 221, True), (0, 150, False)]
)
def test_the_vocabulary_decides_by_unknown_characters_and_pieces_a_word(
    unknown: int, pieces: int, other: bool
) -> None:
    written = Writing(texts=1, characters=500, words=100, letters=480, latin=480)
    found, told = not_of_its_language(written, Cutting(characters=100, unknown=unknown, pieces=pieces))
    assert found is other
    assert told == f"{pieces / 100:.1f} pieces a word, {unknown}% of the characters unknown"


def decided(texts: list[str]) -> bool:
    """Whether the real vocabulary of all-MiniLM-L6-v2 lets texts through."""
    texts = [text[:CHARACTERS] for text in spread([texts], SAMPLE)]
    return not not_of_its_language(writing(texts), cutting(texts, load_pretrained(minilm()).tokenizer))[0]


def test_english_passes_and_german_code_and_other_scripts_do_not() -> None:
    kinds = {"German": GERMAN, "Chinese": CHINESE, "Thai": THAI, "base64": BASE64, "code": CODE}
    assert decided(ENGLISH)
    assert [name for name, texts in {**kinds, "numbers": NUMBERS}.items() if decided(texts)] == []


@pytest.mark.parametrize("name", ["trec", "banking77", "ag_news", "sst2", "20ng", "imdb"])
def test_every_english_set_passes(name: str, tmp_path: Path) -> None:
    assert decided(lines_of(data_set(name, tmp_path)))


def test_the_chinese_set_does_not_pass(tmp_path: Path) -> None:
    assert not decided(lines_of(data_set("zh_chnsenticorp_htl", tmp_path)))


def test_a_sample_is_spread_evenly_whatever_blocks_it_comes_in() -> None:
    texts = [str(i) for i in range(10_000)]
    found = spread([texts[:3], texts[3:5000], [], texts[5000:]], 100)
    assert found == spread([texts], 100) == texts[::128] and len(found) == 79
    assert spread([texts[:100]], 100) == texts[:100]
    assert spread([texts[:101]], 100) == texts[:101:2]
