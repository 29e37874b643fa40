"""The six improvements over the legacy recipe, each as the settings that switch it on and off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_bert.config import Activation, Kernel, Norm, Plan, Precision


@dataclass(frozen=True, kw_only=True)
class Switches:
    """One recipe, as far as the six improvements and our own seventh go."""

    attention: Kernel
    hidden_act: Activation
    norm: Norm
    compile: bool
    precision: Precision
    plan: Plan
    skip_unread: bool


LEGACY = Switches(
    attention="naive",
    hidden_act="gelu",
    norm="post",
    compile=False,
    precision="fp32",
    plan="padded",
    skip_unread=False,
)
"""BERT as it was (Devlin et al. 2018); GELU is part of it."""


@dataclass(frozen=True)
class Improvement:
    """One switch.

    Attributes:
        name: for tables.
        field: of `Switches`.
        on, off: its two values.
        in_custom: whether this machine's hardware has it, so that `custom` has it on.
    """

    name: str
    field: str
    on: Any
    off: Any
    in_custom: bool = True


def improvements(half: Precision, flash: Kernel) -> tuple[Improvement, ...]:
    """In the order of the ladder from legacy to custom.

    Args:
        half: what mixed precision means on this device, bf16 or fp16.
        flash: the fused attention kernel to measure; `dense` is torch's SDPA.
    """
    return (
        Improvement("uniform-length batching", "plan", "uniform_length", "padded"),
        Improvement("flash attention", "attention", flash, "naive"),
        Improvement("mixed precision", "precision", half, "fp32"),
        Improvement("pre-norm", "norm", "pre", "post"),
        Improvement("GELU", "hidden_act", "gelu", "relu"),
        Improvement("kernel fusion", "compile", True, False),
        Improvement("unread rows skipped", "skip_unread", True, False),
    )
