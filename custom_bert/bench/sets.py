"""Data sets that benchmarks train on: their lines, and samples of their training lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def lines(folder: Path, name: str) -> list[str]:
    """The lines of one of a set's files, named without the ending .txt."""
    return (folder / f"{name}.txt").read_bytes().decode().removesuffix("\n").split("\n")


def sample(source: Path, train: int | None, val: int | None, target: Path) -> Path:
    """A copy of a set with some of its training and validation lines, drawn once; None takes all.

    Args:
        source: folder of the set.
        train, val: lines.
        target: a folder that is made, unless all lines are wanted.

    Returns:
        The folder.
    """
    if train is None and val is None:
        return source
    target.mkdir()
    for split, count in (("train", train), ("val", val)):
        for name in (f"{split}_dataset", f"{split}_labels"):
            found = lines(source, name)
            if count is not None:
                rows = np.random.Generator(np.random.PCG64(0)).permutation(len(found))[:count]
                found = [found[i] for i in rows.tolist()]
            (target / f"{name}.txt").write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    return target
