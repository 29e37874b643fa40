"""The six improvements over the legacy recipe, each as the settings that switch it on and off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_bert.config import Activation, Kernel, Norm, Plan, Precision


@dataclass(frozen=True, kw_only=True)
class Switches:
    """One recipe, as far as the six improvements and our own two go."""

    attention: Kernel
    hidden_act: Activation
    norm: Norm
    compile: bool
    precision: Precision
    plan: Plan
    skip_unread: bool
    token_dropout: float


LEGACY = Switches(
    attention="naive",
    hidden_act="gelu",
    norm="post",
    compile=False,
    precision="fp32",
    plan="padded",
    skip_unread=False,
    token_dropout=0.0,
)
"""BERT as it was (Devlin et al. 2018); GELU is part of it."""


@dataclass(frozen=True)
class Improvement:
    """One switch.

    Attributes:
        name: for tables.
        setting: of the configuration; its last part is the field of `Switches`.
        on, off: its two values.
        in_custom: whether this machine's hardware has it, so that `custom` has it on.
        changes_learning: whether it learns something else, instead of the same faster.
    """

    name: str
    setting: str
    on: Any
    off: Any
    in_custom: bool = True
    changes_learning: bool = False

    @property
    def field(self) -> str:
        """Of `Switches`."""
        return self.setting.rpartition(".")[2]


def improvements(half: Precision, flash: Kernel, token_dropout: float) -> tuple[Improvement, ...]:
    """In the order of the ladder from legacy to custom.

    Args:
        half: what mixed precision means on this device, bf16 or fp16.
        flash: the fused attention kernel to measure; `dense` is torch's SDPA.
        token_dropout: what the defaults leave out of texts of the workload's length.
    """
    return (
        Improvement("uniform-length batching", "batch.plan", "uniform_length", "padded"),
        Improvement("flash attention", "runtime.attention", flash, "naive"),
        Improvement("mixed precision", "runtime.precision", half, "fp32"),
        Improvement("pre-norm", "model.norm", "pre", "post", changes_learning=True),
        Improvement("GELU", "model.hidden_act", "gelu", "relu", changes_learning=True),
        Improvement("kernel fusion", "runtime.compile", True, False),
        Improvement("unread rows skipped", "runtime.skip_unread", True, False),
        Improvement("token dropout", "optim.token_dropout", token_dropout, 0.0, changes_learning=True),
    )
