"""Reading the data sets that benchmarks train on, and drawing samples of their lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def lines(folder: Path, name: str) -> list[str]:
    """The lines of one of a set's files, which is named without its ending .txt."""
    return (folder / f"{name}.txt").read_bytes().decode().removesuffix("\n").split("\n")


def sample(source: Path, train: int | None, val: int | None, target: Path) -> Path:
    """Makes a copy of a set with some of its training and validation lines. Every call draws the same lines.

    Args:
        source: the folder of the set.
        train, val: the numbers of lines; None takes all of them.
        target: the folder of the copy. It is not made if all lines are wanted.

    Returns:
        The folder to train on: `target`, or `source` if all lines are wanted.
    """
    if train is None and val is None:
        return source
    target.mkdir()
    for split, count in (("train", train), ("val", val)):
        for name in (f"{split}_dataset", f"{split}_labels"):
            chosen = lines(source, name)
            if count is not None:
                chosen = [chosen[i] for i in _order(len(chosen))[:count]]
            write_lines(target / f"{name}.txt", chosen)
    return target


def write_lines(path: Path, texts: list[str]) -> None:
    """Writes one of a set's files, one text a line."""
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def write_undrawn(source: Path, drawn: int, count: int, target: Path) -> None:
    """Writes training lines that `sample` does not draw, as validation files.

    Args:
        source: the folder of the set.
        drawn: how many lines are drawn.
        count: how many others are written at most.
        target: the folder of the files.
    """
    for name in ("dataset", "labels"):
        all_lines = lines(source, f"train_{name}")
        rows = _order(len(all_lines))[drawn : drawn + count]
        write_lines(target / f"val_{name}.txt", [all_lines[i] for i in rows])


def _order(count: int) -> list[int]:
    """The order in which the lines of a file are drawn: the same for its texts and its labels, so that both
    keep the same rows."""
    order: list[int] = np.random.Generator(np.random.PCG64(0)).permutation(count).tolist()
    return order


def write_reported(source: Path, target: Path) -> None:
    """Writes the rows of a set that are reported, as test files: those of its test files or, where it has
    none, of its validation files."""
    reported = "test" if (source / "test_dataset.txt").exists() else "val"
    for name in ("dataset", "labels"):
        write_lines(target / f"test_{name}.txt", lines(source, f"{reported}_{name}"))


def divided(source: Path, count: int | None, seed: int, target: Path) -> tuple[Path, Path]:
    """Makes a folder to train on, of which a tenth validates, and one of the reported rows.

    Args:
        source: the folder of the set.
        count: the number of training lines; None takes all of them. Every call draws the same lines.
        seed: draws the lines that validate.
        target: an empty folder, in which both are made.

    Returns:
        The folder to train on, and that of the reported rows.
    """
    folder = sample(source, count, None, target / "whole")
    train, test = target / "train", target / "test"
    train.mkdir()
    test.mkdir()
    texts, labels = lines(folder, "train_dataset"), lines(folder, "train_labels")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(texts)).tolist()
    cut = len(texts) // 10
    for split, rows in (("val", sorted(order[:cut])), ("train", sorted(order[cut:]))):
        for name, column in ((f"{split}_dataset", texts), (f"{split}_labels", labels)):
            write_lines(train / f"{name}.txt", [column[i] for i in rows])
    write_reported(source, test)
    return train, test
