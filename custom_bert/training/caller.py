"""What training changes in the process of its caller, restored when it ends.

`train_model` may be called from a notebook, a test suite or a search over settings. There its seed, its
thread count and its switches are nobody else's.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def caller_state_kept(device: str | None) -> Iterator[None]:
    """Restores random generators, thread count, deterministic mode, the current GPU, filters of warnings, and
    the compiler's limit, also if the block raises.

    Args:
        device: as configured; where it is cpu, GPUs are left alone.
    """
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    on_gpu = device != "cpu" and torch.cuda.is_available()
    gpu, gpu_random = (torch.cuda.current_device(), torch.cuda.get_rng_state_all()) if on_gpu else (0, [])
    compiles = "torch._dynamo" in sys.modules  # importing it takes seconds
    graphs = torch._dynamo.config.recompile_limit if compiles else None
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(random)
        torch.use_deterministic_algorithms(deterministic, warn_only=warns_only)
        if on_gpu:
            torch.cuda.set_device(gpu)
            torch.cuda.set_rng_state_all(gpu_random)
        if graphs is not None:
            torch._dynamo.config.recompile_limit = graphs
