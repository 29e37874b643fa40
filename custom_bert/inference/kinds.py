"""The kinds of directory that a classifier is loaded from, and who loads each."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from custom_bert.config import Precision
from custom_bert.errors import LibraryError, RunError
from custom_bert.inference.loaded import Loaded


def load_directory(
    directory: Path, device: str | None, precision: Precision, *, floor: bool, encoder_only: bool
) -> Loaded:
    """Loads a classifier; see `Classifier.load` for the arguments and for what is raised.

    Args:
        floor: whether the floor is loaded beside the encoder.
    """
    if not directory.is_dir():
        raise RunError(f"{directory}: no such run directory")
    require_torch(directory)
    from custom_bert.inference.loading import load_run

    return load_run(directory, device, precision, floor=floor, encoder_only=encoder_only)


def require_torch(directory: Path) -> None:
    """Raises LibraryError if torch is not installed, which computes the models of runs."""
    if importlib.util.find_spec("torch") is None:
        raise LibraryError(
            f"{directory}: torch computes this model, and is not installed; install custom-bert, or export "
            f"the run with --format onnx where custom-bert is installed"
        )
