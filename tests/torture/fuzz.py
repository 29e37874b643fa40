"""F3: files with spoilt bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from custom_bert.data.tokenizer_files import load_tokenizer
from custom_bert.errors import UserError
from custom_bert.model_files.native import load_model
from custom_bert.model_files.tensor_files import parse_tensors
from torture.experiment import Experiment, Trial
from torture.hostile import FILES, prepare_model
from torture.runs import ended, forked
from torture.spoil import CONFIG, TOKENIZER, WEIGHTS

BATCH = 100


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """A few bytes changed, removed, doubled, or a number replaced by a worse one."""
    found = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        at = int(random.integers(max(1, len(found))))
        way = random.integers(5)
        if way == 0:
            found[at : at + 1] = bytes([random.integers(256)])
        elif way == 1:
            del found[at : at + int(random.integers(1, 20))]
        elif way == 2:
            found[at:at] = found[at : at + int(random.integers(1, 20))]
        elif way == 3:
            words = (
                b"-1",
                b"1e999",
                b"null",
                b"{}",
                b"[]",
                b'""',
                b"4294967296",
                b"true",
                b"\\ud800",
                b"NaN",
            )
            found[at:at] = words[random.integers(len(words))]
        else:
            digits = [i for i, b in enumerate(found[:20_000]) if 48 <= b <= 57]
            if digits:
                found[digits[random.integers(len(digits))]] = 48 + int(random.integers(10))
    return bytes(found)


def fuzzed(name: str, load: Callable[[Path], None]) -> Callable[[Trial], None]:
    """A trial of `BATCH` spoilt files in a child, which a crash of a library cannot hide in."""

    def trial_of(trial: Trial) -> None:
        content = (trial.shared / "run" / name).read_bytes()
        log = trial.directory / "log"
        shutil.copytree(trial.shared / "run", trial.directory / "whole")

        def work() -> None:
            for i in range(BATCH):
                path = trial.directory / name
                path.write_bytes(mutated(content, trial.random))
                try:
                    load(path)
                    result = "taken"
                except UserError as error:
                    assert "\n" not in str(error), str(error)
                    result = "refused"
                with log.open("a") as stream:
                    stream.write(f"{i} {result}\n")

        errors = trial.directory / "errors"
        code = ended(forked(work, errors), errors, 120.0)
        assert code == 0, f"the process ended with {code} after {log.read_text().splitlines()[-1:]}"
        for line in log.read_text().splitlines():
            trial.note(line.split()[1])

    return trial_of


def load_tensors(path: Path) -> None:
    """Tensors that are taken can be read."""
    for tensor in parse_tensors(path, path.read_bytes()).values():
        tensor.flatten()[:1].to(torch.float32)


def load_and_encode(path: Path) -> None:
    """A tokenizer that is taken gives ids of its vocabulary."""
    tokenizer = load_tokenizer(path)
    texts = ["the cat sleeps 123", "", "\u0000\ud7ff é 价格 [MASK] ##x", "a" * 5000]
    arrays = tokenizer.encode(texts, 32).sequences
    assert all((ids >= 0).all() and (ids < tokenizer.vocab_size).all() for ids in arrays)


def load_config(path: Path) -> None:
    """A configuration, beside the other files of the run."""
    run = path.parent
    for name in FILES:
        if not (run / name).exists():
            (run / name).write_bytes((run / "whole" / name).read_bytes())
    load_model(run)


EXPERIMENTS = (
    Experiment(
        "F3-safetensors",
        f"spoilt model.safetensors, {BATCH} each: one line or tensors",
        5,
        1000,
        prepare_model,
        fuzzed(WEIGHTS, load_tensors),
    ),
    Experiment(
        "F3-config",
        f"spoilt config.json, {BATCH} each: one line",
        2,
        100,
        prepare_model,
        fuzzed(CONFIG, load_config),
    ),
    Experiment(
        "F3-tokenizer",
        f"spoilt tokenizer.json, {BATCH} each: one line, or ids of the vocabulary",
        2,
        100,
        prepare_model,
        fuzzed(TOKENIZER, load_and_encode),
    ),
)
