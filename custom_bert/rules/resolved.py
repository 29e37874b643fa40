"""A configuration in which everything is decided.

In a `TrainConfig`, which a user writes, None means "you decide". A `ResolvedConfig` has the same fields, and
all of them are decided. The fields listed here can no longer be None. Where None is still allowed, it is a
value that `config.py` explains: no time limit, no limit for the examples of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from custom_bert import config as configuration
from custom_bert.config import (
    GROUPS,
    Activation,
    BatchConfig,
    DataConfig,
    HeadInit,
    LongTexts,
    Metric,
    Mlp,
    ModelConfig,
    Norm,
    OptimConfig,
    Plan,
    Pooling,
    Position,
    Precision,
    RuntimeConfig,
    Schedule,
    TrainConfig,
)


@dataclass(frozen=True, kw_only=True)
class ResolvedData(DataConfig):
    """`DataConfig` in which every setting is decided."""

    max_length: int = field()
    long_texts: LongTexts = field()
    val_fraction: float = field()


@dataclass(frozen=True, kw_only=True)
class ResolvedModel(ModelConfig):
    """`ModelConfig` in which every setting is decided."""

    init_from: str = field()
    vocab_size: int = field()
    hidden_size: int = field()
    num_hidden_layers: int = field()
    num_attention_heads: int = field()
    intermediate_size: int = field()
    norm: Norm = field()
    position: Position = field()
    hidden_act: Activation = field()
    mlp: Mlp = field()
    bias: bool = field()
    pooling: Pooling = field()
    hidden_dropout: float = field()
    local_attention: int = field()
    global_attn_every_n_layers: int = field()
    rope_theta: float = field()
    local_rope_theta: float = field()


@dataclass(frozen=True, kw_only=True)
class ResolvedBatch(BatchConfig):
    """`BatchConfig` in which every setting is decided."""

    plan: Plan = field()
    token_budget: int = field()
    accumulation: int = field()


@dataclass(frozen=True, kw_only=True)
class ResolvedOptim(OptimConfig):
    """`OptimConfig` in which every setting is decided."""

    lr: float = field()
    epochs: int = field()
    embedding_init: Literal["random", "ppmi", "checkpoint"] = field()
    embedding_lr_factor: float = field()
    layer_lr_decay: float = field()
    freeze_layers: int = field()
    pretrain_epochs: int = field()
    schedule: Schedule = field()
    weight_decay: float = field()
    token_dropout: float = field()
    head_init: HeadInit = field()
    r_drop: float = field()
    metric: Metric = field()


@dataclass(frozen=True, kw_only=True)
class ResolvedRuntime(RuntimeConfig):
    """`RuntimeConfig` in which every setting is decided."""

    device: Literal["cpu", "cuda", "mps"] = field()
    precision: Precision = field()
    skip_unread: bool = field()
    tf32: bool = field()
    compile: bool = field()
    threads: int = field()


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(TrainConfig):
    """`TrainConfig` in which every setting is decided."""

    ensemble: bool = field()
    data: ResolvedData = field()
    model: ResolvedModel = field()
    batch: ResolvedBatch = field()
    optim: ResolvedOptim = field()
    runtime: ResolvedRuntime = field()


def resolved(config: TrainConfig) -> ResolvedConfig:
    """Returns a configuration as a `ResolvedConfig`.

    Raises:
        AssertionError: if a setting is not decided, which is a fault of this package.
    """
    kinds: dict[str, type[Any]] = {name: get_type_hints(ResolvedConfig)[name] for name in GROUPS}
    values = {item.name: getattr(config, item.name) for item in fields(TrainConfig)}
    groups = {name: kind(**vars(values[name])) for name, kind in kinds.items()}
    result = ResolvedConfig(**{**values, **groups})
    open_ = [name for name in decided() if configuration.to_flat(result)[name] is None]
    assert not open_, f"not decided: {', '.join(open_)}"
    return result


def decided() -> list[str]:
    """Returns the dotted names of the settings that a user may leave open and that a `ResolvedConfig` has
    decided."""
    asked, kinds = configuration.field_types(), get_type_hints(ResolvedConfig)
    for group in GROUPS:
        kinds |= {f"{group}.{name}": kind for name, kind in get_type_hints(kinds[group]).items()}
    return [
        name
        for name, kind in asked.items()
        if type(None) in get_args(kind) and type(None) not in get_args(kinds[name])
    ]
