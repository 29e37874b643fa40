"""Data sets that benchmarks train on: their lines, and samples of their training lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAMES = ("train_dataset", "train_labels", "val_dataset", "val_labels")
"""The four files of a set, without the ending .txt."""


def lines(folder: Path, name: str) -> list[str]:
    """The lines of one of a set's files."""
    return (folder / f"{name}.txt").read_bytes().decode().removesuffix("\n").split("\n")


def sample(source: Path, count: int | None, target: Path) -> Path:
    """A copy of a set with `count` of its training lines, drawn once; the set itself where all are wanted."""
    if count is None:
        return source
    target.mkdir()
    rows = None
    for name in NAMES:
        found = lines(source, name)
        if name.startswith("train"):
            if rows is None:
                rows = np.random.Generator(np.random.PCG64(0)).permutation(len(found))[:count]
            found = [found[i] for i in rows]
        (target / f"{name}.txt").write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    return target
