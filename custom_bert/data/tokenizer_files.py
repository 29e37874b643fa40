"""Reads tokenizers from files: a tokenizer.json, or a vocab.txt, which is a list of BERT's WordPiece
tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from custom_bert import files
from custom_bert.data.split_pattern import LONGEST_WORD
from custom_bert.data.tokenizer import TextTokenizer, library_errors
from custom_bert.data.tokenizer_fields import NotSupportedError
from custom_bert.data.tokenizer_json import SENTENCE_PIECE, NotATokenizerError, added_ids, checked
from custom_bert.errors import DataError, RunError, UnsupportedTokenizerError, shown
from custom_bert.phrases import counted

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's special tokens. They have the ids 0 to 4 in a vocabulary that we train."""

LARGEST_FILE = 1 << 28
"""The largest number of bytes of a tokenizer's file."""

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""The characters that the tokenizers library removes at the end of a line of vocab.txt."""


def from_vocab(
    tokens: Sequence[str],
    *,
    lowercase: bool,
    strip_accents: bool = False,
    split_chinese: bool = True,
    name: str = "vocabulary",
) -> TextTokenizer:
    """Returns a BERT WordPiece tokenizer over `tokens`, whose ids are their places in the list.

    If a token is in the list twice, its last place counts, as in transformers, and the id of the first is
    unused.

    Args:
        tokens: the vocabulary.
        lowercase, strip_accents, split_chinese: the settings of BERT's normalizer.
        name: the name of the tokenizer in messages.

    Raises:
        DataError: if a special token is missing.
    """
    vocab = {token: i for i, token in enumerate(tokens)}
    notes = _repetitions(tokens, vocab)
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=split_chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocab])
    if "[CLS]" in vocab and "[SEP]" in vocab:
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
        )
    return TextTokenizer(tokenizer, name, notes)


def _repetitions(tokens: Sequence[str], vocab: dict[str, int]) -> list[str]:
    """Returns a line about tokens that are in the list more than once; nothing if all are distinct."""
    places = [(i, token) for i, token in enumerate(tokens) if vocab[token] != i]
    if not places:
        return []
    first, token = places[0]
    what = f"the token {shown(token)}" if token else "an empty line"
    others = f"; {counted(len(places) - 1, 'other line')} like this" if len(places) > 1 else ""
    return [f"{what} is on lines {first + 1} and {vocab[token] + 1}, and the last one counts{others}"]


def load_tokenizer(
    path: str | Path, *, lowercase: bool = True, strip_accents: bool = False, split_chinese: bool = True
) -> TextTokenizer:
    """Reads a `tokenizer.json`, or a `vocab.txt` of BERT WordPiece tokens, one a line.

    Args:
        path: the file.
        lowercase, strip_accents, split_chinese: the settings of BERT's normalizer for a vocab.txt. A
            tokenizer.json has its own.

    Raises:
        DataError: if the file is missing, is neither form, or lacks a special token.
        UnsupportedTokenizerError: if the tokenizer is of a kind that is not supported.
    """
    path = Path(path)
    try:
        content = files.read_once(path, LARGEST_FILE)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(str(path), "no such tokenizer file; expected a vocab.txt or tokenizer.json") from None
    except OSError as error:
        raise DataError(str(path), f"cannot read: {error.strerror}") from error
    return parse_tokenizer(
        path, content, lowercase=lowercase, strip_accents=strip_accents, split_chinese=split_chinese
    )


def read_run_tokenizer(path: Path, *, pairs: bool) -> TextTokenizer:
    """Reads the tokenizer of a directory that this package wrote.

    Args:
        path: of tokenizer.json.
        pairs: whether it has to read pairs of texts.

    Raises:
        RunError: if it is missing or damaged.
    """
    try:
        return parse_tokenizer(path, files.read_regular(path, LARGEST_FILE)).reading(pairs=pairs)
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such tokenizer file") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror}") from error
    except DataError as error:
        raise RunError(str(error)) from error


def parse_tokenizer(
    path: Path,
    data: bytes,
    *,
    lowercase: bool = True,
    strip_accents: bool = False,
    split_chinese: bool = True,
) -> TextTokenizer:
    """Does the same as `load_tokenizer` with the bytes of a file.

    The ending of the file's name decides which form it has. If it has none, the bytes decide.
    """
    if path.suffix == ".model":
        raise UnsupportedTokenizerError(str(path), f"{SENTENCE_PIECE} (a *.model file)")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"not valid UTF-8 at byte {error.start + 1}") from error
    if not files.is_json(path, data):
        tokens = [token.rstrip(WHITE_SPACE) for token in content.split("\n")]
        while tokens and not tokens[-1]:
            tokens.pop()
        return from_vocab(
            tokens,
            lowercase=lowercase,
            strip_accents=strip_accents,
            split_chinese=split_chinese,
            name=str(path),
        )
    try:
        text = checked(content.encode())
    except NotSupportedError as error:
        raise UnsupportedTokenizerError(str(path), str(error)) from error
    except NotATokenizerError as error:
        raise DataError(str(path), f"not a tokenizer.json: {error}") from error
    except ValueError as error:
        raise DataError(str(path), f"not a valid tokenizer.json: {error}") from error
    with library_errors(str(path), "not a valid tokenizer.json"):
        tokenizer = Tokenizer.from_str(text)
    # the library may give added tokens other ids than the file does, and then the ids do not fit the model
    for token, token_id in added_ids(text).items():
        given = tokenizer.token_to_id(token)
        if given != token_id:
            raise UnsupportedTokenizerError(
                str(path),
                f"a tokenizer with an added token out of order ({shown(token)} has the id {token_id:,}, and "
                f"the tokenizers library gives it {given:,})",
            )
    return TextTokenizer(tokenizer, str(path))
