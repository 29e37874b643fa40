"""Turns texts into token ids, with the `tokenizers` library."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from custom_bert.config import LongTexts
from custom_bert.data.encoded import EncodedTexts, Frame, units_of
from custom_bert.data.excerpt import Excerpt
from custom_bert.data.pair_frames import longest_first, separators
from custom_bert.data.text_pairs import sides
from custom_bert.data.windows import MAX_WINDOWS
from custom_bert.errors import DataError, first_line

CHARACTERS_PER_TOKEN = 64
"""Before tokenising, a text is cut to this many characters for each token of max_length. What is cut off
would hardly ever become one of the kept tokens, and very long texts would take very long."""

HEAD_SHARE = 4
"""With head_tail, one in this many tokens is kept from the beginning, and the others from the end. Sun et al.
2019 (arXiv 1905.05583) keep 128 and 382 of 510."""

UNUSED = 1000
"""The number of ids below the highest that may belong to no token. A vocabulary with more tokens than this
may have as many such gaps as tokens. Each gap costs an unused row of the model's token embeddings."""

UNSEEN = re.compile("[\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
"""Private-use characters, and the replacement character for one that could not be decoded."""

UNLIKELY = "\U00010348\u03fb"
"""A word that few vocabularies know. Encoding it shows whether a tokenizer can handle unknown words."""


@contextmanager
def library_errors(where: str, what: str) -> Iterator[None]:
    """Turns exceptions and panics of the tokenizers library into an error of one line.

    Args:
        where: the place of the error, such as the tokenizer's file.
        what: what the library could not do.

    Raises:
        DataError: in the place of whatever the library raises.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(where, f"{what}: {first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # its class cannot be imported from any module
            raise
        raise DataError(where, f"{what}: {first_line(error)}") from error


@dataclass(frozen=True)
class _Kept:
    """What is kept of some texts.

    Attributes:
        ids: the token ids of each text.
        places: for each text where its tokens are, and its length; empty if nobody asked.
        counts_3N: (3, N) int64 the numbers of lost tokens, of unknown characters, and of all characters.
        units: for each text the units of which the first token is kept, as `EncodedTexts.units` has them, but
            without special tokens; empty if nobody asked.
    """

    ids: list[list[int]]
    places: list[tuple[np.ndarray, int]]
    counts_3N: np.ndarray
    units: list[np.ndarray]


class TextTokenizer:
    """Turns texts into token ids: [CLS], the text's tokens, [SEP], or the tokenizer's own start and end
    tokens. `reading` makes one for pairs of texts.

    Args:
        tokenizer: a tokenizer of the `tokenizers` library. Its truncation and padding are switched off.
        name: the name of the tokenizer in messages.
        notes: what a user should know of the vocabulary, one line each.

    Attributes:
        vocab_size: V, one more than the highest id, which is the number of token embeddings that a model
            needs. Some ids below it belong to no token if the vocabulary of a pretrained model has gaps.
        frame: the special tokens around a text or a pair.
        pairs: whether it reads pairs of texts (`data.text_pairs`).
        cls_id, sep_id, pad_id: the ids of the start, end and padding tokens.
        mask_id, unknown_id: the ids of the mask and unknown tokens; None if there is no such token.

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
            alone = tokenizer.encode("").ids
        # the tokens that the tokenizer itself puts around a text come before tokens with the usual names,
        # because a vocabulary may contain "<s>" as an ordinary entry
        self.cls_id = alone[0] if len(alone) == 2 else self._special(name, "[CLS]", "<s>")
        self.sep_id = alone[1] if len(alone) == 2 else self._special(name, "[SEP]", "</s>")
        self.name, self.pairs = name, False
        self.frame = Frame((self.cls_id,), (self.sep_id,))
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
        # a vocabulary that lacks the unknown token its model needs fails here, and not in the middle of a run
        with library_errors(name, "cannot encode an unknown word"):
            tokenizer.encode(UNLIKELY, add_special_tokens=False)

    def reading(self, *, pairs: bool) -> TextTokenizer:
        """Returns a tokenizer with the same vocabulary that reads single texts, or pairs of texts.

        Raises:
            DataError: if it is to read pairs, and the tokenizer puts a pair together in a way that is not
                supported.
        """
        if pairs == self.pairs:
            return self
        other = copy.copy(self)
        between = separators(self.backend, self.name, self.cls_id, self.sep_id) if pairs else ()
        other.pairs, other.frame = pairs, Frame((self.cls_id,), (self.sep_id,), between)
        return other

    @property
    def special_ids(self) -> list[int]:
        """The ids of the start, end, padding, mask and unknown tokens, ascending."""
        ids = (self.cls_id, self.sep_id, self.pad_id, self.mask_id, self.unknown_id)
        return sorted({token_id for token_id in ids if token_id is not None})

    @cached_property
    def ids(self) -> np.ndarray:
        """int64 the ids that belong to a token, ascending: all below `vocab_size` except those in gaps."""
        return np.unique(np.fromiter(self.backend.get_vocab(with_added_tokens=True).values(), dtype=np.int64))

    @property
    def unused_ids(self) -> list[int]:
        """The ids below `vocab_size` that belong to no token."""
        return [int(i) for i in np.setdiff1d(np.arange(self.vocab_size), self.ids)]

    def _optional(self, *spellings: str) -> int | None:
        """Returns the id of the first spelling that the vocabulary has; None if it has none of them."""
        ids = (self.backend.token_to_id(spelling) for spelling in spellings)
        return next((int(token_id) for token_id in ids if token_id is not None), None)

    def _special(self, name: str, *spellings: str) -> int:
        """Returns the id of the first spelling that the vocabulary has; raises DataError if it has none."""
        token_id = self._optional(*spellings)
        if token_id is not None:
            return token_id
        raise DataError(name, f"the vocabulary has no {' or '.join(spellings)} token")

    def special_tokens(self) -> dict[str, str]:
        """Returns the special tokens as strings, by Hugging Face's names of their roles, such as
        cls_token."""
        ids = {
            "cls_token": self.cls_id,
            "sep_token": self.sep_id,
            "pad_token": self.pad_id,
            "mask_token": self.mask_id,
            "unk_token": self.unknown_id,
        }
        return {role: str(self.backend.id_to_token(i)) for role, i in ids.items() if i is not None}

    def to_json(self) -> str:
        """Returns the content of tokenizer.json."""
        return str(self.backend.to_str(pretty=True))

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of `to_json`, which identifies the tokenizer."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def encode(
        self,
        texts: Sequence[str],
        max_length: int,
        long_texts: LongTexts = "head",
        *,
        offsets: bool = False,
        units: bool = False,
    ) -> EncodedTexts:
        """Returns at most `max_length` token ids of each text, or of each pair of texts.

        Of a pair, the longer text loses tokens first, until both are equally long; then both do, as with
        "longest_first" in transformers.

        Args:
            texts: the texts or pairs.
            max_length: the largest number of tokens of a text or pair, special ones included; at least 3.
            long_texts: which tokens of a longer text are kept. With "windows", a sequence has the tokens of
                all windows of the text, each once, between the special tokens; `data.windows` cuts it later.
            offsets: whether to return where each token is in its text. It takes longer.
            units: whether to return the units of each text (`EncodedTexts.units`); not of pairs. It takes as
                long as offsets.
        """
        assert not (units and self.pairs), "pairs of texts have no units"
        frame = self.frame
        # at most this many tokens of a text itself are kept, made from at most `cap` characters
        room = (max_length - frame.size) * (MAX_WINDOWS if long_texts == "windows" else 1)
        cap = CHARACTERS_PER_TOKEN * (room + frame.size)
        columns = list(zip(*map(sides, texts), strict=True)) if self.pairs else [texts]
        traced = offsets or units
        read = [[self._read(text, cap, long_texts, traced) for text in column] for column in columns]
        encode_batch = self.backend.encode_batch if traced else self.backend.encode_batch_fast
        encodings = [encode_batch([one.text for one in column], add_special_tokens=False) for column in read]
        limits: Sequence[Sequence[int]] = [[room] * len(texts)]
        if self.pairs:
            counts = (map(len, column) for column in encodings)
            both = [longest_first(first, second, room) for first, second in zip(*counts, strict=True)]
            limits = list(zip(*both, strict=True))
        kept = [
            self._cut(*column, long_texts, offsets=offsets, units=units)
            for column in zip(columns, read, encodings, limits, strict=True)
        ]
        lists = [one.ids for one in kept]
        arrays = [np.array(frame.framed(*ids), dtype=np.int64) for ids in zip(*lists, strict=True)]
        lengths_N = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
        seconds_N = None
        if self.pairs:
            firsts_N = np.fromiter(map(len, lists[0]), dtype=np.int64, count=len(texts))
            seconds_N = len(frame.before) + firsts_N + len(frame.between)
        places = [frame.offsets(*of[0], *of[1:]) for of in zip(*(one.places for one in kept), strict=True)]
        lost_N, unknown_N, characters_N = np.sum([one.counts_3N for one in kept], axis=0)
        special_NS, found = frame.special(lengths_N, seconds_N), places if offsets else None
        first = np.array([len(frame.before), 0, 0])
        parts = [units_U3 + first for units_U3 in kept[0].units] if units else None
        return EncodedTexts(arrays, special_NS, lost_N, unknown_N, characters_N, found, seconds_N, parts)

    def _cut(
        self,
        texts: Sequence[str],
        read: Sequence[Excerpt],
        encodings: Sequence[Any],
        limits: Sequence[int],
        long_texts: LongTexts,
        *,
        offsets: bool,
        units: bool,
    ) -> _Kept:
        """Cuts tokenised texts to their limits.

        Args:
            texts: the texts as the user wrote them.
            read: what was read of each.
            encodings: the tokens of each, without special tokens.
            limits: the largest number of tokens that each may keep.
            long_texts: which tokens of a longer text are kept.
            offsets: whether to return where each token is in its text.
            units: whether to return the units of each text.
        """
        lists, places = [], []
        parts: list[np.ndarray] = []
        counts_3N = np.zeros((3, len(texts)), dtype=np.int64)
        for i, (excerpt, encoding, limit) in enumerate(zip(read, encodings, limits, strict=True)):
            ids = encoding.ids
            head = limit // HEAD_SHARE if long_texts == "head_tail" else limit
            left_out = slice(head, max(head, len(ids) - limit + head))
            lost = max(len(ids) - limit, int(excerpt.was_cut))
            counts_3N[:, i] = lost, *self._count_characters(excerpt.text, ids, left_out)
            del ids[left_out]  # keeps `head` tokens, and those at the end that there is room for
            lists.append(ids)
            if units:  # of a unit that is cut, the place of all its tokens is told
                all_L2 = excerpt.places(encoding.offsets, self._normalize)
                parts.append(units_of(encoding.word_ids, all_L2, texts[i], left_out))
            if offsets:
                kept = encoding.offsets
                del kept[left_out]
                places.append((excerpt.places(kept, self._normalize), len(texts[i])))
        return _Kept(lists, places, counts_3N, parts)

    def encode_plain(self, texts: Sequence[str]) -> EncodedTexts:
        """Returns all token ids of each text, without special tokens around it.

        Args:
            texts: texts of bounded length, because the time for a text grows faster than its length.
        """
        lists = [e.ids for e in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        counts = [self._count_characters(text, ids) for text, ids in zip(texts, lists, strict=True)]
        unknown_N, characters_N = np.array(counts, dtype=np.int64).reshape(-1, 2).T
        arrays = [np.array(ids, dtype=np.int64) for ids in lists]
        no_special_NS = np.zeros((len(texts), 0), dtype=np.int64)
        return EncodedTexts(arrays, no_special_NS, np.zeros(len(texts), np.int64), unknown_N, characters_N)

    def _read(self, text: str, cap: int, long_texts: LongTexts, traced: bool) -> Excerpt:
        """Returns at most `cap` characters of a text, from which the kept tokens are made.

        Where composed and decomposed text have the same tokens, they have the same excerpt too.
        """
        excerpt = Excerpt(text, traced)
        if self.composes and not text.isascii():
            # a very long text is cut first, to save time; a character is composed of at most four
            if len(text) > 4 * cap:
                excerpt.cut(4 * cap, long_texts)
            excerpt.compose()
        if len(excerpt.text) > cap and isinstance(self.backend.model, models.WordPiece):
            excerpt.strip()  # white space makes no token, and must not fill the characters that are kept
        if len(excerpt.text) > cap:
            excerpt.cut(cap, long_texts)
        return excerpt

    def _normalize(self, text: str) -> str:
        """Returns a text as the tokenizer's normalizer changes it."""
        normalizer = self.backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def _count_characters(
        self, text: str, ids: Sequence[int], left_out: slice = slice(0, 0)
    ) -> tuple[int, int]:
        """Returns the number of unknown characters of a text, and the number of all its characters.

        White space is not counted, nor are characters of tokens that are left out. Exact counts need offsets,
        which
        cost a third of the time, so they are made only for the few texts with an unknown token. For other
        texts the number of characters is estimated from the share of the tokens that are kept.

        Args:
            text: the text that was tokenised.
            ids: all its token ids.
            left_out: which of them are left out.
        """
        removed = 0 if text.isascii() or self.removed is None else len(self.removed.findall(text))
        if self.unknown_id not in ids:
            kept = len(ids) - len(ids[left_out])
            return removed, removed + (len(text) - removed - text.count(" ")) * kept // max(1, len(ids))
        encoding, places = self.backend.encode(text, add_special_tokens=False), list(range(len(ids)))
        del places[left_out]
        unknown = characters = 0
        for place in places:  # one by one, because few tokens of a very long text are kept
            start, end = encoding.token_to_chars(place) or (0, 0)  # a special token has no characters
            characters += end - start
            unknown += (end - start) * (ids[place] == self.unknown_id)
        return removed + unknown, removed + characters

    @cached_property
    def composes(self) -> bool:
        """Whether a letter and an accent give the tokens of the accented letter, so that text may be
        composed."""
        normalizer = self.backend.normalizer
        if normalizer is None:
            return False
        return bool(normalizer.normalize_str("e\u0301") == normalizer.normalize_str("\u00e9"))

    @cached_property
    def removed(self) -> re.Pattern[str] | None:
        """A pattern for characters that are visible and that the normalizer removes; None if it keeps them.

        BERT's normalizer removes private-use characters. They count as unknown, although they make no unknown
        token.
        """
        normalizer = self.backend.normalizer
        return UNSEEN if normalizer is not None and normalizer.normalize_str("\ue000") == "" else None

    @cached_property
    def continues_V(self) -> np.ndarray:
        """(V,) bool, whether a token continues the word of the token before it."""
        continues_V = np.zeros(self.vocab_size, dtype=bool)
        model = json.loads(self.backend.to_str())["model"]
        prefix = model.get("continuing_subword_prefix") or ""
        for token, token_id in self.backend.get_vocab().items():
            if model["type"] == "WordPiece":
                continues_V[token_id] = token.startswith(prefix)
            else:  # byte-level BPE and SentencePiece mark the first token of a word instead
                continues_V[token_id] = not token.startswith(("\u0120", "\u2581"))
        continues_V[list(self.special_ids)] = False
        return continues_V
