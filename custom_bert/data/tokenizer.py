"""Texts to token ids, on the `tokenizers` library: with a given file, or a vocabulary of ours."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from custom_bert import files
from custom_bert.config import LongTexts
from custom_bert.data.split_pattern import LONGEST_WORD
from custom_bert.data.text import composed
from custom_bert.data.tokenizer_fields import NotSupportedError
from custom_bert.data.tokenizer_json import SENTENCE_PIECE, NotATokenizerError, added_ids, checked
from custom_bert.data.windows import MOST
from custom_bert.errors import DataError, UnsupportedTokenizerError, first_line, shown

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's, with ids 0 to 4 in a trained vocabulary."""

CHARACTERS_PER_TOKEN = 64
"""A text is cut to this many characters per token of max_length before it is tokenised."""

HEAD_SHARE = 4
"""head_tail keeps one in so many tokens from the head, the others from the end: 128 and 382 of 510 in the
paper."""

LARGEST_FILE = 1 << 28
"""Bytes of a tokenizer's file."""

UNUSED = 1000
"""Ids up to the highest that may belong to no token; in a larger vocabulary as many as there are tokens. Each
costs a row of the model's token vectors."""

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What the tokenizers library cuts off at the end of a line of vocab.txt."""

UNSEEN = re.compile("[\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
"""Private-use characters, and the sign for one that could not be read."""

UNLIKELY = "\U00010348\u03fb"
"""A word that few vocabularies know."""


@contextmanager
def library_errors(where: str, what: str) -> Iterator[None]:
    """Turns what the library raises, bare exceptions and panics, into an error of one line.

    Raises:
        DataError: instead.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(where, f"{what}: {first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of no module that could be imported
            raise
        raise DataError(where, f"{what}: {first_line(error)}") from error


@dataclass(frozen=True)
class EncodedTexts:
    """Texts in memory, as token ids.

    Attributes:
        sequences: one int64 array a text.
        lost_N: (N,) int64 tokens that each text lost. Of a text that was cut to `CHARACTERS_PER_TOKEN`
            characters a token it is at least 1, a lower bound.
        unknown_N: (N,) int64 of these, characters that the vocabulary does not know.
        characters_N: (N,) int64 characters of each text, white space aside. Of a text that lost tokens, those
            of the kept ones, about.
    """

    sequences: Sequence[np.ndarray]
    lost_N: np.ndarray
    unknown_N: np.ndarray
    characters_N: np.ndarray

    @cached_property
    def lengths_N(self) -> np.ndarray:
        """(N,) tokens of each text."""
        return np.fromiter(map(len, self.sequences), dtype=np.int64, count=len(self.sequences))

    def __getitem__(self, row: int) -> np.ndarray:
        return self.sequences[row]


class TextTokenizer:
    """Turns texts into token ids: [CLS], the text's tokens, [SEP], or what the tokenizer has in their places.

    Args:
        tokenizer: of the `tokenizers` library. Truncation and padding that it carries are switched off.
        name: for messages.
        notes: what a user should know of the vocabulary, one line each.

    Attributes:
        vocab_size: V, one more than the highest id: the rows that a model needs. Some ids below it may belong
            to no token, where a checkpoint's vocabulary has gaps.

    Raises:
        DataError: if a start, end or padding token is missing, or the unknown token that the model needs; if
            too many ids belong to no token.
    """

    def __init__(self, tokenizer: Tokenizer, name: str = "tokenizer", notes: Sequence[str] = ()) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.backend = tokenizer
        ids = set(tokenizer.get_vocab(with_added_tokens=True).values())
        self.vocab_size: int = max(ids, default=-1) + 1
        with library_errors(name, "cannot encode an empty text"):
            frame = tokenizer.encode("").ids
        # what the tokenizer itself frames a text with; "<s>" may be an entry like any other beside it
        self.cls_id = frame[0] if len(frame) == 2 else self._special(name, "[CLS]", "<s>")
        self.sep_id = frame[1] if len(frame) == 2 else self._special(name, "[SEP]", "</s>")
        self.pad_id = self._special(name, "[PAD]", "<pad>")
        self.mask_id = self._optional("[MASK]", "<mask>")
        self.unknown_id = self._optional("[UNK]", "<unk>")
        unused, most = self.vocab_size - len(ids), max(UNUSED, len(ids))
        if unused > most:
            raise DataError(
                name,
                f"the highest token id is {self.vocab_size - 1:,}, but only {len(ids):,} ids belong to a "
                f"token, and at most {most:,} may belong to none; number the tokens without such gaps",
            )
        self.notes = (*notes, *([f"{unused:,} of {self.vocab_size:,} ids belong to no token"] * bool(unused)))
        with library_errors(name, "cannot encode an unknown word"):
            tokenizer.encode(UNLIKELY, add_special_tokens=False)

    @property
    def special_ids(self) -> list[int]:
        """Ids of the start, end, padding, mask and unknown tokens."""
        ids = (self.cls_id, self.sep_id, self.pad_id, self.mask_id, self.unknown_id)
        return sorted({token_id for token_id in ids if token_id is not None})

    @cached_property
    def ids(self) -> np.ndarray:
        """Every id that belongs to a token, rising int64: all below `vocab_size` but those in gaps."""
        return np.unique(np.fromiter(self.backend.get_vocab(with_added_tokens=True).values(), dtype=np.int64))

    @property
    def unused_ids(self) -> list[int]:
        """The ids below `vocab_size` that belong to no token."""
        return [int(i) for i in np.setdiff1d(np.arange(self.vocab_size), self.ids)]

    def _optional(self, *spellings: str) -> int | None:
        found = (self.backend.token_to_id(spelling) for spelling in spellings)
        return next((int(token_id) for token_id in found if token_id is not None), None)

    def _special(self, name: str, *spellings: str) -> int:
        token_id = self._optional(*spellings)
        if token_id is not None:
            return token_id
        raise DataError(name, f"the vocabulary has no {' or '.join(spellings)} token")

    def special_tokens(self) -> dict[str, str]:
        """The role of each special token, by Hugging Face's names, and how it is written."""
        ids = {
            "cls_token": self.cls_id,
            "sep_token": self.sep_id,
            "pad_token": self.pad_id,
            "mask_token": self.mask_id,
            "unk_token": self.unknown_id,
        }
        return {role: str(self.backend.id_to_token(i)) for role, i in ids.items() if i is not None}

    def to_json(self) -> str:
        """The content of tokenizer.json."""
        return str(self.backend.to_str(pretty=True))

    @property
    def sha256(self) -> str:
        """Of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def encode(self, texts: Sequence[str], max_length: int, long_texts: LongTexts = "head") -> EncodedTexts:
        """Token ids of each text, at most `max_length`.

        Args:
            texts: any.
            max_length: tokens kept of a text, the start and end token included; at least 3.
            long_texts: which tokens of a longer text are kept. With windows a sequence holds what all windows
                of the text hold, once, between one start and one end token; see `data.windows`.
        """
        room = (max_length - 2) * (MOST if long_texts == "windows" else 1)
        cap = CHARACTERS_PER_TOKEN * (room + 2)
        head = room // HEAD_SHARE if long_texts == "head_tail" else room
        read = [self._read(text, cap, long_texts) for text in texts]
        arrays, lost_N = [], np.zeros(len(texts), dtype=np.int64)
        counts_2N = np.zeros((2, len(texts)), dtype=np.int64)
        encodings = self.backend.encode_batch_fast([text for text, _ in read], add_special_tokens=False)
        for i, ((text, was_cut), encoding) in enumerate(zip(read, encodings, strict=True)):
            ids = encoding.ids
            lost_N[i] = max(len(ids) - room, int(was_cut))
            left_out = slice(head, max(head, len(ids) - room + head))
            counts_2N[:, i] = self._count_characters(text, ids, left_out)
            del ids[left_out]
            arrays.append(np.array([self.cls_id, *ids, self.sep_id], dtype=np.int64))
        return EncodedTexts(arrays, lost_N, *counts_2N)

    def encode_plain(self, texts: Sequence[str]) -> EncodedTexts:
        """All token ids of each text, without start and end tokens.

        Args:
            texts: of bounded length, since the time of a text grows faster than its length.
        """
        found = [e.ids for e in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        counts = [self._count_characters(text, ids) for text, ids in zip(texts, found, strict=True)]
        counts_2N = np.array(counts, dtype=np.int64).reshape(-1, 2).T
        arrays = [np.array(ids, dtype=np.int64) for ids in found]
        return EncodedTexts(arrays, np.zeros(len(texts), dtype=np.int64), *counts_2N)

    def _read(self, text: str, cap: int, long_texts: LongTexts) -> tuple[str, bool]:
        """At most `cap` characters of a text, from which the kept tokens are made; and whether others were
        left out. Both are the same for composed and decomposed text, if the tokens are."""
        was_cut = False
        if self.composes and not text.isascii():
            if len(text) > 4 * cap:  # a character decomposes into four at most
                text, was_cut = _ends(text, 4 * cap, long_texts), True
            text = composed(text)
        if len(text) > cap and isinstance(self.backend.model, models.WordPiece):
            text = text.strip()  # white space before a text would take the place of the text
        return (text, was_cut) if len(text) <= cap else (_ends(text, cap, long_texts), True)

    def _count_characters(
        self, text: str, ids: Sequence[int], left_out: slice = slice(0, 0)
    ) -> tuple[int, int]:
        """Unknown characters of a text, and all of them, white space and the tokens that are left out aside.

        Offsets are worked out for the few texts with an unknown token alone: they cost a third of the time.
        For the others a count of all characters is enough.
        """
        removed = 0 if text.isascii() or self.removed is None else len(self.removed.findall(text))
        if self.unknown_id not in ids:
            kept = len(ids) - len(ids[left_out])
            return removed, removed + (len(text) - removed - text.count(" ")) * kept // max(1, len(ids))
        encoding, places = self.backend.encode(text, add_special_tokens=False), list(range(len(ids)))
        del places[left_out]
        unknown = characters = 0
        for place in places:  # asked one by one: of a long text few tokens are kept
            start, end = encoding.token_to_chars(place) or (0, 0)  # a token of the frame has no place
            characters += end - start
            unknown += (end - start) * (ids[place] == self.unknown_id)
        return removed + unknown, removed + characters

    @cached_property
    def composes(self) -> bool:
        """Whether a letter and an accent have the tokens of the accented letter, so that text may be put into
        Unicode's composed form (NFC) before it is read."""
        normalizer = self.backend.normalizer
        if normalizer is None:
            return False
        return bool(normalizer.normalize_str("e\u0301") == normalizer.normalize_str("\u00e9"))

    @cached_property
    def removed(self) -> re.Pattern[str] | None:
        """Characters that a reader sees and the normalizer takes out, as BERT's does with private-use ones:
        to a model they are unknown, although no token says so."""
        normalizer = self.backend.normalizer
        return UNSEEN if normalizer is not None and normalizer.normalize_str("\ue000") == "" else None

    @cached_property
    def continues_V(self) -> np.ndarray:
        """(V,) bool: whether a token goes on with the word of the token before it."""
        found = np.zeros(self.vocab_size, dtype=bool)
        model = json.loads(self.backend.to_str())["model"]
        prefix = model.get("continuing_subword_prefix") or ""
        for token, token_id in self.backend.get_vocab().items():
            if model["type"] == "WordPiece":
                found[token_id] = token.startswith(prefix)
            else:  # byte-level BPE and SentencePiece mark the first token of a word
                found[token_id] = not token.startswith(("\u0120", "\u2581"))
        found[list(self.special_ids)] = False
        return found


def _ends(text: str, cap: int, long_texts: LongTexts) -> str:
    """The characters from which the kept tokens are taken."""
    if long_texts != "head_tail":
        return text[:cap]
    return f"{text[: cap // 2]} {text[-(cap // 2) :]}"


def from_vocab(
    tokens: Sequence[str],
    *,
    lowercase: bool,
    strip_accents: bool = False,
    split_chinese: bool = True,
    name: str = "vocabulary",
) -> TextTokenizer:
    """A BERT WordPiece tokenizer over `tokens`, whose ids are their places in the list.

    Of a token that stands there twice the last place counts, as in transformers; the others are left unused.
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
    """A line about tokens that stand in several places; none where all are distinct."""
    places = [(i, token) for i, token in enumerate(tokens) if vocab[token] != i]
    if not places:
        return []
    first, token = places[0]
    what = f"the token {shown(token)}" if token else "an empty line"
    others = f", and {len(places) - 1:,} more such lines" if len(places) > 1 else ""
    return [f"{what} stands on lines {first + 1} and {vocab[token] + 1}, of which the last counts{others}"]


def load_tokenizer(
    path: str | Path, *, lowercase: bool = True, strip_accents: bool = False, split_chinese: bool = True
) -> TextTokenizer:
    """Reads a `tokenizer.json`, or a `vocab.txt` of BERT WordPiece tokens, one a line.

    Args:
        path: the file.
        lowercase, strip_accents, split_chinese: of a vocab.txt; a tokenizer.json says so itself.

    Raises:
        DataError: if the file is missing, is neither form, or lacks a special token.
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


def parse_tokenizer(
    path: Path,
    data: bytes,
    *,
    lowercase: bool = True,
    strip_accents: bool = False,
    split_chinese: bool = True,
) -> TextTokenizer:
    """`load_tokenizer` of a file's bytes; its name says which form it has, or, without an ending, they do."""
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
    for token, token_id in added_ids(text).items():
        given = tokenizer.token_to_id(token)
        if given != token_id:
            raise UnsupportedTokenizerError(
                str(path),
                f"a tokenizer with an added token out of order ({shown(token)} has the id {token_id:,}, and "
                f"the tokenizers library gives it {given:,})",
            )
    return TextTokenizer(tokenizer, str(path))
