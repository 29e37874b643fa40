"""Pairs of texts that only a model of both texts can tell apart: "same" if both speak of the same thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from training_runs import write_lines

THINGS = ["cat", "dog", "horse", "bird", "engine", "motor", "pump", "gear"]
OTHER = ["the", "a", "of", "and", "to", "in", "is", "was", "on", "by"]


def pairs_of(count: int, seed: int = 0) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs and their labels."""
    draw = np.random.default_rng(seed)
    pairs, labels = [], []
    for i in range(count):
        same = i % 2 == 0
        one, other = draw.choice(THINGS, 2, replace=False).tolist()
        words = [[str(word) for word in draw.choice(OTHER, draw.integers(2, 6))] for _ in range(2)]
        first, second = (
            " ".join(draw.permutation([*some, word]).tolist())
            for some, word in zip(words, (one, one if same else other), strict=True)
        )
        pairs.append((first, f"{second} {i}"))
        labels.append("same" if same else "other")
    return pairs, labels


def write_pairs(directory: Path, *, train: int = 240, val: int | None = 60, form: str = "tab") -> Path:
    """Data files of pairs, with tabs or in two files each; or a table."""
    directory.mkdir(parents=True, exist_ok=True)
    if form == "table":
        pairs, labels = pairs_of(train)
        rows = [f"{a},{b},{label}" for (a, b), label in zip(pairs, labels, strict=True)]
        write_lines(directory / "pairs.csv", ["question,answer,label", *rows])
        return directory
    for seed, (name, count) in enumerate((("train", train), ("val", val))):
        if count is None:
            continue
        pairs, labels = pairs_of(count, seed)
        write_lines(directory / f"{name}_labels.txt", labels)
        if form == "tab":
            write_lines(directory / f"{name}_dataset.txt", ["\t".join(pair) for pair in pairs])
        else:
            write_lines(directory / f"{name}_dataset.txt", [first for first, _ in pairs])
            write_lines(directory / f"{name}_dataset_2.txt", [second for _, second in pairs])
    return directory
