"""Settings that change speed and memory only, each with the values that could be faster on some machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custom_bert import machine


@dataclass(frozen=True)
class Alternative:
    """One setting with another value than the one that is taken.

    Attributes:
        setting: dotted name.
        value: to measure.
        learns_alike: whether as many texts make a step.
    """

    setting: str
    value: Any
    learns_alike: bool = True

    @property
    def name(self) -> str:
        """As an option of the command line."""
        return option(self.setting, self.value)


def option(setting: str, value: Any) -> str:
    """`--runtime.compile True`."""
    return f"--{setting} {value}"


def alternatives(taken: Mapping[str, Any], device: str) -> list[Alternative]:
    """What could be faster than the settings that are taken, one at a time.

    Args:
        taken: every setting that is looked at, with the value that it has.
        device: "cpu" or "cuda".
    """
    on_gpu, budget, plan = device == "cuda", taken["batch.token_budget"], taken["batch.plan"]
    flash = ("varlen",) if plan == "packed" else ()
    half = ("bf16",) if on_gpu or machine.has_cpu_bf16() else ()
    threads = taken["runtime.threads"]
    values: dict[str, Sequence[Any]] = {
        "runtime.attention": ("dense", "grouped", *flash) if on_gpu else ("matmul", "dense", "grouped"),
        "runtime.precision": (*half, "fp16") if on_gpu else (*half, "fp32"),
        "runtime.compile": (True, False),
        "runtime.threads": () if on_gpu or threads < 2 else (threads // 2,),
        "batch.plan": ("uniform_length", "packed"),
        "batch.token_budget": () if plan == "padded" else (budget // 2, 2 * budget),
    }
    resizes = {"batch.token_budget", *(("batch.plan",) if plan == "padded" else ())}
    return [
        Alternative(name, value, learns_alike=name not in resizes)
        for name, some in values.items()
        for value in some
        if value != taken[name]
    ]
