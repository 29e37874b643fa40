"""Automatic mixed precision: weights in fp32, matrix products in fp32, bf16 or fp16, by choice or by rule."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from custom_bert.config import Precision
from custom_bert.errors import ConfigError, did_you_mean
from custom_bert.machine import has_cpu_bf16
from custom_bert.openmp import shortage

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(wanted: Precision | None, device: torch.device) -> tuple[Precision, str]:
    """Chooses the precision of matrix products. Returns it with the reason.

    Raises:
        ConfigError: for an unknown word, fp16 on a CPU, or bf16 on a GPU without it.
    """
    if wanted and wanted not in DTYPES:
        near = did_you_mean(wanted, list(DTYPES))
        raise ConfigError([f"runtime.precision: expected fp32, bf16 or fp16, got {wanted!r}{near}"])
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError(["runtime.precision: fp16 is 10 x slower than fp32 on a CPU; use bf16 or fp32"])
    cuda_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if wanted == "bf16" and device.type == "cuda" and not cuda_bf16:
        raise ConfigError(["runtime.precision: this GPU does not compute bf16; use fp16 or fp32"])
    if wanted:
        return wanted, "as configured"
    if device.type == "cuda":
        return ("bf16", "this GPU computes bf16") if cuda_bf16 else ("fp16", "this GPU has no bf16")
    if has_cpu_bf16():
        return "bf16", "this CPU multiplies bf16 in hardware"
    return "fp32", "this CPU has no bf16 hardware"


def choose_tf32(device: torch.device) -> tuple[bool, str]:
    """Returns whether training multiplies in TF32 on a device if the user leaves it open, and the reason."""
    if device.type != "cuda":
        return False, "TF32 is a format of GPUs"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False, "this GPU has no TF32"
    return True, "training bears its rounding; evaluation and prediction stay exact"


@contextmanager
def fp32_products(device: str, *, tf32: bool) -> Iterator[None]:
    """Within the block, a GPU multiplies fp32 matrices in TF32, or exactly. CPUs are not touched.

    Do not use it inside a generator, whose caller's code would run within the block.
    """
    if device != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32" if tf32 else "ieee"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


SOUND = 0.02
"""A bf16 product with a smaller relative error is right. Rounding makes an error of about 0.003. Parts that
were never computed make it 0.7, or not a number."""


def sound_precision(precision: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """Returns the precision and None, or fp32 and the reason if bf16 products would be wrong here.

    Call it after the thread count is set, just before products are computed: it multiplies two matrices as a
    test. See `openmp` for what can be wrong.
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
    """Whether a bf16 product that all threads share equals the fp32 product within rounding.

    The arguments are the key of the cache: a forked process has other threads than its parent.
    """
    generator = torch.Generator().manual_seed(0)
    rows = 64 * max(4, threads)
    x_TK, weight_NK = (torch.randn(n, 256, generator=generator) for n in (rows, 1024))
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        exact_TN = F.linear(x_TK, weight_NK)
        rounded_TN = F.linear(x_TK.bfloat16(), weight_NK.bfloat16()).float()
    return bool(
        (rounded_TN - exact_TN).norm() < SOUND * exact_TN.norm()
    )  # false if the error is not a number


def doubts(precision: Precision, device: torch.device) -> list[str]:
    """Returns a line if the precision is slow, because the device's hardware does not have it."""
    if precision == "bf16" and device.type == "cpu" and not has_cpu_bf16():
        return ["this CPU has no bf16 hardware: bf16 is many times slower than fp32 on it, which would do"]
    return []


def round_matrices(model: nn.Module, precision: Precision) -> None:
    """Rounds the matrices of a model that only predicts to the precision of its products.

    Autocast would round them anew for each batch. Rounded once they take half the memory, and results are the
    same bit for bit.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.to(DTYPES[precision])


@contextmanager
def casts_kept() -> Iterator[None]:
    """Makes autocast keep rounded weights from one forward pass to the next, instead of rounding them anew.

    Nothing may change weights meanwhile. Do not use it inside a generator: one that is never finished would
    leave the cache on for the whole process.
    """
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if not torch.autocast_decrement_nesting():
            torch.clear_autocast_cache()


class MixedPrecision:
    """Autocast and, for fp16, loss scaling (Micikevicius et al. 2017, arXiv 1710.03740).

    Args:
        precision: the precision of matrix products.
        device: the device that computes them.
        tf32: whether training multiplies in TF32 on a GPU what is left in fp32.
    """

    def __init__(self, precision: Precision, device: torch.device, *, tf32: bool = False) -> None:
        self.tf32 = tf32
        self.dtype = DTYPES[precision]
        self.device_type = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def forget(self) -> None:
        """Forgets a step that was broken off. The loss scale stays as it is."""
        if self.scaler.is_enabled():
            scale = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device_type)
            self.scaler.load_state_dict(scale)

    def products(self) -> AbstractContextManager[None]:
        """Returns the context for forward and backward passes in training."""
        return fp32_products(self.device_type, tf32=self.tf32)

    def autocast(self) -> torch.autocast:
        """Returns the context for forward passes. It does nothing in fp32."""
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.dtype is not torch.float32)
