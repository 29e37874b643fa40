"""`custom-bert check-data`: the checks that `train` makes before its first step, and what a vocabulary
lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from tokenizers.normalizers import Normalizer

from custom_bert import config as configuration
from custom_bert.config import TrainConfig
from custom_bert.config_checks import check
from custom_bert.data.dataset import Dataset
from custom_bert.data.lines import Lines
from custom_bert.data.reading import data_files, data_settings
from custom_bert.data.text import composed
from custom_bert.data.tokenizer import UNSEEN, TextTokenizer
from custom_bert.data.tokenizer_files import load_tokenizer
from custom_bert.data.unknown import OF_A_GIVEN_VOCABULARY, OF_OTHER_TEXTS, OF_TRAINING_TEXTS, UnknownText
from custom_bert.data.vocabulary import CODE_POINTS, composing, count_characters, largest_alphabet
from custom_bert.errors import ConfigError
from custom_bert.rules.choices import vocab_size
from custom_bert.tasks.registry import TASKS
from custom_bert.training.unread import unread_by

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
"""No changes to the default settings."""

LINES = 4096
"""How many texts are encoded at a time."""

MAX_LENGTH = 512
"""How many tokens of a text are looked at."""


def check_data(
    directory: str | Path, vocabulary: str | None = None, settings: Mapping[str, Any] = NO_SETTINGS
) -> Dataset:
    """Returns the checked data of a folder or a table, with warnings.

    Args:
        directory: the folder with the data files, or a table.
        vocabulary: a tokenizer.json, a vocab.txt, a checkpoint or a run, whose vocabulary is compared with
            the texts. None for the vocabulary that `train` would make of them.
        settings: changes to the default settings by dotted name, such as the task and the separator of its
            labels.

    Raises:
        DataError: for the first thing that cannot be used, with path and line.
        RunError: if there is no such checkpoint or run.
    """
    config = configuration.replace(TrainConfig(), {**data_settings(directory), **settings})
    if faults := check(config) or TASKS[config.task].faults(config):
        raise ConfigError([f"config: {fault}" for fault in faults])
    task = TASKS[config.task]
    unread = unread_by(task, config)
    config = configuration.replace(config, {"data.val_fraction": task.defaults()["data.val_fraction"]})
    dataset = task.read_lines(data_files(config.data), config).dataset
    warnings = unknown_warnings(list(dataset.files.values()), vocabulary)
    return dataset.with_warnings(*unread, *warnings)


class CheckedTexts(Protocol):
    """The texts of a file, of which a vocabulary may not know everything."""

    @property
    def texts_path(self) -> str:
        """The path of the file."""

    @property
    def lines(self) -> Lines:
        """The texts, with the numbers by which users know them."""

    @property
    def characters(self) -> int:
        """The number of characters of all texts."""

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[list[str]]:
        """Yields the texts, in lists."""

    def single_texts(self) -> Iterator[list[str]]:
        """Yields the texts, in lists; in the place of each pair its two texts."""


def unknown_warnings(files: Sequence[CheckedTexts], vocabulary: str | None) -> list[str]:
    """Returns warnings about characters that a vocabulary does not know.

    Args:
        files: the training texts, and then the others.
        vocabulary: the vocabulary; see `check_data`.
    """
    if vocabulary is None:
        counts = _unknown_to_a_new_one(files)
        whose, ways_out = (
            "to the vocabulary that train would make",
            (OF_TRAINING_TEXTS, *(OF_OTHER_TEXTS,) * 2),
        )
    else:
        tokenizer = _tokenizer(vocabulary)
        counts = [unknown_of(file, tokenizer) for file in files]
        whose, ways_out = f"to the vocabulary of {vocabulary}", (OF_A_GIVEN_VOCABULARY,) * 3
    return [
        f"{file.texts_path}: {count.message(whose, of=file.lines)}: {way_out}"
        for file, count, way_out in zip(files, counts, ways_out, strict=False)
        if count.hinders_learning
    ]


def _tokenizer(name: str) -> TextTokenizer:
    if Path(name).is_file():
        return load_tokenizer(name)
    from custom_bert.model_files.hub import locate  # torch takes two seconds, which others do without
    from custom_bert.model_files.pretrained import load_pretrained

    return load_pretrained(locate(name), source=name).tokenizer


def unknown_of(file: CheckedTexts, tokenizer: TextTokenizer) -> UnknownText:
    """Counts what a tokenizer does not know of a file's texts. Of each text it reads up to 512 tokens."""
    unknown = UnknownText()
    tokenizer = tokenizer.reading(pairs=file.lines.pairs)
    for block in file.blocks():
        for start in range(0, len(block), LINES):
            unknown.add(tokenizer.encode(block[start : start + LINES], MAX_LENGTH))
    return unknown


def _unknown_to_a_new_one(files: Sequence[CheckedTexts]) -> list[UnknownText]:
    """Counts, for each file, what a vocabulary trained on the first file would not know: the characters
    beyond its alphabet. The alphabet is known without training a vocabulary, which would take long."""
    normalizer = composing(lowercase=TrainConfig().data.lowercase)
    counts = [_characters(file.single_texts()) for file in files]
    limit = largest_alphabet(vocab_size(files[0].characters)[0])
    codes = np.flatnonzero(sum(counts))
    normalized = {int(code): _normalized(int(code), normalizer) for code in codes}
    known = _alphabet(counts[0], normalized, limit)
    strange = [
        code
        for code, letters in normalized.items()
        if not known.issuperset(letters) or (not letters and UNSEEN.match(chr(code)))
    ]
    blank = [code for code in normalized if chr(code).isspace()]
    return [
        UnknownText(len(file), int(count.sum() - count[blank].sum()), int(count[strange].sum()))
        for file, count in zip(files, counts, strict=True)
    ]


def _characters(blocks: Iterable[list[str]]) -> np.ndarray:
    """Returns (0x110000,) how often each character occurs in some lines, in composed form."""
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    for block in blocks:
        count_characters(composed("".join(block)), counts)
    return counts


def _normalized(code: int, normalizer: Normalizer) -> str:
    """Returns what a normalizer makes of a character, without white space."""
    return "".join(normalizer.normalize_str(chr(code)).split())


def _alphabet(counts: np.ndarray, normalized: dict[int, str], limit: int) -> set[str]:
    """Returns the most frequent characters of a normalised text, at most `limit`; of equally frequent ones
    those with the smaller code point."""
    frequency: dict[str, int] = {}
    for code, letters in normalized.items():
        for letter in letters:
            frequency[letter] = frequency.get(letter, 0) + int(counts[code])
    present = sorted((-count, letter) for letter, count in frequency.items() if count)
    return {letter for _, letter in present[:limit]}
