"""tokenizer.json: what published ones hold is taken unchanged; the rest never reaches the library."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from custom_bert.data.tokenizer_fields import NotSupportedError
from custom_bert.data.tokenizer_files import from_vocab
from custom_bert.data.tokenizer_json import NotATokenizerError, checked

TEXTS = ["The cat's 12 mats, naïve 价格!", "  two  spaces\n", "[MASK] <mask> ##ing"]


def word_piece() -> Tokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "mat", "'", "価", ","]
    return from_vocab(words, lowercase=True).backend


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE(ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        TEXTS * 5,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram([("<unk>", 0.0), ("<s>", 0.0), ("▁the", -2.5), ("c", -4.0)], 0, False))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()]
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    made.decoder = decoders.Metaspace()
    return made


@pytest.mark.parametrize("make", [word_piece, byte_level, unigram])
def test_what_tokenizers_write_is_taken_and_means_the_same(make: Callable[[], Tokenizer]) -> None:
    made = make()
    read = Tokenizer.from_str(checked(made.to_str().encode()))
    for text in TEXTS:
        assert read.encode(text).ids == made.encode(text).ids
    assert read.to_str() == made.to_str()


def spoilt(make: Callable[[], Tokenizer], **changes: Any) -> bytes:
    value = json.loads(make().to_str())
    for path, new in changes.items():
        inner = value
        *keys, last = path.split("__")
        for key in keys:
            inner = inner[key]
        inner[last] = new
    return json.dumps(value).encode()


REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": False}
PRECOMPILED = {"type": "Precompiled", "precompiled_charsmap": ""}
DEEP: Any = {"type": "Lowercase"}
for _ in range(10):
    DEEP = {"type": "Sequence", "normalizers": [DEEP]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "expected an object"),
        (b'{"version": "1.0"}', "the key 'model' is missing"),
        (spoilt(word_piece, evil=1), "a tokenizer.json with the key 'evil'"),
        (spoilt(word_piece, model__type="Evil"), "a tokenizer whose model is of the type 'Evil'"),
        (spoilt(word_piece, model__vocab={"a": 0, "b": 0}), "model.vocab: two tokens have the same id"),
        (spoilt(word_piece, model__vocab={"a": -1}), "model.vocab: 'a' has the id -1"),
        (spoilt(word_piece, model__vocab={"a": True}), "model.vocab: 'a' has the id True"),
        (
            spoilt(word_piece, model__vocab={"\ud800": 1}),
            "model.vocab: a surrogate, which is half a character",
        ),
        (spoilt(word_piece, model__max_input_chars_per_word=-1), "expected a whole number from 1"),
        (spoilt(byte_level, model__dropout=0.1), "divides words at random (model.dropout is 0.1)"),
        (spoilt(byte_level, model__merges=[["a", "b", "c"]]), "is not a merge of two tokens"),
        (spoilt(byte_level, model__merges=[["qq", "zz"]]), "needs 'qq', which has no id"),
        (spoilt(unigram, model__unk_id=99), "unk_id is beyond the vocabulary"),
        (spoilt(unigram, model__vocab=[["a", "b"]]), "is not a token with a score"),
        (
            spoilt(word_piece, pre_tokenizer=REGEX),
            "with a regular expression (pre_tokenizer.pattern is '(a+)+$')",
        ),
        (spoilt(word_piece, normalizer=DEEP), "nested too deeply"),
        (spoilt(unigram, normalizer=PRECOMPILED), "SentencePiece tokenizer (Unigram with a Precompiled norm"),
        (spoilt(unigram, normalizer={"type": "Sequence", "normalizers": [PRECOMPILED]}), "a SentencePiece"),
        (spoilt(word_piece, normalizer={"type": "New"}), "whose normalizer is of the type 'New'"),
        (spoilt(word_piece, normalizer={"form": "NFC"}), "normalizer: expected an object with a type"),
        (spoilt(word_piece, pre_tokenizer={"type": "BertPreTokenizer", "x": 1}), "has the key 'x'"),
        (spoilt(word_piece, post_processor__special_tokens={}), "the special token '[CLS]' is not defined"),
        (
            spoilt(byte_level, post_processor__sep=["</s>", 99_999]),
            "post_processor: the id 99999 is not in the vocabulary",
        ),
        (b'{"model": 1, "model": 2}', "the key 'model' stands there twice"),
        (b'{"model": NaN}', "NaN is no number"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_not_known_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        checked(content)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", NotATokenizerError),
        (b'{"version": "1.0"}', NotATokenizerError),
        (spoilt(word_piece, pre_tokenizer=REGEX), NotSupportedError),
        (spoilt(word_piece, evil=1), NotSupportedError),
        (spoilt(word_piece, model__vocab={"a": -1}), ValueError),
        (spoilt(word_piece, normalizer=3), ValueError),
    ],
)
def test_no_tokenizer_an_unsupported_one_and_a_spoilt_one_are_told_apart(
    content: bytes, kind: type[ValueError]
) -> None:
    with pytest.raises(ValueError) as caught:
        checked(content)
    assert type(caught.value) is kind


def test_added_tokens_agree_with_the_vocabulary() -> None:
    value = json.loads(word_piece().to_str())
    for change, reason in (
        ({"content": ""}, "an empty token"),
        ({"content": "cat"}, "'cat' has another id in the vocabulary"),
        ({"content": "new"}, "belongs to '[PAD]'"),
        ({"id": -1}, "expected a whole number"),
        ({"lstrip": 1}, "expected true or false"),
    ):
        added = [{**value["added_tokens"][0], **change}, *value["added_tokens"][1:]]
        with pytest.raises(ValueError) as caught:
            checked(json.dumps({**value, "added_tokens": added}).encode())
        assert reason in str(caught.value)


def test_of_several_faults_the_same_one_is_told_in_every_process() -> None:
    """The first in the order in which the keys are listed, not in that of a set, which differs."""
    value = json.loads(word_piece().to_str())
    value["added_tokens"][0] = dict.fromkeys(value["added_tokens"][0], 1.5)
    with pytest.raises(ValueError) as caught:
        checked(json.dumps(value).encode())
    assert str(caught.value).startswith("added_tokens[0].id: expected a whole number")
