"""What a run learns from, read and tokenised: labelled texts, or running text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from custom_bert.checkpoints.pretrained import Pretrained
from custom_bert.config import LongTexts, TrainConfig
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import Corpus, read_corpus
from custom_bert.data.dataset import Dataset, read_dataset
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.phrases import counted
from custom_bert.data.pieces import open_pieces
from custom_bert.data.store import StoreInfo, TokenStore, open_store
from custom_bert.data.text import LineReader
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.unknown import (
    OF_A_CHECKPOINT,
    OF_A_GIVEN_VOCABULARY,
    OF_OTHER_TEXTS,
    OF_TRAINING_TEXTS,
    UnknownText,
)
from custom_bert.data.windows import MOST
from custom_bert.errors import ConfigError, DataError
from custom_bert.training.decisions import Decisions, Text, decide_tokenizer

Source = Dataset | Corpus

MEASURED = 200_000
"""Held-out tokens that an evaluation reads; of more, every n-th piece."""


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        source: the checked data.
        tokenizer: trained or loaded.
        train, val: batch builders of what trains and of what measures.
        truncation: how many texts were cut, and by how much, by split.
        warnings: one line each.
    """

    source: Source
    tokenizer: TextTokenizer
    train: BatchBuilder
    val: BatchBuilder
    truncation: dict[str, StoreInfo]
    warnings: tuple[str, ...]


def read(
    todo: Decisions, pretrained: Pretrained | None, device: torch.device, say: Callable[[str], None]
) -> Reading:
    """Reads what the objective learns from.

    Raises:
        UserError: for anything that the user has to mend.
    """
    if todo.config.objective == "masked_lm":
        return _running_text(todo, pretrained, device, say)
    return _labelled(todo, pretrained, device, say)


def _labelled(
    todo: Decisions, pretrained: Pretrained | None, device: torch.device, say: Callable[[str], None]
) -> Reading:
    config = todo.asked
    dataset = read_dataset(config.data, seed=config.seed)
    file = dataset.train_file
    text = Text(
        file.characters, file.texts_sha256, partial(LineReader(file.texts_path).blocks, file.texts_sha256)
    )
    cache = Cache.of(config.data.cache_dir, config.out, say)
    tokenizer = pretrained.tokenizer if pretrained else decide_tokenizer(todo, text, cache, say)
    max_length = todo.config.data.max_length
    assert max_length is not None

    def store(file_texts: str, sha256: str) -> TokenStore:
        return open_store(
            file_texts,
            sha256,
            tokenizer,
            max_length=max_length,
            long_texts=config.data.long_texts,
            cache=cache,
        )

    train_store = store(dataset.train_file.texts_path, dataset.train_file.texts_sha256)
    val_store = (
        train_store
        if dataset.was_divided
        else store(dataset.val_file.texts_path, dataset.val_file.texts_sha256)
    )
    pin = device.type == "cuda"
    window = max_length if config.data.long_texts == "windows" else None
    train, val = (
        BatchBuilder(store, rows, labels, tokenizer.pad_id, pin, window)
        for store, rows, labels in (
            (train_store, dataset.train_rows, dataset.train_label_ids),
            (val_store, dataset.val_rows, dataset.val_label_ids),
        )
    )
    truncation = {"train": train_store.info} | ({} if dataset.was_divided else {"val": val_store.info})
    warnings = _doubts(dataset, truncation, todo.config)
    return Reading(dataset, tokenizer, train, val, truncation, (*dataset.warnings, *warnings))


def _running_text(
    todo: Decisions, pretrained: Pretrained | None, device: torch.device, say: Callable[[str], None]
) -> Reading:
    config = todo.asked
    if not config.data.corpus:
        raise ConfigError(["config: data.corpus: masked_lm needs text files or folders of them"])
    cache = Cache.of(config.data.cache_dir, config.out, say)
    corpus = read_corpus(config.data.corpus, cache)
    text = Text(corpus.characters, corpus.sha256, corpus.blocks)
    tokenizer = pretrained.tokenizer if pretrained else decide_tokenizer(todo, text, cache, say)
    max_length = todo.config.data.max_length
    assert max_length is not None
    train, val = open_pieces(
        corpus,
        tokenizer,
        max_length=max_length,
        held_out=config.data.held_out,
        seed=config.seed,
        cache=cache,
        progress=_Preparation(corpus.stored, say),
    )
    warnings = list(corpus.warnings)
    about = train.about
    unknown = UnknownText(characters=about.characters, unknown=about.unknown)
    if unknown.hinders_learning:
        warnings.append(f"{unknown.message()}: {_way_out(todo.config, OF_TRAINING_TEXTS)}")
    pin = device.type == "cuda"
    every = max(1, -(-int(val.lengths_N.sum()) // MEASURED))
    train_builder, val_builder = (
        BatchBuilder(pieces, np.arange(0, len(pieces), step), None, tokenizer.pad_id, pin)
        for pieces, step in ((train, 1), (val, every))
    )
    for builder, what in ((train_builder, "texts"), (val_builder, "held-out texts")):
        _check_something_to_hide(builder, tokenizer, what)
    return Reading(corpus, tokenizer, train_builder, val_builder, {}, tuple(warnings))


def _check_something_to_hide(builder: BatchBuilder, tokenizer: TextTokenizer, what: str) -> None:
    """Raises DataError if no piece has a token that could be hidden and predicted; looks until one has."""
    pieces = (builder.store[row] for row in builder.rows_N.tolist())
    if not any(np.isin(ids, tokenizer.special_ids, invert=True).any() for ids in pieces):
        raise DataError(
            "data.corpus",
            f"the {what} hold no token that could be hidden; the vocabulary knows none of their characters",
        )


class _Preparation:
    """Says how far tokenising has come, every few seconds.

    Args:
        total: bytes to read.
        say: where to.
    """

    EVERY = 5.0

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say, self._last = total, say, 0.0
        self._first: tuple[int, float] | None = None

    def __call__(self, read: int, seconds: float) -> None:
        if self._first is None:  # what an earlier process had done takes no time
            self._first = (read, seconds)
            return
        if seconds - self._last < self.EVERY:
            return
        self._last = seconds
        rate = (read - self._first[0]) / max(1e-9, seconds - self._first[1])
        left = (self._total - read) / max(1.0, rate)
        self._say(
            f"tokenising: {read / 1e6:,.0f} of {self._total / 1e6:,.0f} MB, {rate / 1e6:.1f} MB/s, "
            f"left {left / 60:.0f} min {left % 60:02.0f} s"
        )


KEPT: dict[LongTexts, str] = {
    "head": "{max_length} tokens",
    "head_tail": "{max_length} tokens, a quarter from the head and the rest from the end",
    "windows": f"{MOST} windows of {{max_length}} tokens",
}


def _way_out(config: TrainConfig, of_a_trained_vocabulary: str) -> str:
    """What helps if the vocabulary does not know the texts."""
    if config.model.init_from:
        return OF_A_CHECKPOINT
    return OF_A_GIVEN_VOCABULARY if config.data.tokenizer else of_a_trained_vocabulary


def _doubts(dataset: Dataset, truncation: dict[str, StoreInfo], config: TrainConfig) -> list[str]:
    warnings = []
    kept = KEPT[config.data.long_texts].format(max_length=config.data.max_length)
    for split, info in truncation.items():
        path = (dataset.train_file if split == "train" else dataset.val_file).texts_path
        if info.truncated:
            share = info.lost_tokens / (info.tokens + info.lost_tokens)
            warnings.append(
                f"{path}: {counted(info.truncated, 'text')} of {info.texts:,} cut to "
                f"{kept}, {share:.1%} of all tokens lost"
            )
        if info.unknown.hinders_learning:
            of_texts = OF_TRAINING_TEXTS if split == "train" else OF_OTHER_TEXTS
            warnings.append(f"{path}: {info.unknown.message()}: {_way_out(config, of_texts)}")
    counts = np.bincount(dataset.train_label_ids, minlength=len(dataset.labels))
    if counts.max() > 10 * max(1, int(counts.min())):
        warnings.append(
            f"{dataset.train_file.labels_path}: the largest class has {counts.max():,} examples, the "
            f"smallest {counts.min():,}; optim.class_weights balanced and optim.metric macro_f1 may help"
        )
    return warnings
