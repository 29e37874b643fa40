"""Pairs of texts whose label is what the second text speaks of. The first text speaks of something else, so
that a model has to tell the two apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from training_runs import write_lines

SUBJECTS = {"animals": ["cat", "dog", "horse", "bird"], "machines": ["engine", "motor", "pump", "gear"]}
OTHER = ["the", "a", "of", "and", "to", "in", "is", "was", "on", "by"]


def pairs_of(count: int, seed: int = 0) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs and their labels."""
    draw = np.random.default_rng(seed)
    pairs, labels, names = [], [], list(SUBJECTS)
    for i in range(count):
        texts = []
        for subject in (names[1 - i % 2], names[i % 2]):
            words = [str(draw.choice(SUBJECTS[subject])), *map(str, draw.choice(OTHER, draw.integers(2, 6)))]
            texts.append(" ".join(draw.permutation(words).tolist()))
        pairs.append((texts[0], f"{texts[1]} {i}"))
        labels.append(names[i % 2])
    return pairs, labels


def write_pairs(directory: Path, *, train: int = 240, val: int | None = 60, form: str = "tab") -> Path:
    """Data files of pairs: lines with tabs, two files each, or a table, which is pairs.csv."""
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
