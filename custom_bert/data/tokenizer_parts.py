"""The parts that a tokenizer.json may have: a closed list of their types, and the checks of their fields.

A docstring that is an example of JSON shows what the function accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom_bert.data.tokenizer_fields import (
    LARGEST_ID,
    Check,
    Fields,
    character,
    flag,
    list_of,
    never_random,
    number,
    object_of,
    one_of,
    or_null,
    part_of,
    pattern,
    text,
    token_id,
)
from custom_bert.errors import shown

# Post-processors


def _marked(value: Any, where: str) -> None:
    """Checks a token with its id: ["[SEP]", 102]."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{where}: expected a token and its id")
    text(value[0], where)
    token_id(value[1], where)


def _template(*sequences: str) -> Check:
    """Returns the check of a template, which is a list of pieces.

    A piece is {"SpecialToken": {"id": "[CLS]", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}}.

    Args:
        sequences: the names of the texts that the template may use: "A", and for pairs "B". The library
            does not check whether there is a second text.
    """
    names: Fields = {"SpecialToken": text, "Sequence": one_of(*sequences)}

    def piece(value: Any, where: str) -> None:
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= names.keys():
            raise ValueError(f"{where}: expected a SpecialToken or a Sequence")
        ((kind, inner),) = value.items()
        object_of({"id": names[kind], "type_id": number(0, 255)})(inner, where)

    return list_of(piece)


def _special_tokens(value: Any, where: str) -> None:
    """Checks the special tokens of a template: {"[CLS]": {"id": "[CLS]", "ids": [101], "tokens":
    ["[CLS]"]}}."""
    if not isinstance(value, dict) or len(value) > 100:
        raise ValueError(f"{where}: expected an object")
    for name, one in value.items():
        place = f"{where}.{shown(name)}"
        object_of({"id": text, "ids": list_of(token_id), "tokens": list_of(text)})(one, place)
        if one["id"] != name or not len(one["ids"]) == len(one["tokens"]) > 0:
            raise ValueError(f"{place}: ids and tokens do not belong together")


# Models


def _vocabulary(value: Any, where: str) -> None:
    """Checks a vocabulary: {"[PAD]": 0, "the": 1}."""
    if not isinstance(value, dict) or not value or len(value) > LARGEST_ID:
        raise ValueError(f"{where}: expected tokens and their ids")
    for token, one in value.items():
        text(token, where)
        if type(one) is not int or not 0 <= one <= LARGEST_ID:
            raise ValueError(f"{where}: {shown(token)} has the id {shown(one)}")
    if len(set(value.values())) != len(value):
        raise ValueError(f"{where}: two tokens have the same id")


def _merges(value: Any, where: str) -> None:
    """Checks the merges of BPE. Each is "a b" or ["a", "b"]."""
    if not isinstance(value, list) or len(value) > LARGEST_ID:
        raise ValueError(f"{where}: expected a list of merges")
    for one in value:
        parts = one.split(" ") if isinstance(one, str) else one
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise ValueError(f"{where}: {shown(one)} is not a merge of two tokens")


def _scores(value: Any, where: str) -> None:
    """Checks the tokens of a Unigram model with their scores: [["<unk>", 0.0], ["a", -3.5]]."""
    if not isinstance(value, list) or not value or len(value) > LARGEST_ID:
        raise ValueError(f"{where}: expected tokens and their scores")
    for one in value:
        pair = isinstance(one, list) and len(one) == 2 and type(one[1]) in (int, float)
        if not pair or abs(one[1]) > 1e6:
            raise ValueError(f"{where}: {shown(one)} is not a token with a score")
        text(one[0], where)


# The tables

_BEHAVIOR = one_of("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
_BYTE_LEVEL: Fields = {"add_prefix_space": flag, "trim_offsets": flag, "use_regex": flag}
_METASPACE: Fields = {
    "replacement": character,
    "add_prefix_space": flag,
    "prepend_scheme": one_of("first", "never", "always"),
    "split": flag,
}
_REPLACE: Fields = {"pattern": pattern, "content": text}
_AROUND: Fields = {"sep": _marked, "cls": _marked}

NORMALIZERS: Mapping[str, Fields] = {
    "BertNormalizer": {
        "clean_text": flag,
        "handle_chinese_chars": flag,
        "strip_accents": or_null(flag),
        "lowercase": flag,
    },
    "Lowercase": {},
    "NFC": {},
    "NFD": {},
    "NFKC": {},
    "NFKD": {},
    "Nmt": {},
    "StripAccents": {},
    "Strip": {"strip_left": flag, "strip_right": flag},
    "Prepend": {"prepend": text},
    "Replace": _REPLACE,
}
PRE_TOKENIZERS: Mapping[str, Fields] = {
    "BertPreTokenizer": {},
    "Whitespace": {},
    "WhitespaceSplit": {},
    "UnicodeScripts": {},
    "ByteLevel": _BYTE_LEVEL,
    "Metaspace": _METASPACE,
    "Punctuation": {"behavior": _BEHAVIOR},
    "Digits": {"individual_digits": flag},
    "CharDelimiterSplit": {"delimiter": character},
    "Split": {"pattern": pattern, "behavior": _BEHAVIOR, "invert": flag},
}
POST_PROCESSORS: Mapping[str, Fields] = {
    "BertProcessing": _AROUND,
    "RobertaProcessing": {**_AROUND, "trim_offsets": flag, "add_prefix_space": flag},
    "ByteLevel": _BYTE_LEVEL,
    "TemplateProcessing": {
        "single": _template("A"),
        "pair": _template("A", "B"),
        "special_tokens": _special_tokens,
    },
}
DECODERS: Mapping[str, Fields] = {
    "WordPiece": {"prefix": text, "cleanup": flag},
    "ByteLevel": _BYTE_LEVEL,
    "Metaspace": _METASPACE,
    "BPEDecoder": {"suffix": text},
    "ByteFallback": {},
    "Fuse": {},
    "Strip": {"content": character, "start": number(0, 1000), "stop": number(0, 1000)},
    "Replace": _REPLACE,
}
MODELS: Mapping[str, Fields] = {
    "WordPiece": {
        "unk_token": text,
        "continuing_subword_prefix": text,
        "max_input_chars_per_word": number(1, 1000),
        "vocab": _vocabulary,
    },
    "WordLevel": {"vocab": _vocabulary, "unk_token": text},
    "BPE": {
        "dropout": never_random,
        "unk_token": or_null(text),
        "continuing_subword_prefix": or_null(text),
        "end_of_word_suffix": or_null(text),
        "fuse_unk": flag,
        "byte_fallback": flag,
        "ignore_merges": flag,
        "vocab": _vocabulary,
        "merges": _merges,
    },
    "Unigram": {"unk_id": or_null(token_id), "vocab": _scores, "byte_fallback": flag},
}

PARTS: Mapping[str, Check] = {
    "normalizer": part_of(NORMALIZERS, "normalizers"),
    "pre_tokenizer": part_of(PRE_TOKENIZERS, "pretokenizers"),
    "post_processor": part_of(POST_PROCESSORS, "processors"),
    "decoder": part_of(DECODERS, "decoders"),
}
"""The keys of a tokenizer.json that hold a part, or null."""

ADDED_TOKENS = list_of(
    object_of(
        {
            "id": token_id,
            "content": text,
            "single_word": flag,
            "lstrip": flag,
            "rstrip": flag,
            "normalized": flag,
            "special": flag,
        }
    ),
    most=1 << 16,
)


def check_model(value: Any, where: str = "model") -> None:
    """Checks the model of a tokenizer.json: its keys, that ids are distinct, and that merged tokens exist.

    Raises:
        NotSupportedError: if it is of a kind that is not supported.
        ValueError: if it is damaged; the message says where.
    """
    part_of(MODELS)(value, where)
    if value["type"] == "Unigram" and (value.get("unk_id") or 0) >= len(value["vocab"]):
        raise ValueError(f"{where}: unk_id is beyond the vocabulary")
    if value["type"] == "BPE":
        _check_merges(value, where)


def _check_merges(model: Mapping[str, Any], where: str) -> None:
    """Raises ValueError if a token that is merged, or the token that results, has no id."""
    vocabulary, prefix = model["vocab"], model.get("continuing_subword_prefix") or ""
    for one in model["merges"]:
        first, second = one.split(" ") if isinstance(one, str) else one
        if not second.startswith(prefix):
            raise ValueError(f"{where}: the second token of the merge {shown(one)} lacks {prefix!r}")
        for token in (first, second, first + second.removeprefix(prefix)):
            if token not in vocabulary:
                raise ValueError(f"{where}: the merge {shown(one)} needs {shown(token)}, which has no id")
