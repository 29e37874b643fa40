"""The kinds of directory that a classifier or an encoder is loaded from, and who loads each."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from custom_bert.config import Precision
from custom_bert.errors import LibraryError, RunError
from custom_bert.inference.loaded import Loaded
from custom_bert.inference.vectors import VectorModel
from custom_bert.onnx_model.description import is_onnx_directory


def load_directory(
    directory: Path, device: str | None, precision: Precision, *, floor: bool, encoder_only: bool
) -> Loaded:
    """Loads a classifier; see `Classifier.load` for the arguments and for what is raised.

    Args:
        floor: whether the floor is loaded beside the encoder.
    """
    if is_onnx_directory(directory):
        from custom_bert.inference.onnx_loading import load_onnx

        return load_onnx(directory, device, precision, floor=floor, encoder_only=encoder_only)
    if not directory.is_dir():
        raise RunError(f"{directory}: no such run directory")
    require_torch(directory)
    from custom_bert.inference.loading import load_run

    return load_run(directory, device, precision, floor=floor, encoder_only=encoder_only)


def load_encoder(name: str, device: str | None) -> VectorModel:
    """Loads an encoder that turns texts into vectors; see `Embedder.load` for the arguments and for what is
    raised."""
    if is_onnx_directory(name):
        from custom_bert.inference.onnx_loading import load_onnx_vectors

        return load_onnx_vectors(Path(name), device)
    require_torch(Path(name))
    from custom_bert.inference.encoder_vectors import load_vectors

    return load_vectors(name, device)


def require_torch(directory: Path) -> None:
    """Raises LibraryError if torch is not installed, which computes the models of runs."""
    if importlib.util.find_spec("torch") is None:
        raise LibraryError(
            f"{directory}: torch computes this model, and is not installed; install custom-bert, or export "
            f"the run with --format onnx where custom-bert is installed"
        )
