"""The tensors of a published checkpoint under the names of a family's table, and checks of their values."""

from __future__ import annotations

import dataclasses
import fnmatch
from pathlib import Path

import torch
from torch import Tensor

from custom_bert.errors import RunError
from custom_bert.model_files.tables import Family
from custom_bert.presets import EncoderConfig


def check_values(directory: Path, tensors: dict[str, Tensor], notes: list[str]) -> None:
    """Refuses values that are not finite numbers, and notes types other than fp32."""
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
            raise RunError(f"{directory}: {name} holds values that are not finite numbers")
    kinds = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()})
    if kinds != ["float32"]:
        notes.append(f"weights in {', '.join(kinds)}, converted to float32")


def is_fresh(our: str, names: tuple[str, ...], tensors: dict[str, Tensor]) -> bool:
    """Whether our tensor is drawn anew: the last projection, and what is missing of the head."""
    if our.startswith("head.projection"):
        return True
    return our.startswith("head.") and any(name not in tensors for name in names)


def named(
    directory: Path, family: Family, tensors: dict[str, Tensor], places: set[str], notes: list[str]
) -> dict[str, Tensor]:
    """Returns the tensors under the names that the table has, and notes what was renamed.

    Old checkpoints call the tensors of norms gamma and beta. A bare encoder has no prefix.
    """
    named: dict[str, Tensor] = {}
    renamed = prefixed = 0
    for theirs, tensor in tensors.items():
        name = theirs
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if name.endswith(old):
                name, renamed = name.removesuffix(old) + new, renamed + 1
        full = f"{family.prefix}.{name}"
        bare = full in places or any(fnmatch.fnmatchcase(full, pattern) for pattern in family.dropped)
        if name not in places and bare:
            name, prefixed = full, prefixed + 1
        if name in named:
            raise RunError(f"{directory}: {theirs} means {name}, which stands there too")
        named[name] = tensor
    if renamed:
        notes.append(f"{renamed} tensors named gamma and beta, now weight and bias")
    if prefixed:
        notes.append(f"{prefixed} tensors without the prefix {family.prefix}")
    return named


def without_pooling_layer(
    family: Family, encoder: EncoderConfig, tensors: dict[str, Tensor]
) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Returns an architecture and tensors without the layer that computes the pooling `mean_layer`, as an
    export of ours has it; and what is given, if the last layer is any other.

    Without it, the encoder computes the vectors of its run, and the pooling takes no layer's time.
    """
    if family.pooling_layer is None or encoder.num_hidden_layers < 2:
        return encoder, tensors
    smaller = dataclasses.replace(
        encoder, num_hidden_layers=encoder.num_hidden_layers - 1, pooling="mean_layer"
    )
    layer = family.pooling_layer(smaller)
    if not all(name in tensors and torch.equal(tensors[name].float(), one) for name, one in layer.items()):
        return encoder, tensors
    return smaller, {name: tensor for name, tensor in tensors.items() if name not in layer}
