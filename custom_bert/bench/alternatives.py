"""The alternatives of `bench tune`: settings that change speed and memory, and values that may be faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custom_bert import machine
from custom_bert.attention_kernels import KERNELS, REFERENCE
from custom_bert.config import Kernel


@dataclass(frozen=True)
class Alternative:
    """One setting with another value than the one that a run takes.

    Attributes:
        setting: the dotted name of the setting.
        value: the value to measure.
        learns_the_same: whether a step has as many texts as before. With another number of texts a run learns
            something else, so that the alternative is measured but not advised.
    """

    setting: str
    value: Any
    learns_the_same: bool = True

    @property
    def name(self) -> str:
        """The alternative as an option of the command line."""
        return option(self.setting, self.value)


def option(setting: str, value: Any) -> str:
    """A setting as an option of the command line, such as `--runtime.compile True`."""
    return f"--{setting} {value}"


def alternatives(taken: Mapping[str, Any], device: str) -> list[Alternative]:
    """All alternatives that are worth measuring, each with one setting changed.

    Args:
        taken: the settings that are varied, with the values that a run takes.
        device: "cpu" or "cuda".
    """
    on_gpu, budget, plan = device == "cuda", taken["batch.token_budget"], taken["batch.plan"]
    half = ("bf16",) if on_gpu or machine.has_cpu_bf16() else ()
    threads = taken["runtime.threads"]
    values: dict[str, Sequence[Any]] = {
        "runtime.attention": _kernels(on_gpu=on_gpu, packed=plan == "packed"),
        "runtime.precision": (*half, "fp16") if on_gpu else (*half, "fp32"),
        "runtime.compile": (True, False),
        "runtime.threads": () if on_gpu or threads < 2 else (threads // 2,),
        "batch.plan": ("uniform_length", "packed"),
        "batch.token_budget": () if plan == "padded" else (budget // 2, 2 * budget),
    }
    # these change how many texts a step has; only the padded plan counts its batch in texts, not in tokens
    resizes = {"batch.token_budget", *(("batch.plan",) if plan == "padded" else ())}
    return [
        Alternative(name, value, learns_the_same=name not in resizes)
        for name, some in values.items()
        for value in some
        if value != taken[name]
    ]


def _kernels(*, on_gpu: bool, packed: bool) -> list[Kernel]:
    """Returns the attention kernels that run on the device, without the reference."""
    return [
        name
        for name, traits in KERNELS.items()
        if name != REFERENCE
        and not (on_gpu and traits.cpu_only)
        and (not traits.needs_flash or (on_gpu and packed))
    ]
