"""Automatic mixed precision: fp32 weights, bf16 or fp16 matrix products, and why."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from custom_bert.config import Precision
from custom_bert.errors import ConfigError, did_you_mean
from custom_bert.machine import has_cpu_bf16
from custom_bert.openmp import shortage

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(wanted: Precision | None, device: torch.device) -> tuple[Precision, str]:
    """The precision of the forward and backward pass, and why.

    Raises:
        ConfigError: for an unknown word, fp16 on a CPU, or bf16 on a GPU without it.
    """
    if wanted and wanted not in DTYPES:
        near = did_you_mean(wanted, list(DTYPES))
        raise ConfigError([f"runtime.precision: expected fp32, bf16 or fp16, got {wanted!r}{near}"])
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError(["runtime.precision: fp16 is 10 x slower than fp32 on a CPU; use bf16 or fp32"])
    cuda_bf16 = device.type == "cuda" and torch.cuda.get_device_capability()[0] >= 8
    if wanted == "bf16" and device.type == "cuda" and not cuda_bf16:
        raise ConfigError(["runtime.precision: this GPU does not compute bf16; use fp16 or fp32"])
    if wanted:
        return wanted, "as configured"
    if device.type == "cuda":
        return ("bf16", "this GPU computes bf16") if cuda_bf16 else ("fp16", "this GPU has no bf16")
    if has_cpu_bf16():
        return "bf16", "this CPU multiplies bf16 in hardware"
    return "fp32", "this CPU has no bf16 hardware"


SOUND = 0.02
"""Relative error of a bf16 product that is rounding: about 0.003. Lost parts make it 0.7, or not a number."""


def sound_precision(precision: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """The precision if its products are right in this process; else fp32, and a line that says why.

    To be asked where products are about to be computed, after the thread count is set: the first time it
    multiplies two matrices to see.
    """
    if precision != "bf16" or device.type != "cpu":
        return precision, None
    why = shortage()
    if why is None and not _bf16_products_hold(torch.get_num_threads(), os.getpid()):
        why = "a bf16 product of this process is far from the same product in fp32"
    if why is None:
        return precision, None
    return "fp32", f"fp32 is taken instead of bf16, which would compute wrong numbers: {why}"


@functools.cache
def _bf16_products_hold(threads: int, process: int) -> bool:
    """Whether a product that all threads share equals that of fp32 within rounding. Asked once for a number
    of threads and a process, since a forked one has other threads."""
    generator = torch.Generator().manual_seed(0)
    rows = 64 * max(4, threads)
    x_TK, weight_NK = (torch.randn(n, 256, generator=generator) for n in (rows, 1024))
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        exact_TN = F.linear(x_TK, weight_NK)
        found_TN = F.linear(x_TK.bfloat16(), weight_NK.bfloat16()).float()
    return bool((found_TN - exact_TN).norm() < SOUND * exact_TN.norm())  # not a number compares as false


def doubts(precision: Precision, device: torch.device) -> list[str]:
    """A line where the precision is computed, but not in hardware."""
    if precision == "bf16" and device.type == "cpu" and not has_cpu_bf16():
        return ["this CPU has no bf16 hardware: bf16 is many times slower than fp32 on it, which would do"]
    return []


def round_matrices(model: nn.Module, precision: Precision) -> None:
    """Keeps the matrices of a model that only predicts as autocast would read them, which otherwise rounds
    them anew for each batch; they take half the memory, and results are the same bit for bit."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.to(DTYPES[precision])


@contextmanager
def casts_kept() -> Iterator[None]:
    """Within, autocast keeps the weights that it rounded from one forward pass to the next and rounds none
    anew; nothing may change weights meanwhile. Not for a generator, which may be left hanging with it."""
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if not torch.autocast_decrement_nesting():
            torch.clear_autocast_cache()


class MixedPrecision:
    """Autocast and, for fp16, loss scaling (Micikevicius et al. 2017, arXiv 1710.03740).

    Args:
        precision: of matrix products.
        device: where they run.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self.dtype = DTYPES[precision]
        self.device_type = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def forget(self) -> None:
        """Leaves a step that did not come to its end; the loss scale stays."""
        if self.scaler.is_enabled():
            scale = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device_type)
            self.scaler.load_state_dict(scale)

    def autocast(self) -> torch.autocast:
        """The context for forward passes; does nothing in fp32."""
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.dtype is not torch.float32)
