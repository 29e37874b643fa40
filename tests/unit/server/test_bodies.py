"""What bodies of requests are read, and the one line that says why another is not."""

import json
from typing import Any

import pytest

from custom_bert.server.bodies import PREDICTION_KEYS, VECTOR_KEYS, read_texts, read_words
from custom_bert.server.limits import OVERHEAD, Limits, RefusalError

LIMITS = Limits(texts=4, characters=40)


def read(body: Any, *, pairs: bool = False) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_texts(content, LIMITS, pairs=pairs, keys=PREDICTION_KEYS)


def refused(body: Any, *, pairs: bool = False) -> tuple[int, str]:
    with pytest.raises(RefusalError) as error:
        read(body, pairs=pairs)
    assert "\n" not in error.value.line
    return error.value.status, error.value.line


def test_texts_are_read_with_their_sizes() -> None:
    asked = read({"texts": ["a", "bcd"], "probabilities": True})
    assert (asked.items, asked.sizes, asked.every) == (["a", "bcd"], [1 + OVERHEAD, 3 + OVERHEAD], True)
    assert read({"text": ""}).items == [""]
    assert read({"texts": []}).items == []


def test_pairs_are_read_where_the_model_reads_pairs() -> None:
    asked = read({"texts": [["a", "b"], ["c", ""]]}, pairs=True)
    assert asked.items == [["a", "b"], ["c", ""]]
    assert read({"text": ["a", "b"]}, pairs=True).items == [["a", "b"]]
    line = 'texts[1]: expected two texts, such as ["a", "b"]; this model reads pairs'
    assert refused({"texts": [["a", "b"], "c"]}, pairs=True) == (422, line)
    assert refused({"texts": [["a", "b", "c"]]}, pairs=True)[0] == 422
    assert refused({"texts": [["a", 1]]}, pairs=True)[0] == 422
    assert refused({"texts": [["a", "b"]]}) == (422, "texts[0]: expected a text, got a list")


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"", 400, "the body is not JSON: it is empty"),
        (b"{", 400, "the body is not JSON: Expecting property name enclosed in double quotes at character 1"),
        (b'{"texts": ["a"]} x', 400, "the body is not JSON: Extra data at character 17"),
        (b'{"texts": NaN}', 400, "the body is not JSON: NaN is not JSON"),
        (b'{"texts": -Infinity}', 400, "the body is not JSON: -Infinity is not JSON"),
        (b'{"text": "\xff"}', 400, "the body is not UTF-8, from byte 10 on"),
        (b'{"text": "\xed\xa0\xbc"}', 400, "the body is not UTF-8, from byte 10 on"),
        ("ä".encode("utf-16"), 400, "the body is not UTF-8, from byte 0 on"),
        (b"[" * 100_000, 400, "the body is not JSON that is read here: it is nested too deeply"),
        (b'{"a":' * 100_000, 400, "the body is not JSON that is read here: it is nested too deeply"),
        (
            b"9" * 5000,
            400,
            "the body is not JSON: Exceeds the limit (4300 digits) for integer string conversion",
        ),
        (b"[]", 422, 'the body has to be an object, such as {"texts": ["a text", "another"]}'),
        (b'"text"', 422, 'the body has to be an object, such as {"texts": ["a text", "another"]}'),
        (b'{"textes": []}', 422, "unknown key 'textes' (did you mean 'texts'?)"),
        (b"{}", 422, "give either 'texts', a list, or 'text'"),
        (b'{"text": "a", "texts": []}', 422, "give either 'texts', a list, or 'text'"),
        (b'{"texts": "a"}', 422, "texts: expected a list of texts"),
        (b'{"texts": null}', 422, "texts: expected a list of texts"),
        (b'{"texts": ["a", null]}', 422, "texts[1]: expected a text, got nothing"),
        (b'{"texts": [true]}', 422, "texts[0]: expected a text, got true or false"),
        (b'{"texts": [1.5]}', 422, "texts[0]: expected a text, got a number"),
        (b'{"texts": [{}]}', 422, "texts[0]: expected a text, got an object"),
        (b'{"text": ["a"]}', 422, "text: expected a text, got a list"),
        (b'{"text": "a", "probabilities": 1}', 422, "probabilities: expected true or false"),
        (b'{"texts": ["a", "a", "a", "a", "a"]}', 413, "texts: at most 4 texts are read at a time"),
        (b'{"text": "' + b"a" * 41 + b'"}', 413, "text: at most 40 characters are read at a time"),
    ],
    ids=range(26),
)
def test_each_fault_of_a_body_has_its_code_and_its_line(body: bytes, status: int, line: str) -> None:
    assert refused(body) == (status, line)


def test_the_limit_of_texts_counts_both_texts_of_a_pair() -> None:
    assert len(read({"texts": [["a", "b"]] * 2}, pairs=True).items) == 2
    assert refused({"texts": [["a", "b"]] * 3}, pairs=True)[0] == 413


def test_whatever_the_limits_allow_fits_into_the_largest_body() -> None:
    limits = Limits(texts=10, characters=1000)
    texts = ["😀" * 100] * 10
    body = json.dumps({"texts": texts}).encode()
    assert len(body) <= limits.body_bytes
    assert read_texts(body, limits, pairs=False, keys=PREDICTION_KEYS).items == texts


def test_a_key_that_is_long_is_not_repeated_as_a_whole() -> None:
    status, line = refused({"x" * 10_000: 1})
    assert status == 422 and len(line) < 120


def test_a_request_for_words_of_a_pair_has_two_texts() -> None:
    assert read_words(b'{"text": ["a", "b"]}', pairs=True).text == ["a", "b"]
    for body in (b'{"text": "a"}', b'{"text": ["a"]}', b"{}"):
        with pytest.raises(RefusalError, match="text: expected two texts"):
            read_words(body, pairs=True)


def test_vectors_have_no_probabilities() -> None:
    with pytest.raises(RefusalError, match="unknown key 'probabilities'"):
        read_texts(b'{"text": "a", "probabilities": true}', LIMITS, pairs=False, keys=VECTOR_KEYS)


def test_a_request_for_words_is_read() -> None:
    asked = read_words(b'{"text": "a fine film", "label": "good", "most": 3}', pairs=False)
    assert (asked.text, asked.label, asked.most) == ("a fine film", "good", 3)


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        (b"{}", 422, "text: expected a text, got nothing"),
        (b'{"text": "a", "label": 3}', 422, "label: expected a label, got a number"),
        (b'{"text": "a", "most": true}', 422, "most: expected a whole number from 0 to 256"),
        (b'{"text": "a", "most": -1}', 422, "most: expected a whole number from 0 to 256"),
        (b'{"text": "a", "most": 1e9}', 422, "most: expected a whole number from 0 to 256"),
        (b'{"text": "' + b"a" * 2001 + b'"}', 413, "text: at most 2,000 characters of a text are explained"),
    ],
    ids=range(6),
)
def test_each_fault_of_a_request_for_words_has_its_line(body: bytes, status: int, line: str) -> None:
    with pytest.raises(RefusalError) as error:
        read_words(body, pairs=False)
    assert (error.value.status, error.value.line) == (status, line)
