"""The improvements over the legacy recipe, each with the setting that switches it on and off.

Six are known from the literature. Skipping unread rows and token dropout are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_bert.config import Activation, Kernel, Norm, Plan, Precision


@dataclass(frozen=True, kw_only=True)
class Switches:
    """A recipe: the values of the settings that the improvements switch (docs/reference/configuration.md)."""

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
"""BERT's recipe (Devlin et al. 2018). GELU is part of it."""


@dataclass(frozen=True)
class Improvement:
    """One improvement, as a setting with two values.

    Attributes:
        name: its name in tables.
        setting: the dotted name of the setting; the last part is a field of `Switches`.
        on, off: the setting's two values.
        in_custom: whether the defaults have it on on this machine.
        changes_learning: whether the model learns something else; otherwise it learns the same faster.
    """

    name: str
    setting: str
    on: Any
    off: Any
    in_custom: bool = True
    changes_learning: bool = False

    @property
    def field(self) -> str:
        """The field of `Switches` that it sets."""
        return self.setting.rpartition(".")[2]


def improvements(half: Precision, flash: Kernel, token_dropout: float) -> tuple[Improvement, ...]:
    """All improvements, in the order of the ladder from legacy to custom.

    Args:
        half: the type of mixed precision on this device, bf16 or fp16.
        flash: the kernel that is measured as flash attention; `dense` is torch's SDPA.
        token_dropout: the share of tokens that the defaults leave out of texts of the workload's length.
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
