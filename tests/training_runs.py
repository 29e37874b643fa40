"""Small data sets and runs that the learning and end-to-end tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from custom_bert import train_model
from custom_bert.config import TrainConfig
from custom_bert.config_sources import load
from custom_bert.data.loader import BatchBuilder
from custom_bert.data.token_dropout import TokenDropout
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.presets import EncoderConfig
from custom_bert.rules.choices import Choice
from custom_bert.rules.resolved import ResolvedConfig
from custom_bert.training import fit
from custom_bert.training.build import build
from custom_bert.training.identity import Identity, identity
from custom_bert.training.log import Reporter
from custom_bert.training.plan import Material, RunPlan, epoch_batches
from custom_bert.training.prepare import prepare
from custom_bert.training.state import State
from custom_bert.training.step import ALONE


class Ready(NamedTuple):
    """A run before its first step."""

    plan: RunPlan
    material: Material

    @property
    def config(self) -> ResolvedConfig:
        return self.plan.config

    @property
    def encoder(self) -> EncoderConfig:
        return self.plan.encoder

    @property
    def choices(self) -> tuple[Choice, ...]:
        return self.plan.choices

    @property
    def tokenizer(self) -> TextTokenizer:
        return self.material.tokenizer

    @property
    def train(self) -> BatchBuilder:
        return self.material.train

    @property
    def val(self) -> BatchBuilder:
        return self.material.val

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.material.warnings

    @property
    def labels(self) -> tuple[str, ...]:
        return self.material.source.labels

    @property
    def identity(self) -> Identity:
        return identity(self.plan.asked, self.plan.config, self.material)

    def epoch_plan(self, seed: int, epoch: int, dropout: TokenDropout | None) -> list[np.ndarray]:
        return epoch_batches(self.train, self.config, seed, epoch, dropout)


def ready(config: TrainConfig | Mapping[str, Any], say: Callable[[str], None] = lambda line: None) -> Ready:
    """Prepares a run."""
    draft, material = prepare(load(config), say)
    return Ready(draft.final(), material)


def built(one: Ready) -> State:
    """A run's model and phases, in one process."""
    return build(*one, ALONE, Reporter(silent=True))


SUBJECTS = {
    "animals": ["the cat sleeps", "a dog barks", "two horses run", "the bird sings", "fish swim deep"],
    "machines": ["the engine starts", "a motor hums", "two gears turn", "the pump leaks", "wires spark hot"],
    "weather": ["rain falls hard", "the wind blows", "snow covers all", "clouds move on", "thunder rolls by"],
}
PLACES = [
    "in the yard",
    "near the river",
    "at night",
    "all day long",
    "behind the house",
    "since monday",
    "again",
]


def examples(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts that a classifier can tell apart, of differing lengths."""
    generator = np.random.Generator(np.random.PCG64(seed))
    texts, labels = [], []
    for i in range(count):
        label = list(SUBJECTS)[i % len(SUBJECTS)]
        words = [SUBJECTS[label][generator.integers(5)]]
        words += [PLACES[generator.integers(7)] for _ in range(int(generator.integers(0, 6)))]
        texts.append(" ".join(words) + f" {i}")
        labels.append(label)
    return texts, labels


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def write_data(directory: Path, *, train: int = 240, val: int | None = 60) -> Path:
    """The four files, or two if `val` is None."""
    directory.mkdir(parents=True, exist_ok=True)
    texts, labels = examples(train)
    write_lines(directory / "train_dataset.txt", texts)
    write_lines(directory / "train_labels.txt", labels)
    if val is not None:
        texts, labels = examples(val, seed=1)
        write_lines(directory / "val_dataset.txt", texts)
        write_lines(directory / "val_labels.txt", labels)
    return directory


TINY: dict[str, Any] = {
    "model.hidden_size": 32,
    "model.num_hidden_layers": 1,
    "model.num_attention_heads": 2,
    "batch.token_budget": 256,
    "optim.pretrain_epochs": 0,
    "optim.embedding_lr_factor": 1.0,
    "optim.token_dropout": 0.0,
    "optim.r_drop": 0.0,
    "runtime.precision": "fp32",
    "runtime.threads": 1,
}
"""Settings that train in a second or two."""


def settings(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    """A configuration that trains in a second or two."""
    names = ("train_texts", "train_labels", "val_texts", "val_labels")
    files = ("train_dataset.txt", "train_labels.txt", "val_dataset.txt", "val_labels.txt")
    return {
        **{f"data.{name}": str(data / file) for name, file in zip(names, files, strict=True)},
        "data.cache_dir": str(data.parent / "cache"),
        "data.max_length": 32,
        **TINY,
        "optim.epochs": 4,
        "optim.lr": 3e-3,
        "floor": False,
        "out": None if out is None else str(out),
        **changes,
    }


def break_off(config: dict[str, Any], step: int) -> None:
    """Trains, and breaks off in an optimizer step, counted from 1 over all phases, as a crash would."""
    real, count = fit.step_within_memory, 0

    def stepped(*positional: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == step:
            raise BrokenOffError
        return real(*positional, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(BrokenOffError):
        patch.setattr(fit, "step_within_memory", stepped)
        train_model(config)


class BrokenOffError(Exception):
    """What `break_off` raises inside training."""


def arguments(config: dict[str, Any]) -> list[str]:
    """The same settings as command line options."""
    found = []
    for name, value in config.items():
        if value is not None:
            found += [f"--{name.replace('_', '-')}", str(value)]
    return found


def stopped_and_continued(
    config: Callable[[Path], dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch, step: int = 10
) -> tuple[Path, Path]:
    """Trains once as a whole, and once with Ctrl-C in a step and the same command again.

    Args:
        config: returns the settings for a run directory.
        folder: where both run directories are made.
        monkeypatch: sends the signal.
        step: the step in which the second run is stopped, from 1.

    Returns:
        Both run directories.
    """
    whole, stopped = folder / "whole", folder / "run"
    train_model(config(whole))
    real, done = fit.step_within_memory, 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(fit, "step_within_memory", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_model(config(stopped))
    train_model(config(stopped))
    return whole, stopped
