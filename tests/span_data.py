"""Small files of sentences with names in them, which a tiny model learns to find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from training_runs import TINY

NAMES = {
    "LOC": ["paris", "rome", "new york", "los angeles", "oslo"],
    "ORG": ["acme corp.", "un", "o'neil & sons", "red-cross"],
    "PER": ["kim", "anna lee", "john u. smith", "maria"],
}
BEFORE = {"LOC": ["in", "near", "from"], "ORG": ["at", "with"], "PER": ["mr", "says", "and"]}
OTHER = ["the", "a", "man", "was", "seen", "again", "today", ",", "of", "work", "goes", "on", "."]

Sentence = list[tuple[str, str]]
"""Words and their tags."""


def sentences(count: int, seed: int = 0) -> list[Sentence]:
    """Sentences whose names stand behind words of their own kind."""
    draw = np.random.Generator(np.random.PCG64(seed))
    made = []
    for _ in range(count):
        words: Sentence = []
        for _ in range(int(draw.integers(1, 4))):
            words += [(str(word), "O") for word in draw.choice(OTHER, int(draw.integers(0, 4)))]
            kind = str(draw.choice([*NAMES]))
            words.append((str(draw.choice(BEFORE[kind])), "O"))
            name = str(draw.choice(NAMES[kind])).split()
            words += [(word, f"{'I' if i else 'B'}-{kind}") for i, word in enumerate(name)]
        made.append(words)
    return made


def conll(some: list[Sentence], *, every: int = 0) -> bytes:
    """The content of a CoNLL file; with `every`, a document begins before each `every`-th sentence."""
    lines = []
    for i, one in enumerate(some):
        lines += ["-DOCSTART- O", ""] if every and i % every == 0 else []
        lines += [*(f"{word} {tag}" for word, tag in one), ""]
    return "".join(f"{line}\n" for line in lines).encode()


def write_spans(directory: Path, *, train: int = 160, val: int | None = 40, test: int | None = None) -> Path:
    """The files of a folder."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", train, 0), ("val", val, 1), ("test", test, 2)):
        if count is not None:
            (directory / f"{name}.conll").write_bytes(conll(sentences(count, seed)))
    return directory


def span_settings(data: Path, out: Path | None, **changes: Any) -> dict[str, Any]:
    """A configuration that trains in a second or two."""
    own = {name: value for name, value in TINY.items() if name not in ("optim.token_dropout", "optim.r_drop")}
    return {
        "task": "tokens",
        **{f"data.{name}_spans": str(data / f"{name}.conll") for name in ("train", "val", "test")},
        "data.cache_dir": str(data.parent / "cache"),
        "data.max_length": 64,
        **own,
        "model.init_from": "scratch",
        "optim.epochs": 12,
        "optim.lr": 4e-3,
        "out": None if out is None else str(out),
        **changes,
    }
