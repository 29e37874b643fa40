"""The tokenizer of a published checkpoint: tokenizer.json, or the older files of BERT and RoBERTa."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from custom_bert.data.tokenizer import TextTokenizer, library_errors
from custom_bert.data.tokenizer_files import LARGEST_FILE, SPECIAL_TOKENS, parse_tokenizer
from custom_bert.data.tokenizer_json import SENTENCE_PIECE
from custom_bert.data.tokenizer_parts import check_model
from custom_bert.errors import SUPPORTED, DataError, RunError, UnsupportedTokenizerError, shown
from custom_bert.files import parse_json
from custom_bert.model_files.published_files import read, read_json

WORD_PIECE = ("BertTokenizer", "DistilBertTokenizer")
BYTE_LEVEL = ("RobertaTokenizer",)
"""The tokenizer classes, with or without "Fast" at the end, whose older files say all that splits a text."""

SPECIALS: dict[tuple[str, ...], tuple[str, ...]] = {
    WORD_PIECE: SPECIAL_TOKENS,
    BYTE_LEVEL: ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
}
"""The special tokens of these classes. In a text they are one token, and are not split."""

ADDITIONS = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
"""Settings of tokenizer_config.json that name more special tokens."""

FIXED: dict[str, tuple[Any, ...]] = {
    "word_tokenizer_type": ("basic",),
    "subword_tokenizer_type": ("wordpiece",),
    "do_basic_tokenize": (True,),
    "do_word_tokenize": (True,),
    "do_subword_tokenize": (True,),
    "never_split": ([],),
}
"""Settings by which a WordPiece tokenizer may split texts in another way than BERT, and BERT's values."""

NO_AFFIXES = {"continuing_subword_prefix": None, "end_of_word_suffix": None}
"""Byte-level BPE marks the beginnings of words by spaces, and has no affixes."""

OTHER_CHECKPOINT = f"take a checkpoint whose tokenizer is {SUPPORTED}"
"""The advice for a tokenizer that is not supported."""

FOREIGN = {"*.model": SENTENCE_PIECE, "bpe.codes": "a fastBPE tokenizer, as BERTweet and PhoBERT have it"}
"""Patterns of files of tokenizers that are not supported, and what these tokenizers are."""

WAY_OUT = "save it with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
"""The advice for a tokenizer whose files do not say everything: transformers writes a tokenizer.json."""


RESIZE = "in transformers, model.resize_token_embeddings(len(tokenizer)) gives it the others"
"""The advice for a checkpoint whose tokenizer has more entries than its model has vectors."""


def fitting_tokenizer(directory: Path, config: dict[str, Any], vectors: int) -> TextTokenizer:
    """Reads the tokenizer of a checkpoint, which has to fit its model.

    Args:
        directory: of the checkpoint.
        config: the content of config.json, which may name the tokenizer's class.
        vectors: the number of token vectors that the model has.

    Raises:
        RunError: see `read_tokenizer`; and if it has more entries than the model has vectors.
    """
    tokenizer = read_tokenizer(directory, config, vectors)
    if tokenizer.vocab_size > vectors:
        raise RunError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size:,} entries, but the model has vectors for "
            f"{vectors:,}; {RESIZE}"
        )
    return tokenizer


def read_tokenizer(directory: Path, config: dict[str, Any], most: int) -> TextTokenizer:
    """Reads the tokenizer of a checkpoint's directory.

    Args:
        directory: of the checkpoint.
        config: the content of config.json, which may name the tokenizer's class.
        most: the number of entries that the model has vectors for.

    Raises:
        RunError: if there is no tokenizer, it is damaged, or its files do not say how it splits texts.
    """
    _refuse_foreign(directory)
    try:
        settings: dict[str, Any] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the second overrides the first
            settings |= read_json(directory, name) if _stands(directory, name) else {}
        if _stands(directory, "tokenizer.json"):
            content = read(directory, "tokenizer.json", LARGEST_FILE)
            return parse_tokenizer(directory / "tokenizer.json", _overridden(content, settings))
        kind = settings.get("tokenizer_class") or config.get("tokenizer_class")
        if _stands(directory, "vocab.txt"):
            _refuse(directory, "vocab.txt", kind, WORD_PIECE, settings)
            return _word_piece(directory, settings, most)
        if _stands(directory, "vocab.json", "merges.txt"):
            _refuse(directory, "vocab.json and merges.txt", kind, BYTE_LEVEL, settings)
            return _byte_level(directory, settings)
    except UnsupportedTokenizerError as error:
        raise RunError(str(UnsupportedTokenizerError(error.where, error.kind, OTHER_CHECKPOINT))) from error
    except DataError as error:
        raise RunError(str(error)) from error
    raise RunError(
        f"{directory}: no tokenizer; expected tokenizer.json, vocab.txt, or vocab.json and merges.txt; other "
        f"kinds, such as SentencePiece's *.model, are not supported: {OTHER_CHECKPOINT}"
    )


def is_known_class(kind: object) -> bool:
    """Returns whether a tokenizer class puts special tokens around a text by itself, as those of BERT and
    RoBERTa do, whatever tokenizer.json says."""
    return str(kind).removesuffix("Fast") in (*WORD_PIECE, *BYTE_LEVEL)


def _stands(directory: Path, *names: str) -> bool:
    """Whether all of these files are there. A broken link counts, so that `read` can name it."""
    return all(os.path.lexists(directory / name) for name in names)


def _refuse_foreign(directory: Path) -> None:
    """Refuses a tokenizer of an unsupported kind by its name, unless there is a tokenizer.json too."""
    if _stands(directory, "tokenizer.json"):
        return
    for pattern, kind in FOREIGN.items():
        file = min(directory.glob(pattern), default=None)
        if file is not None:
            raise RunError(str(UnsupportedTokenizerError(str(file), kind, OTHER_CHECKPOINT)))


OVERRIDES = (
    ("normalizer", "BertNormalizer", "do_lower_case", "lowercase"),
    ("normalizer", "BertNormalizer", "strip_accents", "strip_accents"),
    ("normalizer", "BertNormalizer", "tokenize_chinese_chars", "handle_chinese_chars"),
    ("pre_tokenizer", "ByteLevel", "add_prefix_space", "add_prefix_space"),
)
"""A part of tokenizer.json and its type, a setting of tokenizer_config.json, and the part's field for it."""


def _overridden(content: bytes, settings: dict[str, Any]) -> bytes:
    """Returns tokenizer.json with the values of tokenizer_config.json where the two contradict each other.

    transformers does so for the classes of BERT and RoBERTa. For others it takes tokenizer.json as it is.
    """
    if not is_known_class(settings.get("tokenizer_class", "")):
        return content
    try:
        value = parse_json(content)
    except ValueError:
        return content  # the parser refuses it, with its reason
    changed = False
    for part, form, setting, name in OVERRIDES:
        fields = value.get(part) if isinstance(value, dict) else None
        if (
            not isinstance(fields, dict)
            or fields.get("type") != form
            or not isinstance(settings.get(setting), bool)
        ):
            continue
        changed |= fields.get(name) != settings[setting]
        fields[name] = settings[setting]
    return json.dumps(value).encode() if changed else content


def _refuse(
    directory: Path, files: str, kind: object, known: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """Refuses settings and files by which texts are split in another way than these files alone say.

    Args:
        directory: of the checkpoint.
        files: the names of the older files, for messages.
        kind: the tokenizer's class, or None.
        known: the classes that these files describe.
        settings: of tokenizer_config.json.
    """
    if kind is not None and str(kind).removesuffix("Fast") not in known:
        raise RunError(
            f"{directory}: tokenizer_class is {kind!r}, of which {files} is not the whole; {WAY_OUT}; if "
            f"that writes no tokenizer.json, {OTHER_CHECKPOINT}"
        )
    for key, values in FIXED.items():
        value = settings.get(key)
        if value is not None and value not in values:
            raise RunError(
                f"{directory / 'tokenizer_config.json'}: {key} is {value!r}; known is {values[0]!r}"
            )
    if _stands(directory, "added_tokens.json") and read_json(directory, "added_tokens.json"):
        raise RunError(f"{directory}: added_tokens.json adds to {files}; {WAY_OUT}")
    for key, token in _named_tokens(settings):
        if token not in SPECIALS[known]:
            raise RunError(
                f"{directory}: {key} names {shown(token)}, and {files} alone does not say that texts may "
                f"hold it; {WAY_OUT}"
            )


def _named_tokens(settings: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yields (setting, token) for every token that transformers does not split if a text holds it."""
    for key, value in settings.items():
        if key.endswith("_token") and value is not None and not isinstance(value, bool):
            tokens: list[Any] = [value]
        elif key in ADDITIONS and isinstance(value, (dict, list)):
            tokens = list(value.values()) if isinstance(value, dict) else value
        else:
            continue
        for one in tokens:
            yield key, one.get("content") if isinstance(one, dict) else one


def _word_piece(directory: Path, settings: dict[str, Any], most: int) -> TextTokenizer:
    """Builds BERT's tokenizer from vocab.txt, with the defaults of its class in transformers."""
    content = read(directory, "vocab.txt")
    lines = content.rstrip().count(b"\n") + 1
    if lines > most:  # checked first, because building a tokenizer of a huge file takes long
        raise RunError(f"{directory / 'vocab.txt'}: {lines:,} lines, but the model has vectors for {most:,}")
    lowercase = bool(settings.get("do_lower_case", True))
    accents = settings.get("strip_accents")
    return parse_tokenizer(
        directory / "vocab.txt",
        content,
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else bool(accents),
        split_chinese=bool(settings.get("tokenize_chinese_chars", True)),
    )


def _byte_level(directory: Path, settings: dict[str, Any]) -> TextTokenizer:
    """Builds RoBERTa's byte-level BPE (Radford et al. 2019) from vocab.json and merges.txt."""
    what = "vocab.json and merges.txt do not fit"
    try:
        lines = read(directory, "merges.txt").decode("utf-8").split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
        vocabulary = read_json(directory, "vocab.json")
        check_model({"type": "BPE", "unk_token": None, **NO_AFFIXES, "vocab": vocabulary, "merges": merges})
        pairs = [(first, second) for first, second in (line.split(" ") for line in merges)]
    except ValueError as error:
        raise RunError(f"{directory}: {what}: {error}") from error
    with library_errors(str(directory), what):
        tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    space = bool(settings.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token in SPECIALS[BYTE_LEVEL][:-1] if tokenizer.token_to_id(token) is not None]
    tokenizer.add_special_tokens(special)
    if tokenizer.token_to_id("<mask>") is not None:  # in RoBERTa it takes the space before it
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return TextTokenizer(tokenizer, str(directory))
