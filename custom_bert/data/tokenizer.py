"""Texts to token ids, on the `tokenizers` library."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
from tokenizers import Tokenizer, models

from custom_bert.config import LongTexts
from custom_bert.data.encoded import EncodedTexts, Frame
from custom_bert.data.excerpt import Excerpt
from custom_bert.data.windows import MOST
from custom_bert.errors import DataError, first_line

CHARACTERS_PER_TOKEN = 64
"""A text is cut to this many characters per token of max_length before it is tokenised."""

HEAD_SHARE = 4
"""head_tail keeps one in so many tokens from the head, the others from the end: 128 and 382 of 510 in the
paper."""

UNUSED = 1000
"""Ids up to the highest that may belong to no token; in a larger vocabulary as many as there are tokens. Each
costs a row of the model's token vectors."""

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


class TextTokenizer:
    """Turns texts into token ids: [CLS], the text's tokens, [SEP], or what the tokenizer has in their places.

    Args:
        tokenizer: of the `tokenizers` library. Truncation and padding that it carries are switched off.
        name: for messages.
        notes: what a user should know of the vocabulary, one line each.

    Attributes:
        vocab_size: V, one more than the highest id: the rows that a model needs. Some ids below it may belong
            to no token, where a checkpoint's vocabulary has gaps.
        frame: the special tokens around a text.

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
        # what the tokenizer itself frames a text with; "<s>" may be an entry like any other beside it
        self.cls_id = alone[0] if len(alone) == 2 else self._special(name, "[CLS]", "<s>")
        self.sep_id = alone[1] if len(alone) == 2 else self._special(name, "[SEP]", "</s>")
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

    def encode(
        self,
        texts: Sequence[str],
        max_length: int,
        long_texts: LongTexts = "head",
        *,
        offsets: bool = False,
    ) -> EncodedTexts:
        """Token ids of each text, at most `max_length`.

        Args:
            texts: any.
            max_length: tokens kept of a text, special ones included; at least 3.
            long_texts: which tokens of a longer text are kept. With windows a sequence holds what all windows
                of the text hold, once, between the special tokens; see `data.windows`.
            offsets: tell where each token stands in its text. It takes longer.
        """
        frame = self.frame
        room = (max_length - frame.size) * (MOST if long_texts == "windows" else 1)
        cap = CHARACTERS_PER_TOKEN * (room + frame.size)
        head = room // HEAD_SHARE if long_texts == "head_tail" else room
        read = [self._read(text, cap, long_texts, offsets) for text in texts]
        arrays, lost_N = [], np.zeros(len(texts), dtype=np.int64)
        counts_2N = np.zeros((2, len(texts)), dtype=np.int64)
        encode_batch = self.backend.encode_batch if offsets else self.backend.encode_batch_fast
        encodings = encode_batch([excerpt.text for excerpt in read], add_special_tokens=False)
        places = []
        for i, (excerpt, encoding) in enumerate(zip(read, encodings, strict=True)):
            ids = encoding.ids
            lost_N[i] = max(len(ids) - room, int(excerpt.was_cut))
            left_out = slice(head, max(head, len(ids) - room + head))
            counts_2N[:, i] = self._count_characters(excerpt.text, ids, left_out)
            del ids[left_out]
            arrays.append(np.array([*frame.before, *ids, *frame.after], dtype=np.int64))
            if offsets:
                kept = encoding.offsets
                del kept[left_out]
                places.append(frame.offsets(excerpt.places(kept, self._normalize), len(texts[i])))
        lengths_N = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
        unknown_N, characters_N = counts_2N
        told = places if offsets else None
        return EncodedTexts(arrays, frame.special(lengths_N), lost_N, unknown_N, characters_N, told)

    def encode_plain(self, texts: Sequence[str]) -> EncodedTexts:
        """All token ids of each text, without special tokens around it.

        Args:
            texts: of bounded length, since the time of a text grows faster than its length.
        """
        found = [e.ids for e in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]
        counts = [self._count_characters(text, ids) for text, ids in zip(texts, found, strict=True)]
        unknown_N, characters_N = np.array(counts, dtype=np.int64).reshape(-1, 2).T
        arrays = [np.array(ids, dtype=np.int64) for ids in found]
        no_special_NS = np.zeros((len(texts), 0), dtype=np.int64)
        return EncodedTexts(arrays, no_special_NS, np.zeros(len(texts), np.int64), unknown_N, characters_N)

    def _read(self, text: str, cap: int, long_texts: LongTexts, traced: bool) -> Excerpt:
        """At most `cap` characters of a text, from which the kept tokens are made. They are the same for
        composed and decomposed text, if the tokens are."""
        excerpt = Excerpt(text, traced)
        if self.composes and not text.isascii():
            if len(text) > 4 * cap:  # a character decomposes into four at most
                excerpt.cut(4 * cap, long_texts)
            excerpt.compose()
        if len(excerpt.text) > cap and isinstance(self.backend.model, models.WordPiece):
            excerpt.strip()  # white space before a text would take the place of the text
        if len(excerpt.text) > cap:
            excerpt.cut(cap, long_texts)
        return excerpt

    def _normalize(self, text: str) -> str:
        """What the library makes of a text before it looks for tokens."""
        normalizer = self.backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

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
