"""Keeps what training changes in the process of its caller, and restores it when training ends.

`train_model` may be called from a notebook, a test suite or a search over settings, whose random numbers,
threads and switches must not depend on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from custom_bert import torch_internals

DEVICES = ("cpu", "cuda")
"""The devices for which torch has a state of autocast each."""


@contextmanager
def caller_state_kept(device: str | None) -> Iterator[None]:
    """Restores random generators, the number of threads, deterministic mode, the current GPU, filters of
    warnings and the compiler's limit, also if the block raises. Within the block, none of the caller's modes
    holds.

    Args:
        device: the device as configured; with cpu, the state of GPUs is neither read nor restored.
    """
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    on_gpu = device != "cpu" and torch.cuda.is_available()
    gpu, gpu_random = (torch.cuda.current_device(), torch.cuda.get_rng_state_all()) if on_gpu else (0, [])
    graphs = torch_internals.recompile_limit()
    try:
        with warnings.catch_warnings(), _default_modes():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(random)
        set_deterministic(deterministic, warn_only=warns_only)
        if on_gpu:
            torch.cuda.set_device(gpu)
            torch.cuda.set_rng_state_all(gpu_random)
        if graphs is not None:
            torch_internals.set_recompile_limit(graphs)


def set_deterministic(wanted: bool, *, warn_only: bool = False) -> None:
    """Sets whether torch refuses operations whose result may differ between runs, unless it is set so.

    torch's function loads its compiler and sympy, which takes a second and 40 MB even if nothing changes.

    Args:
        wanted: whether it refuses them.
        warn_only: whether it warns in the place of refusing.
    """
    now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if now != (wanted, warn_only):
        torch.use_deterministic_algorithms(wanted, warn_only=warn_only)


@contextmanager
def _default_modes() -> Iterator[None]:
    """Within the block, gradients are computed, types are those that training chooses, and new tensors are on
    the CPU, even if the caller has set no_grad, inference_mode, autocast, or a default type or device."""
    dtype, casts = torch.get_default_dtype(), {name: torch.is_autocast_enabled(name) for name in DEVICES}
    # inside the caller's autocast, another one would keep the weights that it rounded, while training changes
    # them
    depth = torch.autocast_increment_nesting()
    for _ in range(depth):
        torch.autocast_decrement_nesting()
    torch.clear_autocast_cache()
    elsewhere = torch.get_default_device().type != "cpu"
    try:
        for name in DEVICES:
            torch.set_autocast_enabled(name, False)
        torch.set_default_dtype(torch.float32)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.device("cpu") if elsewhere else nullcontext(),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
        for name, enabled in casts.items():
            torch.set_autocast_enabled(name, enabled)
        for _ in range(depth - 1):
            torch.autocast_increment_nesting()
