"""A WordPiece vocabulary trained on the user's text (Wu et al. 2016, arXiv 1609.08144).

Its tokenizer differs from BERT's in two rules, without which text would be lost. Both are in tokenizer.json,
so an exported model has them too.

- Text is composed (Unicode NFC). An accented letter is the same token whether a file has it as one code point
or as
  a letter and an accent.
- An unknown character becomes an unknown token by itself, and does not make the word around it unknown. A run
of
  more than 100 characters is cut, and does not become one unknown token (`split_pattern`).

Training is reproducible. The library numbers characters inside words (`##x`) in the order of a hash map,
which differs between processes, and these numbers decide ties between merges. So the alphabet is counted here
and given to the library in a fixed order (`test_training_twice_gives_the_same_vocabulary`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from custom_bert.data.split_pattern import split_pattern
from custom_bert.data.text import is_blank
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import SPECIAL_TOKENS, from_vocab

RULES = "wordpiece/3"
"""Version of how a vocabulary is trained and applied. It is part of the names in the cache, so that a change
makes new vocabularies."""

TRAINING_CHARACTERS = 100_000_000
"""A vocabulary is trained on at most about this many characters, from lines at equal distances."""

MIN_FREQUENCY = 2
"""Two parts of a word are only merged into a token if they occur together this often."""

ALPHABET_SHARE = 0.5
"""Largest share of the vocabulary for single characters, each in its two forms (`x`, `##x`)."""


def sample_stride(characters: int) -> int:
    """Returns n, so that a vocabulary is trained on every n-th line that is not blank.

    Args:
        characters: the number of characters of the whole text.
    """
    return max(1, -(-characters // TRAINING_CHARACTERS))


def largest_alphabet(vocab_size: int) -> int:
    """Returns the largest number of different characters that a vocabulary of this size knows."""
    return int(vocab_size * ALPHABET_SHARE) // 2


def train_tokenizer(
    lines: Callable[[], Iterable[list[str]]],
    *,
    vocab_size: int,
    lowercase: bool,
    characters: int,
) -> TextTokenizer:
    """Trains a vocabulary on streamed text. It is a pure function of the text and the arguments.

    Args:
        lines: called twice; yields the text in blocks of lines each time.
        vocab_size: the largest number of entries; little text gives fewer.
        lowercase: whether to fold case. Accents are kept.
        characters: the number of characters of the whole text, which decides how many lines are sampled.
    """
    stride = sample_stride(characters)

    def sample() -> Iterator[str]:
        texts = (text for block in lines() for text in block if not is_blank(text))
        for text in itertools.islice(texts, 0, None, stride):
            yield text[:1_000_000]  # one line must not outweigh the others, or take very long

    normalizer = composing(lowercase=lowercase)
    alphabet = frequent_characters(sample(), normalizer, largest_alphabet(vocab_size))
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[*SPECIAL_TOKENS, *alphabet, *("##" + letter for letter in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = normalizer, splitting(alphabet)
    learner.train_from_iterator(sample(), trainer)
    vocab = learner.get_vocab(with_added_tokens=True)
    made = from_vocab(sorted(vocab, key=lambda token: vocab[token]), lowercase=lowercase)
    made.backend.normalizer, made.backend.pre_tokenizer = normalizer, splitting(alphabet)
    return made


def composing(*, lowercase: bool) -> normalizers.Normalizer:
    """Returns BERT's normalizer, which keeps accents here, followed by NFC.

    The order matters: BERT's step removes zero-width characters, and only then a letter may be next to its
    accent.
    """
    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    return normalizers.Sequence([bert, normalizers.NFC()])


def splitting(alphabet: Iterable[str]) -> pre_tokenizers.PreTokenizer:
    """Returns BERT's division into words and punctuation, after a split at unknown characters
    (`split_pattern`)."""
    apart = pre_tokenizers.Split(Regex(split_pattern(alphabet)), "isolated")
    return pre_tokenizers.Sequence([apart, pre_tokenizers.BertPreTokenizer()])


CODE_POINTS = 0x110000
"""The number of code points of Unicode, which is the length of a table of all characters."""


def count_characters(text: str, counts: np.ndarray) -> None:
    """Adds to a table how often each character occurs in a text.

    Args:
        text: the text.
        counts: (CODE_POINTS,) int64 the counts by code point, changed in place.
    """
    here = np.bincount(np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4"))
    counts[: len(here)] += here


def frequent_characters(texts: Iterable[str], normalizer: normalizers.Normalizer, limit: int) -> list[str]:
    """Returns the most frequent characters of the normalised texts, at most `limit`, in code point order."""
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    pending: list[str] = []
    size = 0

    def count() -> None:
        count_characters(normalizer.normalize_str("\n".join(pending)), counts)

    for text in texts:
        pending.append(text)
        size += len(text)
        if size > 1 << 20:  # large batches, because each call also costs time for the whole table
            count()
            pending, size = [], 0
    count()
    present = np.flatnonzero(counts)
    by_frequency = present[np.lexsort((present, -counts[present]))]
    letters = [chr(code) for code in by_frequency if not chr(code).isspace()]
    return sorted(letters[:limit])
