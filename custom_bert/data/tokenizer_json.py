"""tokenizer.json as data: parts from a closed list, with values that the `tokenizers` library can bear.

The library takes the file as it comes; of 6,000 spoilt ones 42 made it panic, 5 ended the process, and 25
gave ids beyond the vocabulary. So every part is looked at first, and what is not known is refused. Truncation
and padding are left out: they are no part of how a text is divided.

Three things may be wrong, and each has its exception: the file is no tokenizer.json (`NotATokenizerError`),
it is one of a kind that is not supported (`NotSupportedError`), or it is spoilt (`ValueError`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from custom_bert.data.split_pattern import is_split_pattern
from custom_bert.errors import shown
from custom_bert.files import parse_json

LARGEST_ID = 1 << 22
GROWTH = 64
"""Times as long as it was, a normalised text may be by its replacements."""

LONGEST = 1 << 16
"""Characters of a string that a tokenizer would hold."""

Check = Callable[[Any, str], None]


class NotATokenizerError(ValueError):
    """A file that is no tokenizer.json at all."""


class NotSupportedError(ValueError):
    """A tokenizer that may be whole, of a kind that is not supported; the message names the kind."""


SENTENCE_PIECE = "a SentencePiece tokenizer"


def checked(content: bytes) -> str:
    """The file as the library may have it.

    Raises:
        NotATokenizerError: if it is not a tokenizer.json.
        NotSupportedError: if a part of it is of a kind that is not supported.
        ValueError: if it is spoilt, saying where.
    """
    value = _parsed(content)
    unknown = value.keys() - TOP
    if unknown:
        raise NotSupportedError(f"a tokenizer.json with the key {shown(min(unknown))}")
    value["model"] = _with_type(value["model"])
    if _has_part(value.get("normalizer"), "Precompiled"):
        raise NotSupportedError(f"{SENTENCE_PIECE} ({_kind(value['model'])} with a Precompiled normalizer)")
    check_model(value["model"])
    vocabulary = _vocabulary_of(value["model"])
    _added(value.get("added_tokens") or [], vocabulary)
    for key, kinds in PARTS.items():
        if value.get(key) is not None:
            _part(kinds)(value[key], key)
    _check_templates(value.get("post_processor"))
    _check_growth(value.get("normalizer"))
    ids = set(vocabulary.values()) | {one["id"] for one in value.get("added_tokens") or []}
    for token_id in _template_ids(value.get("post_processor")):
        if token_id not in ids:
            raise ValueError(f"post_processor: the id {token_id} is not in the vocabulary")
    return json.dumps({**value, "truncation": None, "padding": None}, ensure_ascii=False)


def added_ids(content: str) -> dict[str, int]:
    """The id of every added token, as a checked file has it; the library gives some ids of its own."""
    return {one["content"]: one["id"] for one in json.loads(content).get("added_tokens") or []}


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        value = parse_json(content)
    except ValueError as error:
        raise NotATokenizerError(str(error)) from error
    if not isinstance(value, dict):
        raise NotATokenizerError("expected an object")
    if "model" not in value:
        raise NotATokenizerError("the key 'model' is missing")
    return value


def _kind(value: Any) -> str:
    """The type of a part, as it is written in a file that nobody has checked yet."""
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in MODELS else "of an unknown type"


def _has_part(value: Any, kind: str, depth: int = 0) -> bool:
    """Whether a part, or one in its sequence, is of a type; of a file that nobody has checked yet."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return False
    inner = value.get("normalizers")
    return value.get("type") == kind or (
        isinstance(inner, list) and any(_has_part(one, kind, depth + 1) for one in inner)
    )


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"{where}: expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{where}: half a character") from None


def _bool(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{where}: expected true or false")


def _number(low: int, high: int) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{where}: expected a whole number from {low} to {high}")

    return check


def _one_of(*words: str) -> Check:
    def check(value: Any, where: str) -> None:
        if value not in words:
            raise ValueError(f"{where}: expected one of {', '.join(words)}")

    return check


def _null(value: Any, where: str) -> None:
    """For what would make encoding random."""
    if value is not None:
        raise NotSupportedError(f"a tokenizer that divides words at random ({where} is {shown(value)})")


def _or_null(inner: Check) -> Check:
    def check(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def _list(inner: Check, most: int = 100) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError(f"{where}: expected a list of at most {most}")
        for i, one in enumerate(value):
            inner(one, f"{where}[{i}]")

    return check


def _pattern(value: Any, where: str) -> None:
    """A literal, or the expression of our own vocabularies; any other can take for ever."""
    if isinstance(value, dict) and value.keys() == {"Regex"}:
        expression = value["Regex"]
        if isinstance(expression, str) and is_split_pattern(expression):
            return
        raise NotSupportedError(f"a tokenizer with a regular expression ({where} is {shown(expression)})")
    if not isinstance(value, dict) or value.keys() != {"String"}:
        raise ValueError(f"{where}: expected a literal text")
    _text(value["String"], where)


def _marked(value: Any, where: str) -> None:
    """["[SEP]", 102]"""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{where}: expected a token and its id")
    _text(value[0], where)
    _number(0, LARGEST_ID)(value[1], where)


def _fields(value: Any, fields: Mapping[str, Check], where: str, optional: frozenset[str]) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object")
    for key in sorted(value.keys() - fields.keys() - {"type"}):
        raise NotSupportedError(f"a tokenizer whose {where} has the key {shown(key)}")
    for key in sorted(fields.keys() - value.keys() - optional):
        raise ValueError(f"{where}: the key {key!r} is missing")
    for key in fields.keys() & value.keys():
        fields[key](value[key], f"{where}.{key}")


DEEPEST = 3
"""Sequences inside each other."""

OPTIONAL = frozenset({"use_regex", "split", "prepend_scheme", "add_prefix_space", "cleanup", "trim_offsets"})
"""Keys that older files do not have."""


def _part(kinds: Mapping[str, Mapping[str, Check]], depth: int = 0) -> Check:
    def check(value: Any, where: str) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            raise ValueError(f"{where}: expected an object with a type")
        if kind not in kinds:
            raise NotSupportedError(f"a tokenizer whose {where} is of the type {shown(kind)}")
        if kind == "Sequence":
            if depth > DEEPEST:
                raise ValueError(f"{where}: too deep")
            (inner,) = kinds[kind]
            _fields(value, {inner: _list(_part(kinds, depth + 1))}, where, frozenset())
        else:
            _fields(value, kinds[kind], where, OPTIONAL)

    return check


BEHAVIOR = _one_of("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
SCHEME = _one_of("first", "never", "always")
BYTE_LEVEL: dict[str, Check] = {"add_prefix_space": _bool, "trim_offsets": _bool, "use_regex": _bool}
METASPACE: dict[str, Check] = {
    "replacement": _text,
    "add_prefix_space": _bool,
    "prepend_scheme": SCHEME,
    "split": _bool,
}
BERT_FRAME: dict[str, Check] = {"sep": _marked, "cls": _marked}


def _character(value: Any, where: str) -> None:
    _text(value, where)
    if len(value) != 1:
        raise ValueError(f"{where}: expected one character")


METASPACE["replacement"] = _character


def _template(*sequences: str) -> Check:
    """Of a text, or of two: the library does not look whether there is a second."""
    return _list(lambda one, where: _piece(one, where, sequences))


def _piece(value: Any, where: str, sequences: tuple[str, ...]) -> None:
    """{"SpecialToken": {"id": "[CLS]", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}}"""
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= {"SpecialToken", "Sequence"}:
        raise ValueError(f"{where}: expected a SpecialToken or a Sequence")
    ((kind, inner),) = value.items()
    names = _text if kind == "SpecialToken" else _one_of(*sequences)
    _fields(inner, {"id": names, "type_id": _number(0, 255)}, where, frozenset())


def _frame(value: Any, where: str) -> None:
    """{"[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]}}"""
    if not isinstance(value, dict) or len(value) > 100:
        raise ValueError(f"{where}: expected an object")
    for name, one in value.items():
        fields = {"id": _text, "ids": _list(_number(0, LARGEST_ID)), "tokens": _list(_text)}
        _fields(one, fields, f"{where}.{shown(name)}", frozenset())
        if one["id"] != name or not len(one["ids"]) == len(one["tokens"]) > 0:
            raise ValueError(f"{where}.{shown(name)}: ids and tokens do not belong together")


PARTS: dict[str, dict[str, dict[str, Check]]] = {
    "normalizer": {
        "Sequence": {"normalizers": _text},
        "BertNormalizer": {
            "clean_text": _bool,
            "handle_chinese_chars": _bool,
            "strip_accents": _or_null(_bool),
            "lowercase": _bool,
        },
        "Lowercase": {},
        "NFC": {},
        "NFD": {},
        "NFKC": {},
        "NFKD": {},
        "Nmt": {},
        "StripAccents": {},
        "Strip": {"strip_left": _bool, "strip_right": _bool},
        "Prepend": {"prepend": _text},
        "Replace": {"pattern": _pattern, "content": _text},
    },
    "pre_tokenizer": {
        "Sequence": {"pretokenizers": _text},
        "BertPreTokenizer": {},
        "Whitespace": {},
        "WhitespaceSplit": {},
        "UnicodeScripts": {},
        "ByteLevel": BYTE_LEVEL,
        "Metaspace": METASPACE,
        "Punctuation": {"behavior": BEHAVIOR},
        "Digits": {"individual_digits": _bool},
        "CharDelimiterSplit": {"delimiter": _character},
        "Split": {"pattern": _pattern, "behavior": BEHAVIOR, "invert": _bool},
    },
    "post_processor": {
        "Sequence": {"processors": _text},
        "BertProcessing": BERT_FRAME,
        "RobertaProcessing": {**BERT_FRAME, "trim_offsets": _bool, "add_prefix_space": _bool},
        "ByteLevel": BYTE_LEVEL,
        "TemplateProcessing": {
            "single": _template("A"),
            "pair": _template("A", "B"),
            "special_tokens": _frame,
        },
    },
    "decoder": {
        "Sequence": {"decoders": _text},
        "WordPiece": {"prefix": _text, "cleanup": _bool},
        "ByteLevel": BYTE_LEVEL,
        "Metaspace": METASPACE,
        "BPEDecoder": {"suffix": _text},
        "ByteFallback": {},
        "Fuse": {},
        "Strip": {"content": _character, "start": _number(0, 1000), "stop": _number(0, 1000)},
        "Replace": {"pattern": _pattern, "content": _text},
    },
}
TOP = {"version", "truncation", "padding", "added_tokens", "model", *PARTS}


def _vocabulary(value: Any, where: str) -> None:
    if not isinstance(value, dict) or not value or len(value) > LARGEST_ID:
        raise ValueError(f"{where}: expected tokens and their ids")
    for token, token_id in value.items():
        _text(token, where)
        if type(token_id) is not int or not 0 <= token_id <= LARGEST_ID:
            raise ValueError(f"{where}: {shown(token)} has the id {shown(token_id)}")
    if len(set(value.values())) != len(value):
        raise ValueError(f"{where}: an id stands there twice")


def _merges(value: Any, where: str) -> None:
    """ "a b" or ["a", "b"]"""
    if not isinstance(value, list) or len(value) > LARGEST_ID:
        raise ValueError(f"{where}: expected a list of merges")
    for one in value:
        parts = one.split(" ") if isinstance(one, str) else one
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise ValueError(f"{where}: {shown(one)} is no merge of two tokens")


def _pieces(value: Any, where: str) -> None:
    """[["<unk>", 0.0], ["a", -3.5]]"""
    if not isinstance(value, list) or not value or len(value) > LARGEST_ID:
        raise ValueError(f"{where}: expected tokens and their scores")
    for one in value:
        if (
            not isinstance(one, list)
            or len(one) != 2
            or type(one[1]) not in (int, float)
            or abs(one[1]) > 1e6
        ):
            raise ValueError(f"{where}: {shown(one)} is no token with a score")
        _text(one[0], where)


MODELS: dict[str, dict[str, Check]] = {
    "WordPiece": {
        "unk_token": _text,
        "continuing_subword_prefix": _text,
        "max_input_chars_per_word": _number(1, 1000),
        "vocab": _vocabulary,
    },
    "WordLevel": {"vocab": _vocabulary, "unk_token": _text},
    "BPE": {
        "dropout": _null,
        "unk_token": _or_null(_text),
        "continuing_subword_prefix": _or_null(_text),
        "end_of_word_suffix": _or_null(_text),
        "fuse_unk": _bool,
        "byte_fallback": _bool,
        "ignore_merges": _bool,
        "vocab": _vocabulary,
        "merges": _merges,
    },
    "Unigram": {"unk_id": _or_null(_number(0, LARGEST_ID)), "vocab": _pieces, "byte_fallback": _bool},
}
NEWER = frozenset({"ignore_merges", "byte_fallback", "dropout", "fuse_unk", "max_input_chars_per_word"})
"""Keys of models that older files do not have."""


def _with_type(model: Any) -> Any:
    """Older files leave the model's type to its other keys, as BERT's own does."""
    if not isinstance(model, dict) or "type" in model:
        return model
    for key, kind in (("merges", "BPE"), ("max_input_chars_per_word", "WordPiece"), ("unk_id", "Unigram")):
        if key in model:
            return {"type": kind, **model}
    return {"type": "WordLevel", **model}


def check_model(value: Any, where: str = "model") -> None:
    """A model as tokenizer.json describes it: closed keys, distinct ids, merges of tokens that there are.

    Raises:
        ValueError: saying what is wrong.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"{where}: expected an object with a type")
    if kind not in MODELS:
        raise NotSupportedError(f"a tokenizer whose {where} is of the type {shown(kind)}")
    _fields(value, MODELS[kind], where, NEWER)
    if kind == "Unigram" and (value.get("unk_id") or 0) >= len(value["vocab"]):
        raise ValueError(f"{where}: unk_id is beyond the vocabulary")
    if kind == "BPE":
        vocabulary, prefix = value["vocab"], value.get("continuing_subword_prefix") or ""
        for one in value["merges"]:
            first, second = one.split(" ") if isinstance(one, str) else one
            if not second.startswith(prefix):
                raise ValueError(f"{where}: the second token of the merge {shown(one)} lacks {prefix!r}")
            joined = first + second.removeprefix(prefix)
            for token in (first, second, joined):
                if token not in vocabulary:
                    raise ValueError(f"{where}: the merge {shown(one)} needs {shown(token)}, which has no id")


def _vocabulary_of(model: dict[str, Any]) -> dict[str, int]:
    if model["type"] == "Unigram":
        return {token: i for i, (token, _) in enumerate(model["vocab"])}
    found: dict[str, int] = model["vocab"]
    return found


ADDED: dict[str, Check] = {
    "id": _number(0, LARGEST_ID),
    "content": _text,
    "single_word": _bool,
    "lstrip": _bool,
    "rstrip": _bool,
    "normalized": _bool,
    "special": _bool,
}


def _added(value: Any, vocabulary: dict[str, int]) -> None:
    _list(lambda one, where: _fields(one, ADDED, where, frozenset()), 1 << 16)(value, "added_tokens")
    by_id = {token_id: token for token, token_id in vocabulary.items()}
    for i, one in enumerate(value):
        where = f"added_tokens[{i}]"
        if not one["content"]:
            raise ValueError(f"{where}: an empty token")
        if vocabulary.get(one["content"], one["id"]) != one["id"]:
            raise ValueError(f"{where}: {shown(one['content'])} has another id in the vocabulary")
        if by_id.setdefault(one["id"], one["content"]) != one["content"]:
            raise ValueError(f"{where}: the id {one['id']} belongs to {shown(by_id[one['id']])}")


def _check_growth(value: Any) -> None:
    """Replacements one after the other may each make a text longer."""
    growth = 1
    for one in _parts(value):
        growth *= max(1, len(one.get("content", "")), 1 + len(one.get("prepend", "")))
    if growth > GROWTH:
        raise ValueError(f"normalizer: replacements make a text up to {growth:,} times as long")


def _parts(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [part for one in value["normalizers"] for part in _parts(one)]
    return [value]


def _check_templates(value: Any) -> None:
    """A template's special tokens are those that it defines."""
    if value is None:
        return
    if value["type"] == "Sequence":
        for one in value["processors"]:
            _check_templates(one)
    if value["type"] == "TemplateProcessing":
        for piece in [*value["single"], *value["pair"]]:
            name = piece["SpecialToken"]["id"] if "SpecialToken" in piece else None
            if name is not None and name not in value["special_tokens"]:
                raise ValueError(f"post_processor: the special token {shown(name)} is not defined")


def _template_ids(value: Any) -> list[int]:
    """The ids that a post-processor writes."""
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [token_id for one in value["processors"] for token_id in _template_ids(one)]
    if value["type"] in ("BertProcessing", "RobertaProcessing"):
        return [value["sep"][1], value["cls"][1]]
    if value["type"] == "TemplateProcessing":
        return [token_id for one in value["special_tokens"].values() for token_id in one["ids"]]
    return []
