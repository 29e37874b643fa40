"""A WordPiece vocabulary trained on the user's text (Wu et al. 2016, arXiv 1609.08144).

Its tokenizer differs from BERT's in two rules that lose text otherwise; both stand in tokenizer.json, so an
exported model has them too.

- Text is composed (Unicode NFC). An accented letter is the same token whether a file holds it as one code
  point or as a letter and an accent.
- A character that the vocabulary does not know, and a run of more than 100 characters, cost what they are and
  not the word around them (`split_pattern`).

Training is made reproducible. The library numbers word-inner characters (`##x`) in the order of a hash map
that differs between processes, and ties between merges fall by those numbers. So the alphabet is counted here
and handed over in a fixed order (`test_training_twice_gives_the_same_vocabulary`).
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
"""Raised with every change of how a vocabulary is trained or applied; part of the cache's names."""

TRAINING_CHARACTERS = 100_000_000
"""A vocabulary is trained on at most about this much text, lines taken at equal distances."""

MIN_FREQUENCY = 2
ALPHABET_SHARE = 0.5
"""Share of the vocabulary that single characters may take, each in its two forms (`x`, `##x`)."""


def sample_stride(characters: int) -> int:
    """The stride by which lines that are not blank are sampled to train a vocabulary.

    Args:
        characters: of the whole text.
    """
    return max(1, -(-characters // TRAINING_CHARACTERS))


def largest_alphabet(vocab_size: int) -> int:
    """Characters that a vocabulary of so many entries knows at most."""
    return int(vocab_size * ALPHABET_SHARE) // 2


def train_tokenizer(
    lines: Callable[[], Iterable[list[str]]],
    *,
    vocab_size: int,
    lowercase: bool,
    characters: int,
) -> TextTokenizer:
    """Trains a vocabulary on streamed text. A pure function of the text and the arguments.

    Args:
        lines: called twice; each time gives the text in blocks of lines.
        vocab_size: entries at most; less text gives fewer.
        lowercase: fold case. Accents are kept.
        characters: of the whole text, to choose the sample's distance.
    """
    stride = sample_stride(characters)

    def sample() -> Iterator[str]:
        texts = (text for block in lines() for text in block if not is_blank(text))
        for text in itertools.islice(texts, 0, None, stride):
            yield text[:1_000_000]

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
    """BERT's normalizer without its removal of accents, then NFC. The order matters: BERT's step takes out
    zero-width characters, and a letter may find its accent only after that."""
    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    return normalizers.Sequence([bert, normalizers.NFC()])


def splitting(alphabet: Iterable[str]) -> pre_tokenizers.PreTokenizer:
    """BERT's division into words and punctuation, after `split_pattern` has set unknown characters apart."""
    apart = pre_tokenizers.Split(Regex(split_pattern(alphabet)), "isolated")
    return pre_tokenizers.Sequence([apart, pre_tokenizers.BertPreTokenizer()])


CODE_POINTS = 0x110000
"""Of Unicode: the length of a table of characters."""


def count_characters(text: str, counts: np.ndarray) -> None:
    """Adds how often each character stands in a text to a table by code point."""
    here = np.bincount(np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4"))
    counts[: len(here)] += here


def frequent_characters(texts: Iterable[str], normalizer: normalizers.Normalizer, limit: int) -> list[str]:
    """The most frequent characters of the normalised text, at most `limit`, in code point order."""
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    pending: list[str] = []
    size = 0

    def count() -> None:
        count_characters(normalizer.normalize_str("\n".join(pending)), counts)

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
