"""Reversible, strict tables between our tensor names and those of Hugging Face's classes.

A family is data: rows of (our module, their modules). One of ours that is several of theirs (the fused
queries, keys and values of BERT) is split and joined along the first axis. Both directions consume every
tensor exactly once, keep every byte, and refuse what is missing or left over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from custom_bert.config import coerce
from custom_bert.presets import EncoderConfig

Row = tuple[str, tuple[str, ...]]


ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}
"""Our activation -> Hugging Face's name."""

THEIR_ACTIVATIONS = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
"""Their activation -> ours; three of theirs are one formula."""


class Keys:
    """A published config.json, read key by key, so that what nobody asked for can be listed.

    Args:
        values: the JSON object.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values, self._read = values, set[str]()

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """A key's value as `kind`, or the default that transformers' class has.

        Raises:
            ValueError: if it is missing and has no default, or is of another type.
        """
        self._read.add(key)
        value = self._values.get(key)
        if value is None:
            if default is None:
                raise ValueError(f"{key} is missing")
            return default
        if kind in (dict, list):
            if not isinstance(value, kind):
                raise ValueError(f"{key}: expected a {kind.__name__}, got {value!r}")
            return value
        try:
            return coerce(value, kind)
        except ValueError as error:
            raise ValueError(f"{key}: {error}, got {value!r}") from error

    def part(self, key: str, inner: str) -> dict[str, Any]:
        """An object inside an object.

        Raises:
            ValueError: if it is missing or none.
        """
        return Keys(self.get(key, dict)).get(inner, dict)  # type: ignore[no-any-return]

    def activation(self, key: str) -> str:
        """Our name of an activation.

        Raises:
            ValueError: if we do not have it.
        """
        name = self.get(key, str, "gelu")
        found = THEIR_ACTIVATIONS.get(name)
        if found is None:
            raise ValueError(f"{key} is {name!r}; known are {', '.join(THEIR_ACTIVATIONS)}")
        return found

    def refuse(self, **wanted: tuple[Any, ...]) -> None:
        """Raises ValueError for keys that change the computation and are not what we compute.

        Args:
            wanted: key -> the values that we compute; a missing key is one of them.
        """
        for key, allowed in wanted.items():
            self._read.add(key)
            value = self._values.get(key)
            if value is not None and value not in allowed:
                raise ValueError(f"{key} is {value!r}; known are {', '.join(map(repr, allowed)) or 'none'}")

    def ignored(self) -> list[str]:
        """Keys that nobody has asked for, sorted."""
        return sorted(self._values.keys() - self._read)


@dataclass(frozen=True)
class MaskedHead:
    """Where a family's masked language model keeps its prediction head.

    Attributes:
        model: the class.
        dense, norm: modules.
        bias: the tensor, of the decoder.
        tied: tensors that published checkpoints may carry as copies of the token table and of the bias.
    """

    model: str
    dense: str
    norm: str
    bias: str
    tied: tuple[str, ...]

    def names(self, our_keys: Iterable[str]) -> dict[str, str]:
        """Tensors of our prediction head -> theirs."""
        places = {"dense": self.dense, "norm": self.norm}
        found = {}
        for key in our_keys:
            module, _, kind = key.rpartition(".")
            found[key] = f"{places[module]}.{kind}" if module else self.bias
        return found


@dataclass(frozen=True)
class Family:
    """How one Hugging Face family writes down what is ours.

    Attributes:
        model_type: of its config.json.
        classifier: the class that the rows describe.
        prefix: of the encoder's tensors there; a bare encoder is published without it.
        rows: (our module, their modules); `{i}` stands for the layer.
        config: (architecture, number of labels) -> the keys of config.json that the computation needs;
            raises ValueError for what the family cannot express.
        read: the way back: the keys of a published config.json -> fields of `EncoderConfig`; raises
            ValueError for what we do not compute.
        dropped: patterns of tensors that published checkpoints carry and a classifier of ours does not.
        masked: its masked language model.
    """

    model_type: str
    classifier: str
    prefix: str
    rows: tuple[Row, ...]
    config: Callable[[EncoderConfig, int], dict[str, Any]]
    read: Callable[[Keys], dict[str, Any]]
    dropped: tuple[str, ...]
    masked: MaskedHead


def correspondence(family: Family, our_keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Our tensor name -> their tensor names.

    Raises:
        ValueError: listing our names that no row covers.
    """
    rows = dict(family.rows)
    found: dict[str, tuple[str, ...]] = {}
    unknown = []
    for key in our_keys:
        module, _, kind = key.rpartition(".")
        parts = module.split(".")
        layer = next((part for part in parts if part.isdigit()), "")
        theirs = rows.get(".".join("{i}" if part == layer else part for part in parts) if layer else module)
        if theirs is None:
            unknown.append(key)
        else:
            found[key] = tuple(f"{name.replace('{i}', layer)}.{kind}" for name in theirs)
    if unknown:
        raise ValueError(f"{family.model_type} has no place for {', '.join(unknown)}")
    return found


def to_hugging_face(family: Family, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state_dict under their names.

    Raises:
        ValueError: listing our names that no row covers.
    """
    out: dict[str, Tensor] = {}
    for ours, theirs in correspondence(family, state).items():
        parts = state[ours].chunk(len(theirs), dim=0)
        out |= {name: part.clone() for name, part in zip(theirs, parts, strict=True)}
    return out


def masked_to_hugging_face(family: Family, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of our masked language model under their names; the decoder is the token table there
    too."""
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    names = family.masked.names(state.keys() - encoder.keys())
    return {
        **to_hugging_face(family, encoder),
        **{names[ours]: state[ours].clone() for ours in sorted(names)},
    }


def from_hugging_face(
    family: Family, state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Their state_dict under our names.

    Args:
        family: the table.
        state: theirs.
        shapes: our names and shapes, as of a model on the meta device.

    Returns:
        Tensors that are one of theirs share its memory.

    Raises:
        ValueError: naming tensors that are missing, left over, or of another shape.
    """
    names = correspondence(family, shapes)
    wanted = {name for theirs in names.values() for name in theirs}
    missing, extra = sorted(wanted - state.keys()), sorted(state.keys() - wanted)
    if extra:
        raise ValueError(f"{family.model_type}: no place for the tensors {_some(extra)}")
    if missing:
        raise ValueError(f"{family.model_type}: the tensors {_some(missing)} are missing")
    out = {}
    for ours, theirs in names.items():
        rows, *rest = shapes[ours]
        for name in theirs:
            part = (rows // len(theirs), *rest)
            if state[name].shape != part:
                raise ValueError(f"{name} is {tuple(state[name].shape)}, but config.json describes {part}")
        out[ours] = torch.cat([state[name] for name in theirs]) if len(theirs) > 1 else state[theirs[0]]
    return out


def require(config: EncoderConfig, model_type: str, **wanted: object) -> None:
    """Raises ValueError naming the fields of `config` that the family cannot express."""
    wrong = [
        f"{name} is {getattr(config, name)!r}, not {value!r}"
        for name, value in wanted.items()
        if getattr(config, name) != value
    ]
    if wrong:
        raise ValueError(f"{model_type} cannot express this model: {'; '.join(wrong)}")


def _some(names: list[str]) -> str:
    """The first of many."""
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
