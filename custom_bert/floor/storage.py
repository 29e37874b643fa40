"""A floor on disk: `floor/` in a run directory. Data only, and checked when it is read.

floor.json          the n-grams in the order of their columns, the scale, the hash of the other file
floor.safetensors   the weights, the biases, the inverse document frequencies, the thresholds
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from custom_bert import files
from custom_bert.errors import LibraryError, RunError
from custom_bert.floor.linear import Floor
from custom_bert.floor.ngrams import FEATURES, KINDS, WEIGHTS, Columns, NGrams

FOLDER, DESCRIPTION, TENSORS = "floor", "floor.json", "floor.safetensors"

FORMAT = "custom-bert-floor/1"

LARGEST = 1 << 28
"""The most bytes that floor.json may have. Its n-grams are short, but there are many."""

LARGEST_TENSORS = 4 * (WEIGHTS + 4 * FEATURES) + (1 << 20)


def write_floor(run: Path, floor: Floor) -> None:
    """Writes a floor into a run directory. It is there whole, or not at all.

    Raises:
        WriteError: if the system refuses.
    """
    from safetensors.numpy import save

    tensors = {"weights": floor.weights_FC, "bias": floor.bias_C}
    tensors |= {f"idf.{i}": part.idf_F for i, part in enumerate(floor.ngrams.parts)}
    if floor.thresholds_C is not None:
        tensors["thresholds"] = floor.thresholds_C
    content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
    described = {
        "format": FORMAT,
        "scale": floor.scale,
        "offset": floor.offset,
        "ngrams": [{"kind": part.kind, "terms": list(part.terms)} for part in floor.ngrams.parts],
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    files.remove_directory(run / FOLDER)  # one of an attempt that was broken off
    with files.new_directory(run / FOLDER) as folder:
        files.write_bytes(folder / TENSORS, content)
        files.write_text(folder / DESCRIPTION, json.dumps(described, ensure_ascii=False))


def has_floor(run: str | Path) -> bool:
    """Returns whether a run directory has a floor."""
    return (Path(run) / FOLDER / DESCRIPTION).is_file()


def read_floor(run: Path, num_classes: int, *, sets: bool) -> Floor:
    """Reads the floor of a run directory.

    Args:
        run: the run directory.
        num_classes: C, the number of classes that it has to have.
        sets: whether it has to have thresholds.

    Raises:
        RunError: if it is missing, damaged, or of another number of classes.
        LibraryError: if a library is not installed that computes floors.
    """
    path = run / FOLDER / DESCRIPTION
    _require_libraries(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        described = files.parse_json(files.read_regular(path, LARGEST))
        content = files.read_regular(run / FOLDER / TENSORS, LARGEST_TENSORS)
        if hashlib.sha256(content).hexdigest() != described["sha256"]:
            raise ValueError(f"{TENSORS} is not what was written with it")
        return _floor_of(described, load(content), num_classes, sets=sets)
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file; the run has no floor") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"{path}: damaged: {error}") from error


def _require_libraries(path: Path) -> None:
    """Raises LibraryError if a library is not installed that computes floors."""
    for module, name in (("safetensors", "safetensors"), ("sklearn", "scikit-learn"), ("scipy", "scipy")):
        if importlib.util.find_spec(module) is None:
            raise LibraryError(
                f"{path}: {name} is not installed, which this linear model needs; install the extra fused, "
                f"or predict with --encoder-only"
            )


def _floor_of(described: Any, tensors: dict[str, np.ndarray], num_classes: int, *, sets: bool) -> Floor:
    """Checks everything that was read. Raises ValueError, KeyError or TypeError if it is not a floor."""
    keys = {"format", "scale", "offset", "ngrams", "sha256"}
    if described["format"] != FORMAT or described.keys() != keys:
        raise ValueError(f"not a description of the format {FORMAT}")
    scale, offset = float(described["scale"]), float(described["offset"])
    if not (math.isfinite(scale) and math.isfinite(offset)):
        raise ValueError("scale or offset is not finite")
    parts = []
    for i, part in enumerate(described["ngrams"]):
        kind, terms = part["kind"], part["terms"]
        if kind not in KINDS or not isinstance(terms, list):
            raise ValueError(f"unknown n-grams {kind!r}")
        if not all(isinstance(term, str) for term in terms) or len(set(terms)) != len(terms):
            raise ValueError("the n-grams are not different strings")
        parts.append(Columns(kind, tuple(terms), _tensor(tensors, f"idf.{i}", (len(terms),))))
    ngrams = NGrams(tuple(parts))
    weights_FC = _tensor(tensors, "weights", (ngrams.num_features, num_classes))
    bias_C = _tensor(tensors, "bias", (num_classes,))
    thresholds_C = _tensor(tensors, "thresholds", (num_classes,)) if sets else None
    if tensors:
        raise ValueError(f"unknown tensor {min(tensors)}")
    return Floor(ngrams, weights_FC, bias_C, scale, offset, thresholds_C)


def _tensor(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Takes a tensor out of the dictionary, and requires its shape, float32 and finite values."""
    tensor = tensors.pop(name)
    if tensor.shape != shape or tensor.dtype != np.float32 or not np.isfinite(tensor).all():
        raise ValueError(f"{name} is not float32 {shape} with finite values")
    return tensor
