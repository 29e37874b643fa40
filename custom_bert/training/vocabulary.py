"""The vocabulary of a run that starts from random weights: one that the user names, or one trained on the
texts."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from custom_bert import files
from custom_bert.data.cache import Cache
from custom_bert.data.source import VocabularyText
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import load_tokenizer
from custom_bert.data.vocabulary import RULES, sample_stride, train_tokenizer
from custom_bert.errors import ConfigError, DataError
from custom_bert.rules import choices
from custom_bert.rules.decisions import Decisions


def decide_tokenizer(
    todo: Decisions, text: VocabularyText, cache: Cache, say: Callable[[str], None]
) -> TextTokenizer:
    """Returns the tokenizer that the user names; else one that is trained on the text, or was by an earlier
    run. Decides `model.vocab_size`.

    Args:
        todo: the decisions.
        text: the training text.
        cache: keeps trained vocabularies between runs.
        say: prints a line about what takes time.

    Raises:
        ConfigError: if the user's tokenizer has another size than `model.vocab_size`.
        DataError: if the user's tokenizer cannot be read.
    """
    data = todo.config.data
    if data.tokenizer:
        tokenizer = load_tokenizer(data.tokenizer, lowercase=data.lowercase)
        for note in tokenizer.notes:
            say(f"{data.tokenizer}: {note}")
        if todo.config.model.vocab_size not in (None, tokenizer.vocab_size):
            raise ConfigError(
                [
                    f"config: model.vocab_size is {todo.config.model.vocab_size}, but "
                    f"{data.tokenizer} has {tokenizer.vocab_size} entries; leave it out"
                ]
            )
        todo.default("model.vocab_size", (tokenizer.vocab_size, f"entries of {data.tokenizer}"))
        return tokenizer
    wanted, reason = choices.vocab_size(text.characters)
    if todo.config.model.vocab_size is not None:
        wanted, reason = todo.config.model.vocab_size, "as configured"
    identity = f"{RULES} {text.sha256} {wanted} {data.lowercase}"
    name = hashlib.sha256(identity.encode()).hexdigest()[:32] + ".json"

    @functools.cache  # the cache asks again for each place where it cannot keep the result
    def trained() -> TextTokenizer:
        read = text.characters // sample_stride(text.characters)
        share = f"{read:,} of {text.characters:,} characters of the texts"
        say(f"training a WordPiece vocabulary on {share}")
        return train_tokenizer(
            text.blocks, vocab_size=wanted, lowercase=data.lowercase, characters=text.characters
        )

    tokenizer = cache.get(
        lambda root: _cached(root / TOKENIZERS / name),
        lambda root: _kept(trained(), cache.folder(root, TOKENIZERS) / name),
    )
    if todo.config.model.vocab_size is None:
        if tokenizer.vocab_size < wanted:
            reason += ", which yield no more"
        todo.set("model.vocab_size", tokenizer.vocab_size, reason)
    return tokenizer


TOKENIZERS = "tokenizers"
"""The name of the cache's folder of trained vocabularies."""


def _kept(tokenizer: TextTokenizer, path: Path) -> TextTokenizer:
    """Writes a tokenizer into the cache, and returns it."""
    # the hash comes first: an interruption leaves a hash without a tokenizer, which counts as nothing
    files.write_text(path.with_suffix(".sha256"), tokenizer.sha256)
    files.write_text(path, tokenizer.to_json())
    return tokenizer


def _cached(path: Path) -> TextTokenizer | None:
    """Returns a tokenizer of the cache; None if there is none, or if it is damaged."""
    try:
        if not path.is_file():
            return None
        tokenizer, written = load_tokenizer(path), path.with_suffix(".sha256").read_text(encoding="utf-8")
    except (DataError, OSError, UnicodeDecodeError):
        return None  # damaged: it is trained again
    return tokenizer if tokenizer.sha256 == written else None
