"""Tables between our tensor names and those of Hugging Face's classes, for both directions.

A family is data: rows of (our module, their modules). If one module of ours is several of theirs, as our
fused queries, keys and values are in BERT, its tensors are split and joined along the first axis. Both
directions use every tensor exactly once, keep every byte, and refuse tensors that are missing or left over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from custom_bert.config_values import coerce
from custom_bert.presets import EncoderConfig

Row = tuple[str, tuple[str, ...]]
"""Our module, and the modules of theirs that it is."""

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}
"""Hugging Face's name of each of our activations."""

THEIR_ACTIVATIONS = {theirs: ours for ours, theirs in ACTIVATIONS.items()} | {
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
"""Our name of each of their activations. Three of theirs are the same formula."""


class Keys:
    """A published config.json that is read key by key, so that the unread keys can be listed.

    Args:
        values: the JSON object.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values, self._read = values, set[str]()

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """Returns a key's value as `kind`, or the default, which is that of transformers' class.

        Raises:
            ValueError: if the key is missing and has no default, or if its value has another type.
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
        """Returns the object at `inner` inside the object at `key`.

        Raises:
            ValueError: if one of them is missing, or is no object.
        """
        return Keys(self.get(key, dict)).get(inner, dict)  # type: ignore[no-any-return]

    def activation(self, key: str) -> str:
        """Returns our name of the activation that a key names; gelu if the key is missing.

        Raises:
            ValueError: if we do not have this activation.
        """
        name = self.get(key, str, "gelu")
        ours = THEIR_ACTIVATIONS.get(name)
        if ours is None:
            raise ValueError(f"{key} is {name!r}; known are {', '.join(THEIR_ACTIVATIONS)}")
        return ours

    def refuse(self, **wanted: tuple[Any, ...]) -> None:
        """Refuses values that stand for a computation that we do not have.

        Args:
            wanted: the values of each key that we compute. A key that is missing or null is always accepted.

        Raises:
            ValueError: naming the first other value.
        """
        for key, allowed in wanted.items():
            self._read.add(key)
            value = self._values.get(key)
            if value is not None and value not in allowed:
                raise ValueError(f"{key} is {value!r}; known are {', '.join(map(repr, allowed)) or 'none'}")

    def ignored(self) -> list[str]:
        """Returns the keys that have not been read, sorted."""
        return sorted(self._values.keys() - self._read)


@dataclass(frozen=True)
class MaskedHead:
    """Where a family's masked language model keeps its prediction head.

    Attributes:
        model: the name of the class.
        dense, norm: their modules.
        bias: their tensor with the decoder's bias.
        tied: tensors that published checkpoints may hold as copies of the token table and of the bias.
    """

    model: str
    dense: str
    norm: str
    bias: str
    tied: tuple[str, ...]

    def names(self, our_keys: Iterable[str]) -> dict[str, str]:
        """Returns their name of each tensor of our prediction head."""
        places = {"dense": self.dense, "norm": self.norm}
        theirs = {}
        for key in our_keys:
            module, _, kind = key.rpartition(".")
            theirs[key] = f"{places[module]}.{kind}" if module else self.bias
        return theirs


@dataclass(frozen=True)
class Family:
    """How one Hugging Face family stores our models.

    Attributes:
        model_type: the value of `model_type` in its config.json.
        classifier: the name of the class that the rows describe.
        prefix: the first part of the names of the encoder's tensors. A bare encoder is published without it.
        rows: (our module, their modules); `{i}` is the number of the layer.
        config: returns the keys of config.json that the computation needs, from an architecture and the
            number of labels. It raises ValueError for an architecture that the family cannot express.
        read: the way back: returns fields of `EncoderConfig` from the keys of a published config.json. It
            raises ValueError for what we do not compute.
        dropped: patterns of names of tensors that published checkpoints hold and our classifiers do not need.
        masked: the head of its masked language model.
        pooling_layer: returns the tensors of the layer that computes the pooling `mean_layer`; None if the
            family cannot hold one.
    """

    model_type: str
    classifier: str
    prefix: str
    rows: tuple[Row, ...]
    config: Callable[[EncoderConfig, int], dict[str, Any]]
    read: Callable[[Keys], dict[str, Any]]
    dropped: tuple[str, ...]
    masked: MaskedHead
    pooling_layer: Callable[[EncoderConfig], dict[str, Tensor]] | None = None

    @property
    def token_classifier(self) -> str:
        """The name of the class that gives labels to tokens."""
        return self.classifier.replace("ForSequenceClassification", "ForTokenClassification")


def correspondence(family: Family, our_keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Returns their tensor names for each of our tensor names.

    Raises:
        ValueError: listing our names that no row covers.
    """
    rows = dict(family.rows)
    names: dict[str, tuple[str, ...]] = {}
    unknown = []
    for key in our_keys:
        module, _, kind = key.rpartition(".")
        parts = module.split(".")
        layer = next((part for part in parts if part.isdigit()), "")
        theirs = rows.get(".".join("{i}" if part == layer else part for part in parts) if layer else module)
        if theirs is None:
            unknown.append(key)
        else:
            names[key] = tuple(f"{name.replace('{i}', layer)}.{kind}" for name in theirs)
    if unknown:
        raise ValueError(f"{family.model_type} has no place for {', '.join(unknown)}")
    return names


TOKEN_HEAD: dict[str, str] = {
    "head.dense": "head.dense",
    "head.norm": "head.norm",
    "head.projection": "classifier",
}
"""Our modules of the head that gives labels to tokens, and those of every family. The first two are
ModernBERT's."""


def token_correspondence(family: Family, our_keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Returns what `correspondence` returns, for the tensors of a model that gives labels to tokens."""
    names: dict[str, tuple[str, ...]] = {}
    for key in our_keys:
        module, _, kind = key.rpartition(".")
        if module in TOKEN_HEAD:
            names[key] = (f"{TOKEN_HEAD[module]}.{kind}",)
        else:
            names |= correspondence(family, [key])
    return names


Correspondence = Callable[[Family, Iterable[str]], dict[str, tuple[str, ...]]]
"""Returns their tensor names for each of our tensor names, for one kind of model."""


def to_hugging_face(
    family: Family, state: Mapping[str, Tensor], table: Correspondence = correspondence
) -> dict[str, Tensor]:
    """Returns our state dict under their names.

    Args:
        family: the family.
        state: our tensors by name.
        table: the names for this kind of model.

    Raises:
        ValueError: listing our names that no row covers.
    """
    out: dict[str, Tensor] = {}
    for ours, theirs in table(family, state).items():
        parts = state[ours].chunk(len(theirs), dim=0)
        out |= {name: part.clone() for name, part in zip(theirs, parts, strict=True)}
    return out


def tokens_to_hugging_face(family: Family, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state dict of our model that gives labels to tokens under their names."""
    return to_hugging_face(family, state, token_correspondence)


def masked_to_hugging_face(family: Family, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state dict of our masked language model under their names.

    The decoder's matrix is not written: their classes, too, take the token table for it.
    """
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    names = family.masked.names(state.keys() - encoder.keys())
    return {
        **to_hugging_face(family, encoder),
        **{names[ours]: state[ours].clone() for ours in sorted(names)},
    }


def from_hugging_face(
    family: Family,
    state: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    table: Correspondence = correspondence,
) -> dict[str, Tensor]:
    """Returns their state dict under our names. A tensor that is one of theirs shares its memory.

    Args:
        family: the table.
        state: their tensors by name.
        shapes: our names and shapes, as those of a model on the meta device.
        table: the names for this kind of model.

    Raises:
        ValueError: naming tensors that are missing, left over, or of another shape.
    """
    names = table(family, shapes)
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
    """Raises ValueError naming the fields of `config` whose values are not the wanted ones."""
    wrong = [
        f"{name} is {getattr(config, name)!r}, not {_either(value)}"
        for name, value in wanted.items()
        if getattr(config, name) not in (value if isinstance(value, tuple) else (value,))
    ]
    if wrong:
        raise ValueError(f"{model_type} cannot express this model: {'; '.join(wrong)}")


def _either(value: object) -> str:
    return " or ".join(map(repr, value)) if isinstance(value, tuple) else repr(value)


def _some(names: list[str]) -> str:
    """Joins the first ten names, and says how many more there are."""
    more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
