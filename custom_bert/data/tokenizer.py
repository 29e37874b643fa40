"""Texts to token ids, on the `tokenizers` library: WordPiece trained on the user's text, or a given file.

Training is made reproducible. The library numbers word-inner characters (`##x`) in the order of a hash map
that differs between processes, and ties between merges fall by those numbers; so the alphabet is counted
here and handed over in a fixed order (`test_training_twice_gives_the_same_vocabulary`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from custom_bert import files
from custom_bert.config import LongTexts
from custom_bert.data.tokenizer_json import (
    SENTENCE_PIECE,
    NotATokenizerError,
    NotSupportedError,
    added_ids,
    checked,
)
from custom_bert.data.windows import MOST
from custom_bert.errors import DataError, UnsupportedTokenizerError, first_line, shown

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's, with ids 0 to 4 in a trained vocabulary."""

CHARACTERS_PER_TOKEN = 64
"""A text is cut to this many characters per token of max_length before it is tokenised."""

HEAD_SHARE = 4
"""head_tail keeps one in so many tokens from the head, the others from the end: 128 and 382 of 510 in the
paper."""

TRAINING_CHARACTERS = 100_000_000
"""A vocabulary is trained on at most about this much text, lines taken at equal distances."""

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

UNLIKELY = "\U00010348\u03fb"
"""A word that few vocabularies know."""

MIN_FREQUENCY = 2
ALPHABET_SHARE = 0.5
"""Share of the vocabulary that single characters may take, each in its two forms (`x`, `##x`)."""


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

    def encode(
        self, texts: Sequence[str], max_length: int, long_texts: LongTexts = "head"
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Token ids of each text, at most `max_length`, and the tokens that each lost.

        Args:
            texts: any.
            max_length: tokens kept of a text, the start and end token included; at least 3.
            long_texts: which tokens of a longer text are kept.

        Returns:
            One int64 array per text, and (N,) int64 of lost tokens. With windows an array holds what all
            windows of the text hold, once, between one start and one end token; see `data.windows`. Of a text
            that was cut to `CHARACTERS_PER_TOKEN` characters a token the loss is at least 1, a lower bound.
        """
        room = (max_length - 2) * (MOST if long_texts == "windows" else 1)
        cap = CHARACTERS_PER_TOKEN * (room + 2)
        head = room // HEAD_SHARE if long_texts == "head_tail" else room
        capped = [text if len(text) <= cap else _ends(text, cap, long_texts) for text in texts]
        arrays, lost = [], np.zeros(len(texts), dtype=np.int64)
        for i, encoding in enumerate(self.backend.encode_batch_fast(capped, add_special_tokens=False)):
            ids = encoding.ids
            lost[i] = max(len(ids) - room, int(len(texts[i]) > cap))
            if len(ids) > room:
                ids = ids[:head] + ids[len(ids) - (room - head) :]
            arrays.append(np.array([self.cls_id, *ids, self.sep_id], dtype=np.int64))
        return arrays, lost

    def encode_plain(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, all of them, without start and end tokens; int64.

        Args:
            texts: of bounded length, since the time of a text grows faster than its length.
        """
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

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


def sample_stride(characters: int) -> int:
    """Of a text of so many characters, every how many-th line that is not blank trains the vocabulary."""
    return max(1, -(-characters // TRAINING_CHARACTERS))


def train_tokenizer(
    lines: Callable[[], Iterable[list[str]]],
    *,
    vocab_size: int,
    lowercase: bool,
    characters: int,
) -> TextTokenizer:
    """Trains a WordPiece vocabulary (Wu et al. 2016, arXiv 1609.08144) on streamed text.

    A pure function of the text and the arguments.

    Args:
        lines: called twice; each time gives the text in blocks of lines.
        vocab_size: entries at most; less text gives fewer.
        lowercase: fold case. Accents are kept.
        characters: of the whole text, to choose the sample's distance.
    """
    stride = sample_stride(characters)

    def sample() -> Iterator[str]:
        texts = (text for block in lines() for text in block if text and not text.isspace())
        for text in itertools.islice(texts, 0, None, stride):
            yield text[:1_000_000]

    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = _alphabet(sample(), normalizer, int(vocab_size * ALPHABET_SHARE) // 2)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[*SPECIAL_TOKENS, *alphabet, *("##" + letter for letter in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = normalizer, pre_tokenizer
    learner.train_from_iterator(sample(), trainer)
    vocab = learner.get_vocab(with_added_tokens=True)
    tokens = sorted(vocab, key=lambda token: vocab[token])
    return from_vocab(tokens, lowercase=lowercase)


def _alphabet(texts: Iterator[str], normalizer: normalizers.Normalizer, limit: int) -> list[str]:
    """The most frequent characters of the normalised text, in code point order."""
    counts = np.zeros(0x110000, dtype=np.int64)
    pending: list[str] = []
    size = 0

    def count() -> None:
        text = normalizer.normalize_str("\n".join(pending))
        counts_here = np.bincount(np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4"))
        counts[: len(counts_here)] += counts_here

    for text in texts:
        pending.append(text)
        size += len(text)
        if size > 1 << 20:
            count()
            pending, size = [], 0
    count()
    present = np.flatnonzero(counts)
    by_frequency = present[np.lexsort((present, -counts[present]))]
    letters = [chr(code) for code in by_frequency if not chr(code).isspace()]
    return sorted(letters[:limit])


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
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
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
    if not path.is_file():
        raise DataError(str(path), "no such tokenizer file; expected a vocab.txt or tokenizer.json")
    try:
        content = files.read_at_most(path, LARGEST_FILE)
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
    """`load_tokenizer` of a file's bytes; its name says which form it has."""
    if path.suffix == ".model":
        raise UnsupportedTokenizerError(str(path), f"{SENTENCE_PIECE} (a *.model file)")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"not valid UTF-8 at byte {error.start + 1}") from error
    if path.suffix != ".json":
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
