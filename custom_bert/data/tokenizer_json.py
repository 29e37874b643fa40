"""Checks a tokenizer.json before the `tokenizers` library reads it.

The library trusts the file. Of 6,000 damaged files 42 made it panic, 5 ended the process, and 25 gave ids
beyond the vocabulary. So every part is checked first, and anything unknown is refused. Truncation and padding
are removed, because they do not belong to how a text is divided into tokens. `tokenizer_parts.py` has the
list of parts, `tokenizer_fields.py` checks single values, and this module checks that the parts agree with
each other.

There are three kinds of faults, each with its exception: the file is not a tokenizer.json
(`NotATokenizerError`), it is of a kind that is not supported (`NotSupportedError`), or it is damaged
(`ValueError`).
"""

from __future__ import annotations

import json
from typing import Any

from custom_bert.data.tokenizer_fields import DEEPEST, NotSupportedError
from custom_bert.data.tokenizer_parts import ADDED_TOKENS, MODELS, PARTS, check_model
from custom_bert.errors import shown
from custom_bert.files import parse_json

GROWTH = 64
"""The largest factor by which the replacements of a normalizer may make a text longer. Without a bound a few
replacements one after the other could fill the memory."""

SENTENCE_PIECE = "a SentencePiece tokenizer"

KEYS = {"version", "truncation", "padding", "added_tokens", "model", *PARTS}


class NotATokenizerError(ValueError):
    """A file that is not a tokenizer.json at all."""


def checked(content: bytes) -> str:
    """Checks the content of a tokenizer.json, and returns it in a form that is safe for the library.

    Raises:
        NotATokenizerError: if it is not a tokenizer.json.
        NotSupportedError: if a part of it is of a kind that is not supported.
        ValueError: if it is damaged; the message says where.
    """
    value = _parsed(content)
    unknown = value.keys() - KEYS
    if unknown:
        raise NotSupportedError(f"a tokenizer.json with the key {shown(min(unknown))}")
    value["model"] = _with_type(value["model"])
    if _has_part(value.get("normalizer"), "Precompiled"):
        raise NotSupportedError(f"{SENTENCE_PIECE} ({_kind(value['model'])} with a Precompiled normalizer)")
    check_model(value["model"])
    vocabulary = _vocabulary_of(value["model"])
    _check_added(value.get("added_tokens") or [], vocabulary)
    for key, check in PARTS.items():
        if value.get(key) is not None:
            check(value[key], key)
    _check_templates(value.get("post_processor"))
    _check_growth(value.get("normalizer"))
    ids = set(vocabulary.values()) | {one["id"] for one in value.get("added_tokens") or []}
    for token_id in _template_ids(value.get("post_processor")):
        if token_id not in ids:
            raise ValueError(f"post_processor: the id {token_id} is not in the vocabulary")
    return json.dumps({**value, "truncation": None, "padding": None}, ensure_ascii=False)


def added_ids(content: str) -> dict[str, int]:
    """Returns the id of every added token in a checked file. The library may give a token another id."""
    return {one["content"]: one["id"] for one in json.loads(content).get("added_tokens") or []}


def _parsed(content: bytes) -> dict[str, Any]:
    """Returns the content as an object; raises NotATokenizerError if it is none, or has no model."""
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
    """Returns the type of a model for a message. The file has not been checked yet, so it may be anything."""
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind in MODELS else "of an unknown type"


def _has_part(value: Any, kind: str, depth: int = 0) -> bool:
    """Returns whether a part, or one in its Sequence, is of a type. The file has not been checked yet."""
    if not isinstance(value, dict) or depth > DEEPEST:
        return False
    inner = value.get("normalizers")
    return value.get("type") == kind or (
        isinstance(inner, list) and any(_has_part(one, kind, depth + 1) for one in inner)
    )


def _with_type(model: Any) -> Any:
    """Returns the model with its type. Older files, such as BERT's own, only imply it by other keys."""
    if not isinstance(model, dict) or "type" in model:
        return model
    for key, kind in (("merges", "BPE"), ("max_input_chars_per_word", "WordPiece"), ("unk_id", "Unigram")):
        if key in model:
            return {"type": kind, **model}
    return {"type": "WordLevel", **model}


def _vocabulary_of(model: dict[str, Any]) -> dict[str, int]:
    """Returns the tokens of a checked model and their ids."""
    if model["type"] == "Unigram":
        return {token: i for i, (token, _) in enumerate(model["vocab"])}
    vocabulary: dict[str, int] = model["vocab"]
    return vocabulary


def _check_added(value: Any, vocabulary: dict[str, int]) -> None:
    """Raises ValueError if added tokens are not valid, or do not agree with the vocabulary."""
    ADDED_TOKENS(value, "added_tokens")
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
    """Raises ValueError if all replacements of a normalizer together could make a text too long."""
    growth = 1
    for one in _parts(value):
        growth *= max(1, len(one.get("content", "")), 1 + len(one.get("prepend", "")))
    if growth > GROWTH:
        raise ValueError(f"normalizer: replacements make a text up to {growth:,} times as long")


def _parts(value: Any) -> list[dict[str, Any]]:
    """Returns the parts of a normalizer, with those of its Sequences in a flat list."""
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [part for one in value["normalizers"] for part in _parts(one)]
    return [value]


def _check_templates(value: Any) -> None:
    """Raises ValueError if a template uses a special token that it does not define."""
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
    """Returns the ids that a post-processor puts around texts."""
    if value is None:
        return []
    if value["type"] == "Sequence":
        return [token_id for one in value["processors"] for token_id in _template_ids(one)]
    if value["type"] in ("BertProcessing", "RobertaProcessing"):
        return [value["sep"][1], value["cls"][1]]
    if value["type"] == "TemplateProcessing":
        return [token_id for one in value["special_tokens"].values() for token_id in one["ids"]]
    return []
