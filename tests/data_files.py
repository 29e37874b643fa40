"""Data sets and run directories on disk, made small and by hand, for tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from custom_bert import config as configuration
from custom_bert import files
from custom_bert.config import DataConfig, TrainConfig
from custom_bert.data.dataset import Dataset
from custom_bert.data.label_files import ClassReader
from custom_bert.data.reading import data_files, in_directory, read_dataset
from custom_bert.tasks.task import Task

NAMES = ("train_dataset.txt", "train_labels.txt", "val_dataset.txt", "val_labels.txt")

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def lines(items: Sequence[str]) -> bytes:
    """Every item and a line feed, as UTF-8."""
    return "".join(item + "\n" for item in items).encode()


def write_set(
    directory: Path,
    texts: Sequence[str],
    labels: Sequence[str],
    val_texts: Sequence[str] | None = None,
    val_labels: Sequence[str] | None = None,
) -> Path:
    """Writes two or four data files; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in zip(NAMES, (texts, labels, val_texts, val_labels), strict=True):
        if content is not None:
            (directory / name).write_bytes(lines(content))
    return directory


def data_config(directory: Path, **changes: object) -> DataConfig:
    """The four files of a directory; `changes` are fields of `DataConfig`."""
    named = {f"data.{name}": value for name, value in changes.items()}
    return configuration.replace(TrainConfig(), {**in_directory(directory), **named}).data


def read(directory: Path, *, seed: int = 0, **changes: object) -> Dataset:
    """Reads and checks a directory's data set."""
    return read_config(data_config(directory, **changes), seed=seed)


def read_config(data: DataConfig, *, seed: int = 0) -> Dataset:
    """Reads and checks the data set that a configuration names, one label a line."""
    fraction = 0.1 if data.val_fraction is None else data.val_fraction
    return read_dataset(data_files(data), ClassReader(), val_fraction=fraction, seed=seed)


ENGLISH = """the a film story plot acting scene music music's director script cast ending tone pace
wonderful boring touching clumsy tedious sharp moving flat brilliant weak don't can't well-made re-shot
of and with in for but not never always quite rather very was is seems feels remains 1999 3.5 (sic)"""
CHINESE = "这部电影非常好看剧情紧凑演员表现出色音乐动人结尾令失望节奏太慢不推荐值得一看导演的作品"


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Made-up sentences, English with some Chinese."""
    draw, words = random.Random(seed), ENGLISH.split()
    made = []
    for i in range(count):
        if i % 4 == 3:
            made.append("".join(draw.choices(CHINESE, k=draw.randint(4, 20))) + "。")
        else:
            made.append(" ".join(draw.choices(words, k=draw.randint(3, 20))).capitalize() + ".")
    return made


def write_vocab(path: Path, tokens: Sequence[str]) -> Path:
    """A vocab.txt of the special tokens and `tokens`."""
    path.write_bytes(lines([*SPECIALS, *tokens]))
    return path


def write_run(directory: Path, labels: Sequence[str] = ("bad", "good")) -> Path:
    """The smallest complete run directory: a seeded, untrained model that loads and predicts."""
    from custom_bert.tasks.classification import Classification

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return write_untrained(directory, Classification(tuple(labels)), letters)


def write_untrained(directory: Path, task: Task, letters: str) -> Path:
    """A complete run directory of a seeded, untrained model, whose vocabulary has some letters only."""
    import torch

    from custom_bert.config import ModelConfig
    from custom_bert.data.tokenizer_files import from_vocab
    from custom_bert.model_files.description import Description, write_description
    from custom_bert.model_files.native import write_weights
    from custom_bert.presets import encoder_config

    directory.mkdir(parents=True)
    tokenizer = from_vocab([*SPECIALS, *letters, *(f"##{letter}" for letter in letters)], lowercase=True)
    encoder = encoder_config(
        "custom",
        ModelConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8),
        vocab_size=tokenizer.vocab_size,
        pad_token_id=tokenizer.pad_id,
        max_length=16,
        default_shape=(8, 1),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.model(encoder)
    write_description(directory, Description(encoder, task, 16), tokenizer)
    write_weights(directory, model.state_dict())
    files.write_json(
        directory / "run.json", {"status": "finished", "config": {"seed": 0, "data.val_fraction": 0.1}}
    )
    return directory
